"""An event loop whose time somebody moves: a lease of 30 s is over as soon as a test says that 30 s have passed.

It runs callbacks, tasks, timers and whatever of asyncio is made of these (``sleep``, ``timeout``, ``wait``), in the
order in which they were asked for.  It has no sockets, no threads and no files: what comes from outside would have to
be waited for in real time.

::

    loop = HandLoop()
    answer = loop.run(coroutine)  # time jumps where nothing else is left to do
    loop.advance(30.0)  # all that is due by then happens, each at its time
    loop.settle()  # all that is due now
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class HandLoop(asyncio.BaseEventLoop):
    """An event loop, and a clock, that stand still until they are told.

    Attributes
    ----------
    now : float
        What time it is, seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._due: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._asked = itertools.count()
        self._failures: list[BaseException] = []

    # For the test

    def run(self, main: Coroutine[object, object, T], *, limit: float = 3600.0) -> T:
        """Run a coroutine to its end and return what it returns.

        Raises
        ------
        AssertionError
            If it waits for something that never comes, or for longer than ``limit`` seconds.
        """
        task: asyncio.Task[T] = self.create_task(main)
        end = self.now + limit
        self.settle()
        while not task.done():
            due = self._next()
            # Nothing is left that could wake it, or nothing within the limit.
            if due is None or due > end:
                # Or the garbage collector would complain of it in the middle of another test.
                task.cancel()
                self.settle()
                raise AssertionError(f"{main!r} waits for something that does not come")
            self.now = max(self.now, due)
            self.settle()
        return task.result()

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        end = self.now + seconds
        self.settle()
        while (due := self._next()) is not None and due <= end:
            self.now = max(self.now, due)
            self.settle()
        self.now = end

    def settle(self) -> None:
        """Do all that is due, and what comes of it, without letting time pass.

        Raises
        ------
        BaseException
            What a callback raised.
        """
        previous = asyncio._get_running_loop()
        # For the callbacks alone: what asks for the loop in between finds what was there before.
        asyncio._set_running_loop(self)
        try:
            while True:
                while (due := self._next()) is not None and due <= self.now:
                    self._due.append(heappop(self._timers)[2])
                if not self._due:
                    break
                for _ in range(len(self._due)):  # a tick: what these ask for comes after them
                    handle = self._due.popleft()
                    if not handle.cancelled():
                        handle._run()
        finally:
            asyncio._set_running_loop(previous)
        # When all that was due is done: a callback that fails keeps no other from its turn.
        if self._failures:
            raise self._failures.pop(0)

    def _next(self) -> float | None:
        """When the next timer is due."""
        # Thrown away here only: a heap has no cheap way to take out what is in its middle.
        while self._timers and self._timers[0][2].cancelled():
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    # For asyncio

    def time(self) -> float:
        return self.now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._due.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        # Numbered, so that timers of one moment go off as they were asked for; asyncio leaves that open.
        heappush(self._timers, (when, next(self._asked), timer))
        return timer

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        # Asyncio would log it, and the test would pass.
        self._failures.append(context.get("exception") or AssertionError(context["message"]))

    def __del__(self) -> None:
        """Warn of nothing: there is nothing that would have to be closed."""
