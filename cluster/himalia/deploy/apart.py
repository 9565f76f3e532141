"""Running a coroutine to its end for a caller that may itself be inside an event loop, or have none.

Each such call gets a thread and a loop of its own for as long as it takes: nothing lingers between two calls, nothing
has to be closed, and it works at any moment of a program's life.  It is not for anything frequent.
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
    # A thread in any case: a notebook's kernel runs a loop in this one, and asyncio.run() refuses to nest.
    # A daemon: the interpreter must not wait at its end for a scheduler that doesn't answer.
    thread = threading.Thread(target=call.run, name="himalia-ask", daemon=True)
    thread.start()
    try:
        thread.join()
    # Ctrl-C, which only this thread sees.  Nobody waits for the cancelled one: it has nothing left to do but to close.
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
        self.value: Value  # unset until it returned; only read where there is no error
        self.loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[object] | None = None

    def run(self) -> None:
        """Run it; the body of the thread."""
        try:
            asyncio.run(self.main())
        # CancelledError and SystemExit, too: what ends the thread has to reach the caller.
        except BaseException as error:
            self.error = error

    async def main(self) -> None:
        """Keep the value; the task is known to :meth:`cancel` while it runs."""
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        self.value = await self.work()

    def cancel(self) -> None:
        """Cancel it, from another thread."""
        # If they aren't there yet, the thread has only just begun; the question's own timeout ends it.
        if self.loop is not None and self.task is not None:
            try:
                self.loop.call_soon_threadsafe(self.task.cancel)
            except RuntimeError:  # it ended just now
                pass
