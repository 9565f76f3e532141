"""What feeds the views: a cluster that can be described, followed and acted on, whoever keeps it.

This is what a view may count on, wherever it comes from.  Our scheduler is one source
(:class:`himalia.follow.feed.Feed`), a recording another one (``himalia_widgets.replay``).  What they tell, they tell in
the structs of :mod:`himalia.messages`, which are what recordings are made of, too.

A source lives in one event loop, as a session does.  Views in threads (a widget, the recorder, a cell's bar) reach it
through :class:`himalia.follow.thread_feed.ThreadFeed`, which takes a :class:`Followable`: what people hold.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Literal, NamedTuple, Protocol, TypeVar

from himalia.messages.answers import ClusterInfo, ProcessLogs, ProfileSamples, Scaled, TaskView, TelemetryReport
from himalia.messages.client import Telemetry

T = TypeVar("T")

Action = Literal["scale", "restart"]
"""What a view may want to do to a cluster."""


class Subscriber(NamedTuple):
    """Whom to call; see :meth:`Source.subscribe`."""

    on_telemetry: Callable[[Telemetry], object]
    on_info: Callable[[ClusterInfo], object] | None = None
    on_end: Callable[[str], object] | None = None
    on_restart: Callable[[], object] | None = None


class Groups(Protocol):
    """The part of a source that a bar under a cell needs."""

    async def telemetry(self, since: float = 0.0, span: str = "") -> TelemetryReport:
        """Return summaries of groups, and the kept records of calls that began at ``since`` (epoch s) or later.

        With a ``span``, only summaries of what was submitted under it.
        """
        ...


class Source(Groups, Protocol):
    """Where views get their data; all of it in one event loop, except what is said to be for any thread.

    A question that can't be answered raises a :class:`~himalia.errors.HimaliaError` whose text says why.  What a source
    doesn't know it leaves at the defaults of the structs.
    """

    title: str
    """Name of the cluster or the recording; any thread."""
    is_live: bool
    """Whether time runs by itself and there is a cluster that can answer; any thread."""

    def now(self) -> float:
        """Return the time at which a push that arrives now arrives, epoch seconds; any thread."""
        ...

    async def open(self) -> None:
        """Connect and begin to follow.

        Raises
        ------
        HimaliaError
            If it can't be followed; subscribers are told why, too.
        """
        ...

    async def close(self) -> None:
        """Follow no more; subscribers are told."""
        ...

    # Describe

    async def info(self) -> ClusterInfo:
        """Return who is there, with the identity of this machine as ``here``."""
        ...

    async def describe_task(self, key: str) -> TaskView:
        """Return all that is known of a task; its status is ``unknown`` if there is none."""
        ...

    async def logs(self, since: float = 0.0) -> ProcessLogs:
        """Return the last lines that processes wrote, after ``since``, epoch seconds."""
        ...

    async def profile(self, since: float = 0.0) -> ProfileSamples:
        """Return what calls did when they were looked at after ``since``, epoch seconds."""
        ...

    # Follow

    def subscribe(
        self,
        on_telemetry: Callable[[Telemetry], object],
        on_info: Callable[[ClusterInfo], object] | None = None,
        on_end: Callable[[str], object] | None = None,
        on_restart: Callable[[], object] | None = None,
    ) -> Callable[[], None]:
        """Have what comes from now on handed out, after what is known already; return how to end that.

        Parameters
        ----------
        on_telemetry : callable
            Gets each push.
        on_info : callable, optional
            Gets :meth:`info`, at first and whenever hosts or workers came or went.
        on_end : callable, optional
            Gets the reason, once, when no more will come.
        on_restart : callable, optional
            Called when all that was told no longer holds, and it is told from scratch: time was moved back.
        """
        ...

    async def catch_up(self) -> None:
        """Return once subscribers were told all that there is to know by now.

        Who stops following and asks first has missed nothing, though pushes come a few times a second only.
        """
        ...

    # Act

    def obstacle(self, action: Action) -> str:
        """Return why this can't be done here, in a sentence, or nothing if it can; asks nobody; any thread."""
        ...

    async def scale(self, workers: int) -> Scaled:
        """Have so many workers kept; some may still be starting when this returns."""
        ...

    async def restart_workers(self, names: list[str]) -> dict[str, str]:
        """Replace these worker processes, wait until they are back, and return ``{name: "OK"}``, or why not."""
        ...


Question = Callable[[Source], Coroutine[object, object, T]]


class Followable(Protocol):
    """What people hold of a cluster: a cluster object, or a client of one."""

    @property
    def addresses(self) -> list[str]:
        """Where it is; empty: nowhere yet.  All views of what is at the same place share one source."""
        ...

    @property
    def cluster_name(self) -> str:
        """What people call the cluster."""
        ...

    def source_factory(self, *, full: bool = False) -> Callable[[], Source]:
        """Return what makes a source that isn't open yet, and keeps this object alive no longer.

        With ``full``, pushes have every record (packed, in ``Telemetry.blocks``) instead of an even sample.
        """
        ...
