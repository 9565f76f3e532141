"""Questions to the scheduler, by way of the machine: it tells, from any thread, what came or that nothing will."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from himalia.client.engine.events import Answer, RequestMade
from himalia.client.engine.shell import ClientShell
from himalia.errors import ClosedError, HimaliaError
from himalia.follow.awaited_answers import AwaitedAnswers
from himalia.messages.answers import A, Question


class Questions:
    """Asks what only the scheduler knows."""

    def __init__(self, shell: ClientShell) -> None:
        self._shell = shell
        self._awaited = AwaitedAnswers(shell.machine.next_request)
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where answers are awaited; None until something was asked."""

    async def ask(self, make: Callable[[int], Question[A]]) -> A:
        """Ask the scheduler something and return its answer; see :meth:`AwaitedAnswers.ask`."""
        self._loop = asyncio.get_running_loop()
        return await self._awaited.ask(make, lambda question: self._shell.tell(RequestMade(question)))

    def answered(self, instruction: Answer) -> None:
        """Hand an answer to who waits for it; any thread, under the machine's lock."""
        failure: HimaliaError | None = None
        if instruction.error:
            failure = (ClosedError if self._shell.machine.gone else HimaliaError)(instruction.error)
        assert self._loop is not None, "an answer came before a question"
        # A future of asyncio is its loop's: set from another thread, it wouldn't wake it.
        self._loop.call_soon_threadsafe(self._awaited.answer, instruction.request, instruction.value, failure)
