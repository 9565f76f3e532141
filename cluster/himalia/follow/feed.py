"""A cluster's telemetry, followed in an asyncio loop by whoever shows it (``thread_feed.py``: from other threads).

Decides who is called with what: each subscriber first gets everything that is known, then what changes, and once, at
the end, why there is no more.  It never decides what is shown, and a subscriber that fails harms no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import msgspec

from himalia.bucket import Complaints
from himalia.comm.security import Credentials
from himalia.errors import HimaliaError
from himalia.follow.control import CONNECT_TIMEOUT, Control
from himalia.messages.answers import ClusterInfo
from himalia.messages.client import FollowTelemetry, Telemetry
from himalia.messages.telemetry import TaskRecord
from himalia.names import SCHEDULER
from himalia.system import machine_identity
from himalia.telemetry.snapshot import Snapshot

logger = logging.getLogger("himalia.feed")

T = TypeVar("T")

UNKNOWN: Final = -1
"""A membership that no scheduler has."""
RECENT: Final = 2_000
"""Records that are kept for subscribers to come, of a feed that isn't full: some 600 bytes each."""


class Subscriber(NamedTuple):
    """Whom to call; see :meth:`Feed.subscribe`."""

    on_telemetry: Callable[[Telemetry], object]
    on_info: Callable[[ClusterInfo], object] | None
    on_end: Callable[[str], object] | None


class Feed:
    """A session with a scheduler that pushes telemetry; all methods belong to the loop that called :meth:`open`.

    The first push has the calls that the scheduler remembers of before.

    Parameters
    ----------
    credentials : Credentials
        Of the cluster.
    addresses : list of str
        Of its scheduler, to be tried in this order.
    interval : float
        Seconds between two pushes, at least.
    full : bool
        Whether to get every record (packed, in ``Telemetry.blocks``) instead of an even sample.  Those are not kept
        for subscribers that come after the first push.

    Attributes
    ----------
    control : Control
        For questions.
    """

    def __init__(
        self, credentials: Credentials, addresses: list[str], *, interval: float = 0.25, full: bool = False
    ) -> None:
        self.control = Control(credentials, on_telemetry=self._pushed, on_end=self._ended)
        self._addresses = addresses
        self._interval = interval
        self._full = full
        self._subscribers: dict[int, Subscriber] = {}
        self._count = 0
        self._complaints = Complaints(logger)
        self._snapshot = Snapshot()
        self._recent: deque[TaskRecord] = deque(maxlen=RECENT)
        self._has_begun = False
        """Whether a push came."""
        self._membership = UNKNOWN
        """Of the info that was asked for last."""
        self._asking: asyncio.Task[None] | None = None
        self._over = ""
        """Why it ended."""

    async def open(self, timeout: float = CONNECT_TIMEOUT) -> None:
        """Connect and follow; if that fails, subscribers are told why, too.

        Raises
        ------
        ConnectError
            If no scheduler is there, or it refuses us.
        """
        try:
            await self.control.open(self._addresses, timeout)
            self.control.endpoint.send(SCHEDULER, FollowTelemetry(self._interval, self._full, past=True))
        except HimaliaError as error:
            self._ended(str(error))
            raise

    async def close(self) -> None:
        """End the session; subscribers are told."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        await self.control.close()

    def subscribe(
        self,
        on_telemetry: Callable[[Telemetry], object],
        on_info: Callable[[ClusterInfo], object] | None = None,
        on_end: Callable[[str], object] | None = None,
    ) -> Callable[[], None]:
        """Have what comes from now on handed out, after what is known already; return how to end that.

        Parameters
        ----------
        on_telemetry : callable
            Gets each push.
        on_info : callable, optional
            Gets ``Control.info()`` with the identity of this machine as ``here``, at first and whenever hosts or
            workers came or went.
        on_end : callable, optional
            Gets the reason, once, when no more will come.
        """
        subscriber = Subscriber(on_telemetry, on_info, on_end)
        if self._over:
            self._call(on_end, self._over)
            return lambda: None
        self._count = number = self._count + 1
        self._subscribers[number] = subscriber
        if self._has_begun:
            self._call(on_telemetry, self._known())
        if self._snapshot.info is not None:
            self._call(on_info, self._snapshot.info)

        def leave() -> None:
            self._subscribers.pop(number, None)

        return leave

    def _known(self) -> Telemetry:
        """Return what all pushes add up to, as one."""
        records = list(self._recent)
        known = self._snapshot.telemetry()
        return msgspec.structs.replace(known, records=records, skipped=known.status.total - len(records))

    def _pushed(self, telemetry: Telemetry) -> None:
        self._has_begun = True
        self._snapshot.take(telemetry)
        self._recent.extend(telemetry.records)
        for subscriber in list(self._subscribers.values()):
            self._call(subscriber.on_telemetry, telemetry)
        if telemetry.status.membership != self._membership:
            self._membership = telemetry.status.membership
            if self._asking is None:
                self._asking = asyncio.get_running_loop().create_task(self._ask_info())

    async def _ask_info(self) -> None:
        """Ask who is there, again if that changes meanwhile."""
        try:
            asked = UNKNOWN
            while asked != self._membership:
                asked = self._membership
                info = msgspec.structs.replace(await self.control.info(), here=machine_identity())
                self._snapshot.take_info(info)
                for subscriber in list(self._subscribers.values()):
                    self._call(subscriber.on_info, info)
        except HimaliaError as error:
            logger.debug("the scheduler didn't say who is there: %s", error)
            self._membership = UNKNOWN  # ask again with the next push
        finally:
            self._asking = None

    def _ended(self, reason: str) -> None:
        if self._over:
            return
        self._over = reason
        subscribers, self._subscribers = self._subscribers, {}
        for subscriber in subscribers.values():
            self._call(subscriber.on_end, reason)

    def _call(self, callback: Callable[[T], object] | None, value: T) -> None:
        if callback is None:
            return
        try:
            callback(value)
        except Exception as error:
            self._complaints.write(time.monotonic(), "a subscriber of the telemetry failed", error=error)
