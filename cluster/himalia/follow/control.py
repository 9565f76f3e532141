"""A session with a scheduler for asking it things: what a cluster object and the command line need, and no task ever.

It holds no futures and no keys, so it may come and go without anybody's results noticing.  How long a question may take
is decided here.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

from himalia.comm.contact import describe_contact
from himalia.comm.endpoint import Endpoint
from himalia.comm.security import Credentials
from himalia.errors import ClosedError, HimaliaError, ScaleError, TimeoutError
from himalia.follow.awaited_answers import AwaitedAnswers
from himalia.messages.answers import (
    A,
    ClusterInfo,
    ProcessLogs,
    ProfileSamples,
    Question,
    Reply,
    Scaled,
    TaskView,
    TelemetryReport,
)
from himalia.messages.client import (
    CatchUp,
    DescribeTask,
    Explain,
    FollowTelemetry,
    GetInfo,
    GetLogs,
    GetProfile,
    GetTelemetry,
    Restart,
    Scale,
    SchedulerToClient,
    Telemetry,
)
from himalia.messages.parts import Close
from himalia.names import SCHEDULER, Key, PeerId, new_incarnation, shorten
from himalia.plural import plural
from himalia.settings import DEFAULT

CONNECT_TIMEOUT = 5.0
"""Seconds to reach a scheduler that is known to run; as Ray (``gcs_rpc_server_connect_timeout_s``).
dask.distributed has 30, also for one that starts."""
ANSWER_TIMEOUT = 10.0
"""Seconds a scheduler may take for an answer out of its own tables; Ray gives a health check as long
(``health_check_timeout_ms``)."""
EXPLAIN_TIMEOUT = 5.0
"""The same when somebody asks why nothing happens, who must not wait in silence as well."""

RESTART_TIMEOUT = 60.0
"""Seconds that worker processes may take to be replaced.  Imports from a slow network file system take as long."""


def ignore(news: object) -> None:
    """Take no notice."""


class Control:
    """Questions to one scheduler; all methods belong to the loop that called :meth:`open`.

    Parameters
    ----------
    credentials : Credentials
        Of the cluster.
    on_telemetry : callable, optional
        Gets each push, if the scheduler is asked for them.
    on_end : callable, optional
        Gets the reason when no more answers will come.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        on_telemetry: Callable[[Telemetry], object] = ignore,
        on_end: Callable[[str], object] = ignore,
    ) -> None:
        self.on_telemetry = on_telemetry
        self.on_end = on_end
        # Numbers of this session alone: nothing else in it is a request.
        self.awaited = AwaitedAnswers(itertools.count(1).__next__)
        self.gone = ""
        self.left = asyncio.Event()
        self.endpoint = Endpoint(
            # A client by its keys, and by its name none that the scheduler counts as somebody (overview.py).
            me=new_incarnation("control"),
            role="client",
            credentials=credentials,
            unions={"scheduler": SchedulerToClient},
            handler=self,
            settings=DEFAULT,
        )

    async def open(self, addresses: list[str], timeout: float = CONNECT_TIMEOUT) -> None:
        """Connect to the first of these addresses where the scheduler is, within ``timeout`` seconds for all of them.

        Raises
        ------
        ConnectError
            If none of them answers, or it refuses us.
        """
        try:
            await self.endpoint.connect_any(addresses, alias=SCHEDULER, timeout=timeout)
        except HimaliaError as failure:
            # Before the endpoint closes, or the reason would be that.
            self.end(str(failure))
            await self.endpoint.close()
            raise

    async def ask(self, make: Callable[[int], Question[A]], timeout: float = ANSWER_TIMEOUT) -> A:
        """Send the question that ``make`` builds for a number, and return its answer.

        Raises
        ------
        ClosedError
            If the scheduler is gone.
        TimeoutError
            If it doesn't answer in time.
        HimaliaError
            If it can't answer, or would refuse the question; the text says why.
        """
        if self.gone:
            raise ClosedError(f"The cluster has ended: {self.gone}.")
        try:
            async with asyncio.timeout(timeout):
                return await self.awaited.ask(make, lambda question: self.endpoint.send(SCHEDULER, question))
        # asyncio's own, to be told from ours, which is imported under the same name.
        except builtin_timeout:
            raise TimeoutError(f"The scheduler did not answer within {timeout:g} s; it goes on.") from None

    async def info(self) -> ClusterInfo:
        """Return the scheduler, its hosts and its workers."""
        return await self.ask(GetInfo)

    async def scale(self, workers: int) -> Scaled:
        """Let the cluster's only host keep so many workers.

        Raises
        ------
        ScaleError
            If it doesn't; the text has its words.
        """
        scaled = await self.ask(lambda number: Scale(number, workers))
        if scaled.problems:
            reasons = "; ".join(f"{address}: {why}" for address, why in scaled.problems.items())
            raise ScaleError(
                f"The cluster was not scaled to {plural(workers, 'worker')}: {reasons}.", dict(scaled.problems)
            )
        return scaled

    async def logs(self, since: float = 0.0) -> ProcessLogs:
        """Return the last lines of nannies and workers, dead ones too; only those written after ``since``, epoch s."""
        return await self.ask(lambda number: GetLogs(number, None, since=since))

    async def explain(self, key: str) -> str:
        """Return why a key is in the state it is in, or that the scheduler doesn't say."""
        try:
            return (await self.ask(lambda number: Explain(number, Key(key)), EXPLAIN_TIMEOUT)).text
        except TimeoutError:
            return (
                f"What {shorten(key)} waits for isn't known: the scheduler has not answered for {EXPLAIN_TIMEOUT:g} s. "
                f"{describe_contact(self.endpoint.contact(SCHEDULER))}"
            )

    async def describe_task(self, key: str) -> TaskView:
        """Return all that is known of a key."""
        return await self.ask(lambda number: DescribeTask(number, Key(key)))

    async def restart_workers(self, names: list[str], timeout: float = RESTART_TIMEOUT) -> dict[str, str]:
        """Replace these worker processes, wait until they are back, and return ``{name: "OK"}``, or why not.

        What they ran is run again; results stay.
        """
        return (await self.ask(lambda number: Restart(number, names), timeout)).workers

    async def telemetry(self, since: float = 0.0, span: str = "") -> TelemetryReport:
        """Return summaries of all groups, or those of a span, and kept records of calls that began since then."""
        return await self.ask(lambda number: GetTelemetry(number, since, span))

    async def profile(self, since: float = 0.0, workers: list[str] | None = None) -> ProfileSamples:
        """Return what calls did after ``since`` (epoch seconds); see :class:`GetProfile`."""
        return await self.ask(lambda number: GetProfile(number, since, workers))

    def follow(self, interval: float, *, full: bool) -> None:
        """Have what changes pushed, at most every ``interval`` seconds; see :class:`Feed` for ``full``."""
        self.endpoint.send(SCHEDULER, FollowTelemetry(interval, full, past=True))

    async def catch_up(self) -> None:
        """Return once what the scheduler knew when it was asked was pushed, if it is followed."""
        # What a session carries comes in order: the push was handed on before the answer is read.
        await self.ask(CatchUp)

    async def shut_down(self, reason: str, timeout: float) -> bool:
        """Ask the cluster to end, and return whether its scheduler said goodbye in time."""
        if not self.gone:
            self.endpoint.send(SCHEDULER, Close(reason))
            # Now: the process may end right after this, with what its loop would have sent in the next tick.
            self.endpoint.flush()
        try:
            async with asyncio.timeout(timeout):
                # Its goodbye, or the end of the session: either says that it has gone.
                await self.left.wait()
        except builtin_timeout:
            return False
        return True

    async def close(self) -> None:
        """End the session; nothing else happens to the cluster."""
        # First: questions under way end by this reason, and what peer_left() says after it is no news.
        self.end("the session was closed")
        await self.endpoint.close()

    def end(self, reason: str) -> None:
        """Note that no more answers will come."""
        first = not self.gone
        # The first reason is the cause; what follows from it (a cut connection) says less.
        self.gone = self.gone or reason
        self.left.set()
        self.awaited.end(f"The cluster has ended: {reason}.")
        if first:
            self.on_end(reason)

    def peer_joined(self, peer: PeerId, role: str) -> None:
        """See :class:`himalia.comm.endpoint.Handler`."""

    def messages_received(self, peer: PeerId, messages: Sequence[object]) -> None:
        """Hand replies to who waits; everything else that a scheduler tells its clients is for real ones."""
        for message in messages:
            match message:
                case Reply(request=number, value=value, error=text):
                    self.awaited.answer(number, value, HimaliaError(text) if text else None)
                case Telemetry():
                    self.on_telemetry(message)
                # Told by the scheduler; the cut that follows would only say that nobody is there.
                case Close(reason=reason):
                    self.end(reason)

    def peer_left(self, peer: PeerId, reason: str) -> None:
        """See :class:`himalia.comm.endpoint.Handler`."""
        self.end(reason)


builtin_timeout = asyncio.TimeoutError  # himalia's own has the same name
