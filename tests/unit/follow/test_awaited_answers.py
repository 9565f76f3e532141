from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

import pytest

from himalia.errors import ClosedError, HimaliaError, UsageError
from himalia.follow.awaited_answers import AwaitedAnswers
from himalia.messages.answers import Explanation, Scaled
from himalia.messages.client import Scale
from himalia.testing.clock import HandLoop


class Asker:
    """Asks, and remembers what was sent; answers are given by the test."""

    def __init__(self) -> None:
        self.loop = HandLoop()
        self.awaited = AwaitedAnswers(itertools.count(5).__next__)
        self.sent: list[object] = []

    def scale(self, workers: int) -> asyncio.Task[Scaled]:
        return self.begin(self.awaited.ask(lambda number: Scale(number, workers), self.sent.append))

    def begin(self, question: Coroutine[Any, Any, Scaled]) -> asyncio.Task[Scaled]:
        task: asyncio.Task[Scaled] = self.loop.create_task(question)
        self.loop.settle()
        return task


def test_each_question_gets_the_answer_of_its_number() -> None:
    asker = Asker()
    first, second = asker.scale(1), asker.scale(2)
    assert asker.sent == [Scale(5, 1), Scale(6, 2)]
    asker.awaited.answer(6, Scaled(["b"]))
    asker.awaited.answer(5, Scaled(["a"]))
    asker.awaited.answer(7, Scaled(["nobody asked"]))
    asker.loop.settle()
    assert (first.result(), second.result()) == (Scaled(["a"]), Scaled(["b"]))


def test_why_there_is_no_answer_is_raised_where_it_was_asked() -> None:
    asker = Asker()
    refused, strange, late = asker.scale(1), asker.scale(2), asker.scale(3)
    asker.awaited.answer(5, None, HimaliaError("no host"))
    asker.awaited.answer(6, Explanation("because"))
    asker.loop.settle()
    asker.awaited.end("The scheduler ended.")
    asker.loop.settle()
    assert [type(task.exception()) for task in (refused, strange, late)] == [HimaliaError, HimaliaError, ClosedError]
    assert [str(task.exception()) for task in (refused, late)] == ["no host", "The scheduler ended."]
    assert "is that scheduler of another version?" in str(strange.exception())


def test_what_the_scheduler_would_refuse_is_not_sent() -> None:
    asker = Asker()
    with pytest.raises(UsageError, match="Scale can't be asked"):
        asker.scale(-1).result()
    assert asker.sent == []


def test_an_answer_that_nobody_waits_for_any_more_is_dropped() -> None:
    asker = Asker()
    asker.scale(1).cancel()
    asker.loop.settle()
    asker.awaited.answer(5, Scaled(["a"]))
    asker.awaited.end("over")
    asker.loop.settle()
