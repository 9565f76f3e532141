"""An event loop for one simulated process: its time is the world's, and it ends, or stands still, with its process.

What it is asked to call becomes an event of the world.  It has no sockets and no threads; who connects gets a stream of
the simulated network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, TypeVarTuple

from himalia.testing.world import World

Ts = TypeVarTuple("Ts")

Connector = Callable[[Callable[[], asyncio.Protocol]], Awaitable[tuple[asyncio.Transport, asyncio.Protocol]]]


class ProcessLoop(asyncio.BaseEventLoop):
    """The loop of one process.

    Parameters
    ----------
    world : World
        Whose events its callbacks are.
    skew : float
        By how many seconds this process's clock is ahead of the world's.

    Attributes
    ----------
    is_over : bool
        Whether the process has ended: nothing is called any more.
    connector : callable
        What makes a connection to the scheduler.
    """

    connector: Connector

    def __init__(self, world: World, skew: float) -> None:
        super().__init__()
        self.is_over = False
        self._world = world
        self._skew = skew
        self._still_until = 0.0
        self._held: list[asyncio.Handle] = []
        """What is due while the process stands still."""
        self._failures: list[BaseException] = []
        self._tasks: dict[asyncio.Task[object], None] = {}
        """Those that aren't done, in the order in which they were begun."""

    def stand_still(self, seconds: float) -> None:
        """Call nothing for a while, as a process does that was stopped, or whose thread is busy with something else."""
        # The longest counts; one that began later may be over sooner.
        self._still_until = max(self._still_until, self._world.now + seconds)
        self._world.call_at(self._still_until, self._go_on)

    def _go_on(self) -> None:
        # Not if it was made to stand still for longer meanwhile.
        if self._world.now >= self._still_until:
            # Taken away first: one of these may make the process stand still again.
            held, self._held = self._held, []
            for handle in held:
                self._run(handle)

    def _run(self, handle: asyncio.Handle) -> None:
        """Run a callback, and raise what went wrong in it."""
        if self.is_over or handle.cancelled():
            return
        # Behind what is held already, or it would overtake that.
        if self._world.now < self._still_until or self._held:
            self._held.append(handle)
            return
        asyncio._set_running_loop(self)
        try:
            handle._run()
        finally:
            asyncio._set_running_loop(None)
        # Raised here, where it ends the run; inside of a callback asyncio would log it and go on.
        if self._failures:
            raise self._failures.pop(0)

    def end(self) -> None:
        """Call nothing any more, and close what waits.

        Left to the garbage collector, a coroutine that handles its end uses futures that are cleared already, and
        CPython 3.11 crashes.
        """
        self.is_over = True
        tasks, self._tasks = self._tasks, {}
        for task in tasks:
            coroutine = task.get_coro()
            # The one that runs right now can't be closed, and ends by itself.
            if asyncio.current_task(self) is not task and coroutine is not None:
                coroutine.close()

    def fail(self, error: BaseException) -> None:
        """Have the run end with this error, however much the code in between forgives."""
        self._failures.append(error)

    # For asyncio

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(coro, name=name, context=context)
        # A dict for its order: asyncio's own is a set.
        self._tasks[task] = None
        task.add_done_callback(lambda task: self._tasks.pop(task, None))
        return task

    def time(self) -> float:
        return self._world.now + self._skew

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        # An event of the world like any other: what other processes do at this moment may come between.
        self._world.call_later(0.0, self._run, handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        # The world has no past: what was due is due now.
        self._world.call_at(max(self._world.now, when - self._skew), self._run, timer)
        return timer

    async def create_connection(self, protocol_factory: Any, *_: Any, **__: Any) -> Any:
        return await self.connector(protocol_factory)

    async def create_unix_connection(self, protocol_factory: Any, *_: Any, **__: Any) -> Any:
        return await self.connector(protocol_factory)

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.fail(context.get("exception") or AssertionError(context["message"]))

    def __del__(self) -> None:
        """Warn of nothing: there is nothing that would have to be closed."""
