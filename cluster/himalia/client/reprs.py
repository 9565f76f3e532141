"""How a client and a future look, as text and as static HTML.

Decides what is shown.  Everything that came from a user is escaped; the colours are the front end's own, so light and
dark themes both work, and a saved notebook needs nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from himalia.client.errors_view import describe
from himalia.client.state import FINISHED, Record
from himalia.names import shorten

STYLE: Final = (
    "color: var(--jp-ui-font-color1, currentColor); font-family: var(--jp-ui-font-family, sans-serif); "
    "border-left: 3px solid {accent}; padding: 2px 0 2px 10px; margin: 4px 0;"
)
QUIET: Final = "color: var(--jp-ui-font-color2, currentColor);"
ACCENTS: Final[Mapping[str, str]] = {
    "pending": "var(--jp-warn-color1, #f57c00)",
    "finished": "var(--jp-success-color1, #388e3c)",
    "error": "var(--jp-error-color1, #d32f2f)",
    "lost": "var(--jp-error-color1, #d32f2f)",
    "cancelled": "var(--jp-border-color1, #9e9e9e)",
    "running": "var(--jp-brand-color1, #1976d2)",
}


def format_bytes(nbytes: float) -> str:
    """Return a size for a person: ``1.50 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(nbytes) < 1024 or unit == "TiB":
            return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.2f} {unit}"
        nbytes /= 1024
    raise AssertionError  # the loop returns


def future_text(record: Record, name: Any) -> str:
    """Return the repr of a future."""
    return f"<Future: {record.status}{_type_part(record)}, key: {shorten(str(name))}>"


def future_html(record: Record, name: Any) -> str:
    """Return a future as a line of HTML."""
    facts = [("status", record.status)]
    if record.type_name:
        facts.append(("type", record.type_name))
    if record.status == FINISHED:
        facts.append(("size", format_bytes(record.nbytes)))
    if record.error is not None:
        facts.append(("error", shorten(describe(record.error), 200)))
    facts.append(("key", shorten(str(name))))
    return _box("Future", facts, ACCENTS[record.status])


def client_text(kind: str, address: str, info: Mapping[str, Any] | None, status: str) -> str:
    """Return the repr of a client."""
    if info is None:
        return f"<{kind}: {address!r} {status}>"
    workers, threads, memory = totals(info)
    return f"<{kind}: {address!r} workers={workers} threads={threads}, memory={format_bytes(memory)}>"


def client_html(
    kind: str, name: str, address: str, info: Mapping[str, Any] | None, status: str, cluster: str | None
) -> str:
    """Return a client as HTML; its own cluster's table follows, if it has one."""
    facts = [("scheduler", address), ("status", status)]
    if info is not None:
        workers, threads, memory = totals(info)
        facts += [("workers", str(workers)), ("threads", str(threads)), ("memory", format_bytes(memory))]
    accent = ACCENTS["running" if status == "running" else "cancelled"]
    return _box(kind, [("name", name), *facts], accent) + (cluster or "")


def totals(info: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return how many workers, threads, and bytes of memory there are."""
    workers = info.get("workers", {}).values()
    return (
        len(workers),
        sum(worker["nthreads"] for worker in workers),
        sum(worker["memory_limit"] for worker in workers),
    )


def _type_part(record: Record) -> str:
    return f", type: {record.type_name}" if record.type_name else ""


def _box(title: str, facts: Iterable[tuple[str, str]], accent: str) -> str:
    shown = " · ".join(f'<span style="{QUIET}">{escape(label)}</span> {escape(value)}' for label, value in facts)
    return f'<div class="himalia-repr" style="{STYLE.format(accent=accent)}"><b>{escape(title)}</b>&ensp;{shown}</div>'
