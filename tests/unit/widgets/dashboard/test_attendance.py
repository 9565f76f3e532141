from __future__ import annotations

import pytest
from bokeh.document import Document
from bokeh.models import Div

from himalia_widgets.dashboard.attendance import LOOKS, TRY_AGAIN, Attendance, Drawn


class Socket:
    """A WebSocket that notes how it was closed."""

    def __init__(self) -> None:
        self.closed: list[tuple[int, str]] = []

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


@pytest.fixture
def drawn() -> Drawn:
    return Drawn()


@pytest.fixture
def document(drawn: Drawn) -> Document:
    document = Document()
    document.add_root(Div(tags=[drawn.source]))
    return document


def seen(drawn: Drawn, number: int) -> None:
    drawn.source.data = {"seen": [number]}


def look(attendance: Attendance, times: int) -> None:
    for _ in range(times):
        attendance.look()


def test_a_page_that_owes_an_answer_for_a_minute_is_given_up_with_a_reason(drawn: Drawn, document: Document) -> None:
    attendance, socket = Attendance(), Socket()
    attendance.enter("connection", socket, document)
    drawn.count()
    look(attendance, LOOKS)
    assert socket.closed == []
    look(attendance, 3)
    ((code, reason),) = socket.closed
    assert code == TRY_AGAIN
    assert len(reason.encode()) <= 123, "more fits into no frame"


def test_a_page_that_is_slow_stays(drawn: Drawn, document: Document) -> None:
    attendance, socket = Attendance(), Socket()
    attendance.enter("connection", socket, document)
    for number in range(1, 5):
        drawn.count()
        look(attendance, LOOKS)
        seen(drawn, number)
        look(attendance, 1)
    assert socket.closed == []


def test_a_page_for_which_nothing_is_drawn_owes_nothing(drawn: Drawn, document: Document) -> None:
    attendance, socket = Attendance(), Socket()
    attendance.enter("connection", socket, document)
    look(attendance, 10 * LOOKS)
    assert socket.closed == []


def test_who_has_left_is_not_looked_at(drawn: Drawn, document: Document) -> None:
    attendance, socket = Attendance(), Socket()
    attendance.enter("connection", socket, document)
    drawn.count()
    look(attendance, 2)
    attendance.leave("connection")
    look(attendance, 2 * LOOKS)
    assert socket.closed == []
