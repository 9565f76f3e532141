"""A client's own session, for a view that only asks.

It is open anyway; a session of the view's own would be opened and closed with each cell, and a cell may last a moment.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, TypeVar, cast

from himalia.errors import ClosedError, TimeoutError
from himalia.follow.source import Groups
from himalia.messages.answers import TelemetryReport

if TYPE_CHECKING:
    from himalia.client.client import Client

T = TypeVar("T")


class OwnSession:
    """Asks in the loop of a client, from any other thread.

    Parameters
    ----------
    client : Client
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def ask(self, question: Callable[[Groups], Coroutine[object, object, T]], timeout: float) -> T:
        """Ask, and wait for the answer; see :meth:`himalia.follow.thread_feed.ThreadFeed.ask`."""
        if self._client.status != "running":
            raise ClosedError("This client is closed.")
        coroutine = question(self)
        try:
            answer = asyncio.run_coroutine_threadsafe(coroutine, self._client.loop)
        except RuntimeError:
            # Else Python warns of a coroutine that nobody awaited.
            coroutine.close()
            raise ClosedError("The client's event loop has ended.") from None
        try:
            return answer.result(timeout)
        except concurrent.futures.TimeoutError:
            raise TimeoutError(f"The scheduler did not answer within {timeout:g} s; it goes on.") from None
        except concurrent.futures.CancelledError:
            raise ClosedError("The client was closed in the meantime.") from None
        finally:
            # After a timeout nobody waits for it any more; if it is done, this does nothing.
            answer.cancel()

    async def telemetry(self, since: float = 0.0, span: str = "") -> TelemetryReport:
        """Return what is counted."""
        asked = self._client.telemetry(since, span)
        return await cast("Awaitable[TelemetryReport]", asked)  # in its loop, a client's methods are awaited
