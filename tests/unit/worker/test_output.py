from __future__ import annotations

import pytest

from himalia.messages.worker import Printed
from himalia.worker.output import OutputSender
from himalia.worker.wiring import LINE


def printed(*texts: str) -> list[str]:
    """Return the lines that a call is told of which writes these texts and ends."""
    sent: list[Printed] = []
    output = OutputSender(lambda: 7, sent.append, 1000)
    for text in texts:
        output.write(7, "stdout", text)
    output.finish(7)
    assert {message.run for message in sent} <= {7}
    assert not output.pending
    return [line.text for message in sent for line in message.lines]


@pytest.mark.parametrize(
    "texts", [("\r0 %", "\r50 %", "\r100 %"), ("0 %\r", "50 %\r", "100 %\r"), ("0 %", "\r", "100 %", "\r\n")]
)
def test_a_progress_bar_leaves_its_last_state_wherever_it_returns_the_carriage(texts: tuple[str, ...]) -> None:
    assert printed(*texts) == ["100 %"]


def test_parts_of_a_line_are_one_line() -> None:
    assert printed("a", "b\nc", "\n", "d") == ["ab", "c", "d"]


def test_a_line_without_end_is_cut() -> None:
    assert printed(*["x" * LINE] * 3) == ["x" * LINE]
