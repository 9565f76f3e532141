"""A cluster of somebody else's kind: neither a scheduler of ours nor a recording, and no engine of ours stands for it.

What every view must be able to show, because it takes nothing but a :class:`himalia.follow.source.Source`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from himalia.errors import UsageError
from himalia.follow.source import Action, Source, Subscriber
from himalia.messages.answers import (
    ClusterInfo,
    ProcessLogs,
    ProfileSamples,
    Scaled,
    TaskView,
    TelemetryReport,
)
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import GroupSummary, LogLine
from himalia.names import Key
from himalia.show.bars import Bar
from himalia.telemetry.snapshot import Snapshot


class ForeignSource:
    """A source that a test tells what to tell, from any thread."""

    is_live = True

    def __init__(self, title: str = "lab", obstacles: Mapping[Action, str] | None = None) -> None:
        self.title = title
        self.asked: list[object] = []
        self.unpushed: list[tuple[Telemetry, ClusterInfo]] = []
        """What it knows and tells who asks for it."""
        self.time = 1_700_000_000.0
        self._obstacles = obstacles or {}
        self._subscribers: dict[int, Subscriber] = {}
        self._count = 0
        self._snapshot = Snapshot()
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        return self.time

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        self._loop = None
        self._end("it was closed")

    # What a test does, in any thread

    @property
    def followers(self) -> int:
        """How many want to know who is there, so that views are counted and not the thread that serves them."""
        return sum(subscriber.on_info is not None for subscriber in list(self._subscribers.values()))

    def tell(self, telemetry: Telemetry, info: ClusterInfo) -> None:
        self._soon(lambda: self._tell(telemetry, info))

    def restart(self) -> None:
        self._soon(self._restart)

    def end(self, reason: str) -> None:
        self._soon(lambda: self._end(reason))

    def _soon(self, work: Callable[[], object]) -> None:
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(work)
        else:
            work()

    def _tell(self, telemetry: Telemetry, info: ClusterInfo) -> None:
        self.time = max(self.time, telemetry.time)
        self._snapshot.take_info(info)
        self._snapshot.take(telemetry)
        for subscriber in list(self._subscribers.values()):
            if subscriber.on_info is not None:
                subscriber.on_info(info)
            subscriber.on_telemetry(telemetry)

    def _restart(self) -> None:
        self._snapshot = Snapshot()
        for subscriber in list(self._subscribers.values()):
            if subscriber.on_restart is not None:
                subscriber.on_restart()

    def _end(self, reason: str) -> None:
        subscribers, self._subscribers = self._subscribers, {}
        for subscriber in subscribers.values():
            if subscriber.on_end is not None:
                subscriber.on_end(reason)

    # See himalia.follow.source.Source

    async def info(self) -> ClusterInfo:
        return self._snapshot.info or ClusterInfo()

    async def telemetry(self, since: float = 0.0, span: str = "") -> TelemetryReport:
        return TelemetryReport(self.groups(span), [])

    def groups(self, span: str) -> list[GroupSummary]:
        return [group for group in self._snapshot.telemetry().groups if span in ("", group.span)]

    async def describe_task(self, key: str) -> TaskView:
        return TaskView(Key(key), status="waiting", why=f"{key} waits.")

    async def logs(self, since: float = 0.0) -> ProcessLogs:
        return ProcessLogs({"w-0": [LogLine(2.0, "stdout", "hello")]} if since < 2.0 else {})

    async def profile(self, since: float = 0.0) -> ProfileSamples:
        return ProfileSamples({"w-0": [(self.time, "main (a.py:1);inner (b.py:2)", 3)]})

    def subscribe(
        self,
        on_telemetry: Callable[[Telemetry], object],
        on_info: Callable[[ClusterInfo], object] | None = None,
        on_end: Callable[[str], object] | None = None,
        on_restart: Callable[[], object] | None = None,
    ) -> Callable[[], None]:
        self._count = number = self._count + 1
        self._subscribers[number] = Subscriber(on_telemetry, on_info, on_end, on_restart)
        if self._snapshot.info is not None:
            if on_info is not None:
                on_info(self._snapshot.info)
            on_telemetry(self._snapshot.telemetry())

        def leave() -> None:
            self._subscribers.pop(number, None)

        return leave

    async def catch_up(self) -> None:
        while self.unpushed:
            self._tell(*self.unpushed.pop(0))

    def obstacle(self, action: Action) -> str:
        return self._obstacles.get(action, "")

    async def scale(self, workers: int) -> Scaled:
        self._refuse("scale")
        self.asked.append(("scale", workers))
        return Scaled([])

    async def restart_workers(self, names: list[str]) -> dict[str, str]:
        self._refuse("restart")
        self.asked.append(("restart", names))
        return dict.fromkeys(names, "There is no such worker.")

    def _refuse(self, action: Action) -> None:
        if self.obstacle(action):
            raise UsageError(self.obstacle(action))


class ForeignCluster:
    """What its users hold of it; made of nothing of ours."""

    name = cluster_name = "lab"
    scheduler_address = "unix:///run/lab"

    def __init__(self, obstacles: Mapping[Action, str] | None = None) -> None:
        self.source = ForeignSource(self.name, obstacles)
        self.addresses = [f"foreign://{id(self)}"]
        self.links = 0
        self.status = "running"
        self.expected: int | None = 2

    def source_factory(self, *, full: bool = False) -> Callable[[], Source]:
        source = self.source
        return lambda: source

    @property
    def dashboard_link(self) -> str | None:
        self.links += 1
        return f"http://127.0.0.1:8787/login?code={self.links}" if self.status == "running" else None

    def expect(self, workers: int) -> None:
        self.expected = workers

    def own_logs(self) -> dict[str, str]:
        return {"scheduler": "up"}


class ForeignProgress:
    """Calls of that cluster, of which one more ends with each look after the first."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.ended = -1

    def look(self) -> list[Bar]:
        self.ended = min(self.ended + 1, self.calls)
        return [Bar("inc", self.ended, self.calls)]

    def wait(self, seconds: float) -> None:
        """Take no time."""
