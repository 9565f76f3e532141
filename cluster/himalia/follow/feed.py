"""A cluster's telemetry, followed in an asyncio loop by whoever shows it (``thread_feed.py``: from other threads).

Each subscriber first gets everything that is known, then what changes, and once, at the end, why there is no more.  One
that fails harms no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from himalia.bucket import Complaints
from himalia.comm.security import Credentials
from himalia.errors import HimaliaError
from himalia.follow.control import CONNECT_TIMEOUT, Control
from himalia.follow.source import Action, Subscriber
from himalia.messages.answers import ClusterInfo, ProcessLogs, ProfileSamples, Scaled, TaskView, TelemetryReport
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import TaskRecord
from himalia.system import machine_identity
from himalia.telemetry.snapshot import Snapshot

logger = logging.getLogger("himalia.feed")

T = TypeVar("T")

UNKNOWN: Final = -1
"""A membership that no scheduler has."""
RECENT: Final = 2_000
"""Records that are kept for subscribers to come, of a feed that isn't full: some 600 bytes each."""


class Feed:
    """A session with a scheduler that pushes telemetry: the :class:`~himalia.follow.source.Source` of our clusters.

    The first push has the calls that the scheduler remembers of before.

    Parameters
    ----------
    credentials : Credentials
        Of the cluster.
    addresses : list of str
        Of its scheduler, to be tried in this order.
    title : str
        Name of the cluster.
    interval : float
        Seconds between two pushes, at least.
    full : bool
        Whether to get every record (packed, in ``Telemetry.blocks``) instead of an even sample.  Those are not kept
        for subscribers that come after the first push.

    Attributes
    ----------
    control : Control
        Asks.
    """

    is_live = True

    def __init__(
        self,
        credentials: Credentials,
        addresses: list[str],
        *,
        title: str = "",
        interval: float = 0.25,
        full: bool = False,
    ) -> None:
        self.title = title
        self.control = Control(credentials, on_telemetry=self._pushed, on_end=self._ended)
        self._addresses = addresses
        self._interval = interval
        self._full = full
        self._subscribers: dict[int, Subscriber] = {}
        self._count = 0  # of subscribers that ever were; each is known by its number
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

    def now(self) -> float:
        """See :class:`~himalia.follow.source.Source`, here and below."""
        return time.time()

    async def open(self, timeout: float = CONNECT_TIMEOUT) -> None:
        """Connect and follow; if that fails, subscribers are told why, too.

        Raises
        ------
        ConnectError
            If no scheduler is there, or it refuses us.
        """
        try:
            await self.control.open(self._addresses, timeout)
            self.control.follow(self._interval, full=self._full)
        except HimaliaError as error:
            # Told once: if the connection failed, the control has said so already.
            self._ended(str(error))
            raise

    async def close(self) -> None:
        """End the session; subscribers are told."""
        if self._asking is not None:
            # Before the session that it asks in, whose end would make a failed question of it.
            self._asking.cancel()
            await asyncio.wait([self._asking])
        await self.control.close()

    async def info(self) -> ClusterInfo:
        """Return the scheduler, its hosts and its workers, and where they are seen from."""
        # Where it is seen from, the scheduler can't know.
        return msgspec.structs.replace(await self.control.info(), here=machine_identity())

    async def telemetry(self, since: float = 0.0, span: str = "") -> TelemetryReport:
        """Return what the scheduler keeps of calls that began at ``since`` or later, and summaries of all."""
        return await self.control.telemetry(since, span)

    async def describe_task(self, key: str) -> TaskView:
        """Return all that the scheduler knows of a key."""
        return await self.control.describe_task(key)

    async def logs(self, since: float = 0.0) -> ProcessLogs:
        """Return the last lines of nannies and workers."""
        return await self.control.logs(since)

    async def profile(self, since: float = 0.0) -> ProfileSamples:
        """Return the samples of all workers that can be looked at."""
        return await self.control.profile(since)

    async def catch_up(self) -> None:
        """Have what changed pushed now, and, if somebody came or left, wait for who is there."""
        await self.control.catch_up()
        if self._asking is not None:
            await asyncio.wait([self._asking])

    def obstacle(self, action: Action) -> str:
        """Return why that can't be done: the scheduler starts no host, and on several it wouldn't know where."""
        return cannot_scale(self._snapshot.info) if action == "scale" else ""

    async def scale(self, workers: int) -> Scaled:
        """Let the cluster's only host keep so many workers."""
        return await self.control.scale(workers)

    async def restart_workers(self, names: list[str]) -> dict[str, str]:
        """Replace these worker processes; what they ran is run again, results stay."""
        return await self.control.restart_workers(names)

    def subscribe(
        self,
        on_telemetry: Callable[[Telemetry], object],
        on_info: Callable[[ClusterInfo], object] | None = None,
        on_end: Callable[[str], object] | None = None,
        on_restart: Callable[[], object] | None = None,
    ) -> Callable[[], None]:
        """Hand out what is known already, then what comes; time never goes back here."""
        subscriber = Subscriber(on_telemetry, on_info, on_end, on_restart)
        if self._over:
            self._call(on_end, self._over)
            return lambda: None
        self._count = number = self._count + 1
        self._subscribers[number] = subscriber
        # Before the first push the sum would say that nothing ever happened.
        if self._has_begun:
            self._call(on_telemetry, self._known())
        if self._snapshot.info is not None:
            # After the telemetry, in the order in which those got it who were there from the start.
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
        # Before the subscribers: one that subscribes while another is called is told this push by the sum alone.
        self._snapshot.take(telemetry)
        self._recent.extend(telemetry.records)
        # A copy: subscribers leave while they are called.
        for subscriber in list(self._subscribers.values()):
            self._call(subscriber.on_telemetry, telemetry)
        if telemetry.status.membership != self._membership:
            self._membership = telemetry.status.membership
            # One question at a time: a start of a hundred workers changes the number a hundred times.
            if self._asking is None:
                self._asking = asyncio.get_running_loop().create_task(self._ask_info())

    async def _ask_info(self) -> None:
        """Ask who is there, again if that changes meanwhile."""
        try:
            asked = UNKNOWN
            while asked != self._membership:
                asked = self._membership
                info = await self.info()
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
        # Out of the table first: one that leaves, or subscribes, in its own callback meets none of them.
        subscribers, self._subscribers = self._subscribers, {}
        for subscriber in subscribers.values():
            self._call(subscriber.on_end, reason)

    def _call(self, callback: Callable[[T], object] | None, value: T) -> None:
        if callback is None:
            return
        try:
            callback(value)
        # Views of users and of other packages: what they raise must not end the session of all.
        except Exception as error:
            self._complaints.write(time.monotonic(), "a subscriber of the telemetry failed", error=error)


def cannot_scale(info: ClusterInfo | None) -> str:
    """Say why the number of workers can't be chosen; empty if it can."""
    if info is None:
        return "Waiting for what the scheduler says about its hosts."
    hosts = len(info.hosts)
    if hosts == 0:
        return "No host is here that could start workers."
    if hosts > 1:
        return f"Workers are on {hosts} hosts, and none of them was chosen. Start or stop nannies there instead."
    return ""
