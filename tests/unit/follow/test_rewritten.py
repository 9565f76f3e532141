from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from himalia.client.output import OutputForwarder
from himalia.follow.progress import show_lines
from himalia.follow.rewritten import is_same_place, rewrite, rewriting, write_lines
from himalia.messages.client import CallOutput
from himalia.messages.telemetry import LogLine
from himalia.names import Key
from himalia.show.bars import Bar


def on_screen(written: str) -> list[str]:
    """The lines of a terminal after this was written: ``\\r`` goes back to the beginning of the line."""
    screen = []
    for text in written.split("\n"):
        line = ""
        for part in text.split("\r"):
            line = part + line[len(part) :]
        screen.append(line.rstrip())
    return screen


def test_lines_of_calls_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    callbacks: Any = SimpleNamespace(start=lambda: None, put=lambda call: call())
    loop: Any = SimpleNamespace(call_soon_threadsafe=lambda *call: None, call_later=None)
    forwarder = OutputForwarder(loop, callbacks)

    class Printing:
        """Ends one at each look; between two looks the one that ended has printed something."""

        ended = 0

        def look(self) -> list[Bar]:
            return [Bar("f", self.ended, 2)]

        def wait(self, seconds: float) -> None:
            self.ended += 1
            line = LogLine(0.0, "stdout", f"hi {self.ended}")
            forwarder.take(CallOutput(Key("f"), "", "w", [line], 0))
            forwarder.flush()

    show_lines(Printing(), out)
    first, second, bar, end = on_screen(out.getvalue())
    assert (first, second, end) == ("[w] hi 1", "[w] hi 2", "")
    assert bar.startswith("[####") and " 2 of 2 " in bar
    assert " 1 of 2 " in out.getvalue()


def test_the_bar_is_drawn_again_below_at_once() -> None:
    out = io.StringIO()
    with rewriting(out):
        rewrite(out, "[##  ] 1 of 2")
        write_lines(out, ["a", "b"])
        assert on_screen(out.getvalue()) == ["a", "b", "[##  ] 1 of 2"]
        rewrite(out, "[####]")
        assert on_screen(out.getvalue()) == ["a", "b", "[####]"]
    write_lines(out, ["c"])
    assert on_screen(out.getvalue()) == ["a", "b", "[####]", "c", ""]


def interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


def test_a_bar_that_is_interrupted_is_a_line_of_its_own() -> None:
    out = io.StringIO()
    interrupted = SimpleNamespace(look=lambda: [Bar("f", 1, 2)], wait=interrupt)
    with pytest.raises(KeyboardInterrupt):
        show_lines(interrupted, out)
    out.write("Traceback")
    bar, after = on_screen(out.getvalue())
    assert " 1 of 2 " in bar
    assert after == "Traceback"


def test_a_bar_elsewhere_is_left_alone() -> None:
    bar, out = io.StringIO(), io.StringIO()
    with rewriting(bar):
        rewrite(bar, "[##  ]")
        write_lines(out, ["a"])
    assert (bar.getvalue(), out.getvalue()) == ("\r[##  ]\n", "a\n")


def test_two_streams_of_one_terminal_are_one_place(tmp_path: Path) -> None:
    with open(tmp_path / "one", "w") as one, open(os.dup(one.fileno()), "w") as again, open(tmp_path / "b", "w") as b:
        assert is_same_place(one, again)
        assert not is_same_place(one, b)
        assert not is_same_place(one, io.StringIO())
