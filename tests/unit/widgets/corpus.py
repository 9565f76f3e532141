"""Texts that a user may name things by, and that no view may take for anything else."""

from __future__ import annotations

from typing import Final

MARKUP: Final = (
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "<b>bold</b>", "<svg/onload=alert(1)>", "&lt;i&gt;", "&#60;u&#62;", "\"'`", "' onmouseover='alert(1)",
    "javascript:alert(1)", "$$\\alpha^2$$", "$$$", "$$$$$", "$", "\\[x^2\\]", "\\(y\\)", "\\\\(z\\\\)",
    "a$$b$$c", "@key", "@{name}{safe}", "@@", "$index", "$name", "$swatch:color", "@$name", "{{7*7}}", "${1+1}",
    "%s %d %(x)s", "{0}{x}", "line\nbreak", "tab\tstop", "a\r\nb", "nul\x00byte", "\x1b[31mred", "\u202eevil",
    "\u2066turn\u2069", "\u2028line", "zero\u200bwidth", "emoji 🦆", "ünïcödé", "漢字", "e\u0301" * 100,
    "\ud800lone", "\udfff", "\ufeffbom", "", " ", "x" * 10_000, "<" * 5000, "$$" * 5000, "../../etc/passwd",
)  # fmt: skip
