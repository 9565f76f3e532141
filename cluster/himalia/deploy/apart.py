"""Running a coroutine to its end for a caller that may itself be inside an event loop, or have none.

Decides that each such call gets a thread and a loop of its own for as long as it takes: nothing lingers between two
calls, nothing has to be closed, and it works at any moment of a program's life.  It is not for anything frequent.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar

Value = TypeVar("Value")


def run_apart(work: Callable[[], Coroutine[object, object, Value]]) -> Value:
    """Return what ``work()`` returns, or raise what it raises; ctrl-C in the calling thread cancels it.

    Parameters
    ----------
    work : callable
        Called in the other thread, inside its loop.
    """
    call: CallApart[Value] = CallApart(work)
    thread = threading.Thread(target=call.run, name="himalia-ask", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        call.cancel()
        raise
    if call.error is not None:
        raise call.error
    return call.value


class CallApart(Generic[Value]):
    """One such call: what it is, and how it ended."""

    def __init__(self, work: Callable[[], Coroutine[object, object, Value]]) -> None:
        self.work = work
        self.error: BaseException | None = None
        self.value: Value
        self.loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[object] | None = None

    def run(self) -> None:
        """Run it; the body of the thread."""
        try:
            asyncio.run(self.main())
        except BaseException as error:
            self.error = error

    async def main(self) -> None:
        """Keep the value; the task is known to :meth:`cancel` while it runs."""
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        self.value = await self.work()

    def cancel(self) -> None:
        """Cancel it, from another thread."""
        if self.loop is not None and self.task is not None:
            try:
                self.loop.call_soon_threadsafe(self.task.cancel)
            except RuntimeError:  # it ended just now
                pass
