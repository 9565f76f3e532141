from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from himalia import notebook_cells as cells
from himalia.client.output import OutputForwarder, compose
from himalia.messages.client import CallOutput
from himalia.messages.telemetry import LogLine
from himalia.names import Key
from himalia.notebook_cells import REMEMBERED, Cells


def output(worker: str, *texts: str, source: str = "stdout", dropped: int = 0) -> CallOutput:
    return CallOutput(Key("x"), "", worker, [LogLine(0.0, source, text) for text in texts], dropped)


class FakeShell:
    """As much of IPython's shell as cells look at."""

    def __init__(self) -> None:
        self.execution_count = 0
        self.display_pub = SimpleNamespace(parent_header={})
        self.callbacks: dict[str, Any] = {}
        self.events = SimpleNamespace(register=self.callbacks.__setitem__)
        self.kernel = self

    def run(self, number: int, error: BaseException | None = None, *, end: bool = True) -> None:
        self.execution_count = number
        self.display_pub.parent_header = {"msg_id": f"message-{number}"}
        self.callbacks["pre_run_cell"](None)
        if end:
            self.callbacks["post_run_cell"](SimpleNamespace(error_in_exec=error))
            self.execution_count = number + 1


class FakeClient:
    def __init__(self) -> None:
        self.interrupted: list[int] = []

    def cell_interrupted(self, number: int) -> None:
        self.interrupted.append(number)


def test_a_line_in_a_terminal_names_its_worker() -> None:
    assert compose([output("a", "1"), output("b", "2")]) == (["[a] 1", "[b] 2"], [])


def test_the_same_line_of_many_calls_is_written_once_with_a_count() -> None:
    out, _ = compose([output("a", "same"), output("b", "same"), output("c", "same"), output("a", "same")])
    assert out == ["[a and 2 more] same ×4"]


def test_what_is_no_ordinary_output_goes_to_standard_error() -> None:
    assert compose([output("a", "x", source="WARNING"), output("a", "x", source="stderr")]) == ([], ["[a] x ×2"])


def test_a_terminal_says_what_was_dropped() -> None:
    assert "7 lines were dropped" in compose([output("a", dropped=7)])[1][0]


class FakeLoop:
    """Notes what is to be called."""

    def __init__(self) -> None:
        self.due: list[Any] = []

    def call_soon_threadsafe(self, call: Any, pause: float, then: Any) -> None:
        call(pause, then)

    def call_later(self, pause: float, then: Any) -> None:
        self.due.append(then)


def test_what_comes_while_the_other_thread_shows_what_was_before_is_shown_too() -> None:
    loop = FakeLoop()
    shown: list[Any] = []
    forwarder = OutputForwarder(loop, SimpleNamespace(start=lambda: None, put=shown.append))  # type: ignore[arg-type]

    class Waiting(deque[CallOutput]):
        def append(self, output: CallOutput) -> None:
            self.clear()  # what _show() does, in the thread for callbacks, at any moment
            super().append(output)

    forwarder.take(output("a", "1"))
    forwarder._waiting = Waiting(forwarder._waiting)
    forwarder.take(output("a", "2"))
    assert loop.due == [forwarder.flush, forwarder.flush]
    loop.due.pop()()
    assert len(shown) == 1


def test_a_cell_is_known_by_the_message_that_the_thread_works_on() -> None:
    shell = FakeShell()
    known = Cells(shell)
    assert known.number() == 0
    shell.run(4)
    shell.run(5, end=False)
    assert known.number() == 5
    assert known.header_of("c/4") == {"msg_id": "message-4"}
    shell.display_pub.parent_header = {"msg_id": "message-4"}
    assert known.number() == 4
    shell.display_pub.parent_header = {"msg_id": "a widget's"}
    assert known.number() == 0
    assert known.header_of("c") == {"msg_id": "message-5"}


def test_as_many_cells_are_remembered_as_were_promised() -> None:
    shell = FakeShell()
    known = Cells(shell)
    for number in range(1, REMEMBERED + 3):
        shell.run(number)
    assert known.header_of("c/3")["msg_id"] == "message-3"
    assert known.header_of("c/2")["msg_id"] == f"message-{REMEMBERED + 2}"


def test_listeners_hear_of_cells_that_were_interrupted_only() -> None:
    shell, client = FakeShell(), FakeClient()
    known = Cells(shell)
    known.listeners.add(client)
    shell.run(1)
    shell.run(2, ValueError())
    shell.run(3, KeyboardInterrupt())
    assert client.interrupted == [3]


def test_there_is_no_span_where_there_is_no_kernel(monkeypatch: Any) -> None:
    assert cells.current_span("client") == ""
    shell = FakeShell()
    monkeypatch.setattr(cells, "_cells", Cells(shell))
    assert cells.current_span("client") == ""
    shell.run(2, end=False)
    assert cells.current_span("client") == "client/2"


class FakeCallbacks:
    def __init__(self) -> None:
        self.started = 0
        self.calls: list[Any] = []

    def start(self) -> None:
        self.started += 1

    def put(self, callback: Any) -> None:
        self.calls.append(callback)


def test_a_line_that_comes_after_the_close_is_shown_and_starts_no_thread(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody would end that thread."""
    callbacks: Any = FakeCallbacks()
    later: list[Any] = []
    loop: Any = SimpleNamespace(call_later=None, call_soon_threadsafe=lambda _, pause, show: later.append(show))
    forwarder = OutputForwarder(loop, callbacks)
    forwarder.take(output("a", "early"))
    forwarder.close()
    callbacks.calls.pop()()
    forwarder.take(output("a", "late"))
    for function in later:
        function()
    assert (callbacks.started, callbacks.calls) == (1, [])
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("[a]")] == ["[a] early", "[a] late"]
