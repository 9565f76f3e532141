"""Questions to the scheduler, each with a number, and who waits for its answer.

Decides when a question isn't asked at all: the scheduler would end the session of a client that asks what can't be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from himalia.bounds import problem_of
from himalia.client.engine.events import Answer, RequestMade
from himalia.client.engine.shell import ClientShell
from himalia.errors import ClosedError, HimaliaError, UsageError
from himalia.messages.answers import A, AnyAnswer, Question, read_answer

Told = tuple[AnyAnswer | None, str]
"""What came: an answer, or why there is none."""


class Questions:
    """Asks what only the scheduler knows."""

    def __init__(self, shell: ClientShell) -> None:
        self._shell = shell
        self._open: dict[int, asyncio.Future[Told]] = {}

    async def ask(self, make: Callable[[int], Question[A]]) -> A:
        """Ask the scheduler something and return its answer.

        Raises
        ------
        HimaliaError
            If the answer is an error.
        UsageError
            If the scheduler would refuse the question: a negative number of workers, say.
        ClosedError
            If the scheduler is gone.
        """
        shell = self._shell
        with shell.lock:
            number = shell.machine.next_request()
        question = make(number)
        problem = problem_of(question)
        if problem:
            raise UsageError(f"{type(question).__name__} can't be asked: {problem}.")
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            shell.tell(RequestMade(question))
            value, error = await answer
        finally:
            self._open.pop(number, None)
        if error:
            raise (ClosedError if shell.machine.gone else HimaliaError)(error)
        return read_answer(question, value)

    def answered(self, instruction: Answer) -> None:
        """Hand an answer to who waits for it; any thread, under the machine's lock."""
        future = self._open.get(instruction.request)
        if future is not None:
            future.get_loop().call_soon_threadsafe(_set, future, (instruction.value, instruction.error))


def _set(future: asyncio.Future[Told], told: Told) -> None:
    if not future.done():
        future.set_result(told)
