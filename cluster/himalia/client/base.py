"""What all parts of the client stand on: its shell, and how a method waits in a thread or is awaited in a loop.

Decides whether a method blocks or returns an awaitable: an asynchronous client's never block.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import TypeVar, cast

from himalia.client.engine.callbacks import CallbackThread
from himalia.client.engine.gathering import wait_here, wait_in_loop, within
from himalia.client.engine.portal import Portal
from himalia.client.engine.shell import ClientShell
from himalia.client.engine.state import Record
from himalia.client.engine.submitting import Submitter
from himalia.errors import ClosedError
from himalia.messages.answers import A, Question
from himalia.show.units import parse_timeout

T = TypeVar("T")


class ClientBase:
    """The common ground of the parts of :class:`himalia.client.client.Client`, which sets these attributes."""

    _status: str
    _asynchronous: bool
    _portal: Portal | None
    _shell: ClientShell
    _submitter: Submitter
    _callbacks: CallbackThread

    @property
    def status(self) -> str:
        """``created``, ``connecting``, ``running``, ``closed``, or ``lost``: the scheduler is gone."""
        return "lost" if self._status == "running" and self._shell.machine.gone else self._status

    @property
    def asynchronous(self) -> bool:
        """Whether methods that wait return awaitables: the client was made so, or this is its own loop's thread."""
        return self._asynchronous or (self._portal is not None and self._portal.is_here())

    @staticmethod
    def seconds(duration: float | str) -> float:
        """Return a number of seconds; see :func:`himalia.show.units.parse_timeout`."""
        return parse_timeout(duration)

    def _run(self, coroutine: Coroutine[object, object, T], timeout: float | None = None) -> T:
        if self._portal is None:
            coroutine.close()
            raise ClosedError("This client is closed.")
        return self._portal.run(coroutine, timeout)

    def _sync(self, coroutine: Coroutine[object, object, T], timeout: float | None = None) -> T:
        """Run a coroutine to its end, or hand it out if this client is asynchronous."""
        if self.asynchronous:
            return coroutine if timeout is None else within(timeout, coroutine)  # type: ignore[return-value]  # awaitable
        return self._run(coroutine, timeout)

    def _start(self, coroutine: Coroutine[object, object, object]) -> None:
        """Run a coroutine of which nobody awaits the end."""
        self._shell.start(coroutine)

    async def _answer(self, make: Callable[[int], Question[A]]) -> A:
        self._check_open()
        return await self._shell.ask(make)

    def _wait_then(self, records: Sequence[Record], then: Callable[[], T], timeout: float | str | None) -> T:
        limit = parse_timeout(timeout)
        if self.asynchronous:

            async def wait() -> T:
                await wait_in_loop(self._shell, records, limit)
                return then()

            return wait()  # type: ignore[return-value]  # awaitable there
        wait_here(self._shell, records, limit)
        return then()

    def _check_open(self) -> None:
        if self._status != "running":
            then = "Await it first." if self._status == "created" else "Make a new one."
            raise ClosedError(f"This client is {self._status}. {then}")

    def _nothing(self) -> None:
        """Return None, as an awaitable if this client is asynchronous: for what is done at once."""
        return _NOTHING if self.asynchronous else None  # type: ignore[return-value]  # awaitable there


def awaiting(value: T) -> Awaitable[T]:
    """Return what a method of an asynchronous client returned, as the awaitable that it is.

    Methods are typed as what they return when they block; this is for code that has an asynchronous client.
    """
    return cast("Awaitable[T]", value)


class _Nothing:
    """An awaitable None that nobody has to await."""

    def __await__(self) -> Generator[object, None, None]:
        return
        yield


_NOTHING = _Nothing()
