"""Answers that a scheduler owes to questions, by the number of each.

A number is used once; a question that the scheduler would refuse is never sent; each question ends: by its answer, by
why there is none, or by the end of the session.  How it is sent, and how long that may take, is said by who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from himalia.bounds import problem_of
from himalia.errors import ClosedError, HimaliaError, UsageError
from himalia.messages.answers import A, AnyAnswer, Question, read_answer


class AwaitedAnswers:
    """Those of one session; all methods belong to the thread of the loop that awaits the answers.

    Parameters
    ----------
    next_number : callable
        Returns a number that no other request of the session has.
    """

    def __init__(self, next_number: Callable[[], int]) -> None:
        self._next_number = next_number
        self._waiting: dict[int, asyncio.Future[AnyAnswer | None]] = {}

    async def ask(self, make: Callable[[int], Question[A]], send: Callable[[Question[A]], object]) -> A:
        """Send the question that ``make`` builds for a number, and return its answer.

        Raises
        ------
        HimaliaError
            If it can't be answered; the text says why.
        UsageError
            If the scheduler would refuse it: a negative number of workers, say.
        ClosedError
            If the session ends before the answer comes.
        """
        number = self._next_number()
        question = make(number)
        # A message beyond a bound ends the session of who sends it (bounds.py), and with it everybody's questions.
        problem = problem_of(question)
        if problem:
            raise UsageError(f"{type(question).__name__} can't be asked: {problem}.")
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            send(question)
            return read_answer(question, await answer)
        finally:
            # Cancelled or timed out, too: an answer that comes later finds nobody, and is dropped.
            self._waiting.pop(number, None)

    def answer(self, number: int, value: AnyAnswer | None, failure: HimaliaError | None = None) -> None:
        """Hand an answer, or why there is none, to who asked; nothing happens if nobody waits for it any more."""
        waiting = self._waiting.get(number)
        # Done without an answer: it was cancelled, and who asked hasn't run again to forget it.
        if waiting is None or waiting.done():
            return
        if failure is not None:
            waiting.set_exception(failure)
        else:
            waiting.set_result(value)

    def end(self, reason: str) -> None:
        """Answer all of them by a ClosedError."""
        for number in list(self._waiting):
            self.answer(number, None, ClosedError(reason))
