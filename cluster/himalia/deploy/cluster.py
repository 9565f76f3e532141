"""What every cluster object offers, wherever its processes run: state, scaling, logs, a look, and an orderly end.

Each question opens a session of its own with the scheduler, and leaves no thread, loop or connection behind.  How
processes are started and stopped is up to the subclass (:mod:`himalia.deploy.local`).

States: ``created`` → ``starting`` → ``running`` → ``closing`` → ``closed``; ``failed`` if it never came up, its
scheduler died, or its nanny can't be kept alive (one that dies is started again, meanwhile it is ``running``).
"""

from __future__ import annotations

import asyncio
import os
import time
import warnings
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from himalia.deploy.apart import run_apart
from himalia.deploy.layout import check_count
from himalia.errors import ClosedError, HimaliaError, UnreachableError, UsageError
from himalia.follow.arrivals import wait_for_workers
from himalia.follow.control import Control
from himalia.follow.feed import Feed
from himalia.messages.answers import ClusterInfo, ProcessLogs
from himalia.names import shorten
from himalia.notebook_cells import tell_closing
from himalia.registry.dashboard_link import HasDashboard, login_link, plain_link
from himalia.show.html import render
from himalia.show.logs import Logs, texts_of
from himalia.show.plain import PlainInfo, PlainWorker, plain_info, plain_worker
from himalia.show.summary import ClusterSummary, summarize
from himalia.show.text import describe_cluster, describe_line
from himalia.views import find_views, in_notebook, runs_by_itself, warn_of_missing
from himalia.wellformed import names_of

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.lib.pretty import PrettyPrinter

    from himalia.client.client import Client
    from himalia.comm.security import Credentials
    from himalia.follow.recorder import Recorder
    from himalia.follow.source import Source

Value = TypeVar("Value")

ADVICE: Final = "cluster.get_logs() may tell why."
"""What to do when workers don't come."""
REPR_TIMEOUT: Final = 2.0
"""Seconds a representation waits for the scheduler before it shows what is known without it."""


class Cluster:
    """Base of all clusters.

    A subclass sets ``name``, ``addresses`` and ``credentials`` when it starts.

    Attributes
    ----------
    name : str
        What ``Client(name)`` and ``himalia ls`` call it.
    status : str
        See the states above.
    """

    def __init__(self, *, name: str, asynchronous: bool) -> None:
        self.name = name
        self.asynchronous = asynchronous
        self.addresses: list[str] = []
        self.expected: int | None = None
        self._recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()
        self._status = "created"

    # What a kind of cluster has to say for itself

    def _start(self) -> None:
        """Start everything; blocks.  On failure nothing is left."""
        raise NotImplementedError

    def _stop(self) -> None:
        """End everything; blocks, bounded, quiet."""
        raise NotImplementedError

    def _failure(self) -> str:
        """Return why a cluster that should run doesn't, or nothing."""
        return ""

    def own_logs(self) -> dict[str, str]:
        """Return the last output of what this object started."""
        return {}

    def _dashboard(self) -> HasDashboard | None:
        """Return where the dashboard is, and the key to it."""
        return None

    def why_no_dashboard(self) -> str:
        """Return what to do about a dashboard that was asked for and can't be had, or nothing."""
        return ""

    @property
    def credentials(self) -> Credentials:
        """What a client needs to be let in; its repr shows no secret."""
        raise NotImplementedError

    # How views follow it: see himalia.follow.source.Followable

    @property
    def cluster_name(self) -> str:
        """The name; a client of this cluster has one of its own."""
        return self.name

    def source_factory(self, *, full: bool = False) -> Callable[[], Source]:
        """Return what makes a session that follows the scheduler."""
        return partial(Feed, self.credentials, list(self.addresses), title=self.name, full=full)

    # What everybody may ask

    @property
    def status(self) -> str:
        """One of created, starting, running, closing, closed, failed."""
        # Asked at each look: nothing tells this object that a process died.
        if self._status == "running" and self._failure():
            return "failed"
        return self._status

    @property
    def scheduler_address(self) -> str:
        """Where the scheduler listens, for ``Client(address)``; empty before the start."""
        return self.addresses[0] if self.addresses else ""

    @property
    def dashboard_link(self) -> str | None:
        """A link that opens the dashboard, once and within ten minutes; another one at each look.

        ``None`` if there is no dashboard; if it lacks packages, a warning says which.
        """
        # Only while it runs: asking starts a dashboard again that had died.
        link = login_link(self._dashboard()) if self.status == "running" else ""
        if not link and self.why_no_dashboard():
            warn_of_missing()
        return link or None

    @property
    def dashboard_address(self) -> str:
        """Where the dashboard's first page is, without what opens it; empty if there is no dashboard."""
        return plain_link(self._dashboard()) if self.status == "running" else ""

    @property
    def scheduler_info(self) -> PlainInfo:
        """What the scheduler says of itself, its hosts and workers, in plain builtins."""
        return plain_info(self._ask(lambda control: control.info()))

    @property
    def workers(self) -> dict[str, PlainWorker]:
        """The workers by their names; a snapshot."""
        info = self._ask(lambda control: control.info())
        return {worker.name: plain_worker(worker) for worker in info.workers.values()}

    def scale(self, n: int) -> None:
        """Ask for so many workers; they come and go while you continue (``wait_for_workers`` waits).

        Results stay when a worker leaves, since its nanny holds them.

        Raises
        ------
        ScaleError
            If the nanny refuses, since it is ending, say.  The next one in its place starts with ``n`` workers.
        """
        check_count("n", n, least=0)
        return self._both(lambda: self._scale(n))

    def _scale(self, n: int) -> None:
        self._check_running()
        self.expect(n)  # also if it is refused: the scheduler keeps the wish for the nanny that comes next
        self._ask(lambda control: control.scale(n))

    def expect(self, workers: int) -> None:
        """Take in that the scheduler was asked for so many workers, by this object or through a view of it."""
        self.expected = workers

    def wait_for_workers(self, n_workers: int | None = None, timeout: float | None = None) -> None:
        """Wait until so many workers are ready for calls.

        Parameters
        ----------
        n_workers : int, optional
            As many as were asked for, if left out.
        timeout : float, optional
            Seconds; ``None``: as long as the cluster lives.

        Raises
        ------
        TimeoutError
            If they weren't there in time; they may still come.
        """
        wanted = self.expected or 0 if n_workers is None else n_workers
        return self._both(lambda: self._wait_for_workers(wanted, timeout))

    def _wait_for_workers(self, wanted: int, timeout: float | None) -> None:
        self._ask(
            lambda control: wait_for_workers(control.info, wanted, timeout, check=self._check_running, advice=ADVICE)
        )

    def restart_workers(self, names: str | Iterable[str]) -> dict[str, str]:
        """Replace these worker processes: what they ran is run again, results stay, and the others go on.

        Parameters
        ----------
        names : str or iterable of str
            Names or addresses of workers; see :attr:`workers`.

        Returns
        -------
        dict
            ``{name: "OK"}`` once they are back, or why one can't be replaced in the place of ``"OK"``.

        Raises
        ------
        ClosedError
            If the cluster is not running.
        TimeoutError
            If they aren't back after a minute; they are still waited for, but not here.
        """
        wanted = names_of(names)
        return self._both(lambda: self._ask(lambda control: control.restart_workers(wanted)))

    def get_client(self) -> Client:
        """Return a new client of this cluster."""
        # Here, and not above: client and deploy import each other inside functions only (test_floors.py).
        from himalia.client.client import Client

        return Client(self, asynchronous=self.asynchronous)

    def get_logs(self, cluster: bool = True, scheduler: bool = True, workers: bool = True) -> dict[str, str]:
        """Return the last output as ``{name: text}``: of the scheduler, the nannies, the workers.

        ========================  ======================================================================================
        ``scheduler``             what the scheduler's process wrote on its stderr
        ``nanny``                 what the nanny's process wrote there; of one that died and was started again, too
        ``dashboard``             the same of the dashboard, if there is one
        ``log of nanny NAME``     warnings and errors that a nanny logged while it runs, of any host
        the name of a worker      what calls printed and logged there, and what the process itself wrote, whatever its
                                  host; also of one that died
        ========================  ======================================================================================

        The first three are kept by this object, so they are there after the cluster has failed.

        Parameters
        ----------
        cluster, scheduler, workers : bool
            What to include: ``cluster`` is ``nanny`` and ``dashboard``, ``workers`` the last two rows.
        """
        return self._both(lambda: self._get_logs(cluster, scheduler, workers))

    def _get_logs(self, cluster: bool, scheduler: bool, workers: bool) -> dict[str, str]:
        own = self.own_logs()
        logs = Logs({name: text for name, text in own.items() if (scheduler if name == "scheduler" else cluster)})
        # A cluster that failed can't be asked; its own processes' last words are what is wanted then.
        if workers and self.status == "running":
            found, info = self._ask(ask_for_logs)
            nannies = {host.name or name for name, host in info.hosts.items()}
            logs.update({name: "\n".join(lines) for name, lines in texts_of(found, nannies).items()})
        return logs

    def explain(self, key: object) -> str:
        """Say why a task is in the state it is in: what it waits for, since when, what will be done.

        A scheduler that says nothing is part of the answer.

        Parameters
        ----------
        key : str or Future
            The task.
        """
        # A future by its attribute, not its class: the class would load the client.
        name = str(getattr(key, "key", key))

        def explain() -> str:
            try:
                return self._ask(lambda control: control.explain(name))
            # Not an error: that nobody answers is why nothing happens.
            except UnreachableError as error:
                return f"What {shorten(name)} waits for isn't known: the scheduler has not answered. {error}"

        return self._both(explain)

    def record(
        self,
        path: str | Path,
        *,
        last: float | str = 300.0,
        limit: int | str = "256 MiB",
        logs: bool = True,
    ) -> Recorder:
        """Record what the cluster does to a file that ``himalia replay`` opens without it.

        Parameters
        ----------
        path : str or Path
            Like ``"run.himalia"``; a recording that is there already is replaced.
        last : float or str
            Seconds before now to begin with, as far as the scheduler remembers them.
        limit : int or str
            Bytes that the file may have; when it is full, what is oldest goes.
        logs : bool
            Whether what calls print is recorded too.

        Returns
        -------
        Recorder
            ``with cluster.record(path): …`` or its ``stop()`` end the recording; so does the end of the cluster.

        Raises
        ------
        ClosedError
            If the cluster is not running.
        RecordingError
            If the file can't be written.
        UsageError
            If ``path`` is a file of something else, or ``limit`` would keep nothing.
        """
        from himalia.follow.recorder import record

        def begin() -> Recorder:
            self._check_running()
            recorder = record(self, path, last=last, limit=limit, logs=logs)
            self._recorders.add(recorder)
            return recorder

        return self._both(begin)

    def close(self) -> None:
        """End the cluster and everything that belongs to it; a second time does nothing."""
        return self._both(self._close)

    def _close(self) -> None:
        if self._status in ("closing", "closed"):
            return
        was = self._status
        if was == "running":
            # First: views of a cell's calls ask a last time, and recorders fetch the last lines,
            # while somebody answers.
            tell_closing()
        for recorder in list(self._recorders):
            recorder.finish()
        self._status = "closing"
        try:
            self._stop()
        finally:
            # Also if ctrl-C cut it short: what is left then ends by its leash.
            self._status = "failed" if was == "failed" else "closed"

    # How it is done

    def _check_running(self) -> None:
        """Raise ClosedError unless there is somebody to ask."""
        # _failure() once: a process may die between two looks, and the text would name no reason.
        if self._status == "running" and not (failure := self._failure()):
            return
        if self._status == "running":
            raise ClosedError(
                f"The cluster {self.name} has failed: {failure}. See cluster.get_logs(); start another one."
            )
        if self._status in ("created", "starting"):
            raise ClosedError(f"The cluster {self.name} is not running yet (status {self._status}); await it first.")
        raise ClosedError(f"The cluster {self.name} was closed; start another one.")

    def _ask(self, question: Callable[[Control], Coroutine[object, object, Value]], timeout: float = 5.0) -> Value:
        """Ask the scheduler in a session of its own, and block until it has answered."""
        self._check_running()
        try:
            return self._talk(question, timeout)
        except HimaliaError:
            self._check_running()  # a dead process says more than the connection that it broke
            raise

    def _talk(self, question: Callable[[Control], Coroutine[object, object, Value]], timeout: float = 5.0) -> Value:
        """Do what ``question`` does with a session; see :meth:`_ask`."""

        async def session() -> Value:
            # Made here, inside the loop that it belongs to.
            control = Control(self.credentials)
            await control.open(self.addresses, timeout)
            try:
                return await question(control)
            finally:
                await control.close()

        return run_apart(session)

    def _both(self, work: Callable[[], Value]) -> Value:
        """Do blocking work here, or hand out an awaitable of it if this object is an asynchronous one."""
        return asyncio.to_thread(work) if self.asynchronous else work()  # type: ignore[return-value]  # awaitable there

    def _launch(self) -> None:
        """Start, and keep the status true whatever happens."""
        self._status = "starting"
        try:
            self._start()
        except BaseException:
            # Ctrl-C, too: a status that stays "starting" would be waited for.
            self._status = "failed"
            raise
        self._status = "running"

    async def _launch_async(self) -> Self:
        """Start without blocking the loop; if the awaiting task is cancelled, what started is ended first."""
        # Awaited twice: by `await cluster`, then by `async with`.
        if self._status != "created":
            return self
        # A thread can't be cancelled: without the shield it would go on starting processes that nobody knows of.
        work = asyncio.ensure_future(asyncio.to_thread(self._launch))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            await asyncio.to_thread(self._close)
            raise
        return self

    def __await__(self) -> Generator[object, None, Self]:
        if not self.asynchronous:
            raise UsageError(
                f"await {type(self).__name__}(…) needs asynchronous=True; without it, it is ready already."
            )
        return self._launch_async().__await__()

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._close)

    def __enter__(self) -> Self:
        if self.asynchronous:
            raise UsageError(f"An asynchronous {type(self).__name__} is entered by `async with`.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    # What it looks like

    def _summary(self) -> ClusterSummary:
        """Return what can be shown right now; never raises, and waits 2 s at most."""
        info: ClusterInfo | None = None
        if self.status == "running":
            try:
                # Any error of ours: a notebook that shows a variable must not print a traceback.
                info = self._ask(lambda control: control.info(), REPR_TIMEOUT)
            except HimaliaError:
                pass
        return summarize(
            info,
            now=time.time(),
            title=type(self).__name__,
            name=self.name,
            status=self.status,
            comm=self.scheduler_address,
            dashboard=self.dashboard_address,
            no_dashboard=self.why_no_dashboard(),
            expected=self.expected,
        )

    def __repr__(self) -> str:
        return describe_line(self._summary())

    def _repr_html_(self) -> str:
        return render(self._summary(), now=time.time())

    def _repr_pretty_(self, printer: PrettyPrinter, cycle: bool) -> None:
        printer.text(describe_cluster(self._summary(), now=time.time()))

    def _repr_mimebundle_(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> dict[str, Any]:
        summary, now = self._summary(), time.time()
        static = {"text/plain": describe_cluster(summary, now=now), "text/html": render(summary, now=now)}
        # The static forms are always there too: they are what a saved notebook shows without a kernel.
        return self._live_view() | static

    def _live_view(self) -> dict[str, object]:
        """Return what a notebook needs to show this cluster live; nothing elsewhere, or where that can't be had."""
        # What executes a notebook by itself stores all of a widget, and its page would show that instead of the static
        # form: nothing without a network, and with one a widget that waits for its kernel.
        if not in_notebook() or runs_by_itself(os.environ):
            return {}
        try:
            views = find_views()
            return views.cluster_mimebundle(self) if views is not None else {}
        except Exception as failure:  # of packages that aren't ours; the static view needs none of them
            warnings.warn(f"The cluster is shown without its live view: {failure!r}.", RuntimeWarning, stacklevel=2)
            return {}


async def ask_for_logs(control: Control) -> tuple[ProcessLogs, ClusterInfo]:
    """Return the last lines of all hosts, and which hosts there are."""
    return await control.logs(), await control.info()
