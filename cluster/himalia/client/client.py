"""The client: a user's connection to a cluster.

Decides nothing of its own: it checks arguments, and hands them to the submitter, the machine (through the shell), or,
for Dask, to ``collections.py``.  What it owns is lifetime: its shell, its share of the loop's thread, a cluster that
it started.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import time
import weakref
from collections.abc import Generator
from types import TracebackType
from typing import Any, Self

from himalia.cells import find_cells, has_to_tell, tell_closing
from himalia.client import default, listing
from himalia.client.dask.collections import Collections
from himalia.client.engine import portal
from himalia.client.engine.callbacks import CallbackThread
from himalia.client.engine.config import EngineConfig
from himalia.client.engine.events import MessageMade
from himalia.client.engine.shell import ClientShell
from himalia.client.engine.submitting import Submitter
from himalia.client.future import AnyFuture
from himalia.client.inquiries import Inquiries
from himalia.client.output import OutputForwarder
from himalia.client.recreate import Recreating
from himalia.client.reprs import client_html, client_text, info_task_words
from himalia.comm.security import Credentials
from himalia.errors import HimaliaError, UsageError
from himalia.messages.answers import ClusterInfo
from himalia.messages.client import CancelSpan
from himalia.messages.parts import Close
from himalia.names import ClientId, new_incarnation
from himalia.registry import clusters
from himalia.registry.dashboard_link import HasDashboard, login_link, plain_link
from himalia.registry.target import FILE_VARIABLE, Target, find_target
from himalia.settings import DEFAULT, Settings
from himalia.show.summary import ClusterSummary, summarize
from himalia.show.units import parse_timeout
from himalia.views import find_live_views

logger = logging.getLogger("himalia.client")

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection, if nothing else is said.  A local scheduler answers in 10 ms; distributed waits 30 s."""
CLOSE_TIMEOUT = 3.0
"""Seconds that a goodbye may take."""


class Client(Inquiries, Recreating, Collections):
    """A connection to a cluster: submit calls, get futures, wait for results.

    Its methods may be called from any thread.

    Parameters
    ----------
    address : str or Cluster, optional
        An address (``"tcp://host:8786"``, ``"host:8786"``), the name of a running cluster, or a cluster.  If left
        out, and no cluster file is named, a :class:`LocalCluster` is started and closed with the client.
    timeout : float or str, optional
        Seconds (or ``"10s"``) to wait for the connection.
    set_as_default : bool
        Whether :func:`default_client` returns it and Dask collections are computed on it.
    asynchronous : bool
        Work in the running event loop: methods that wait return awaitables, ``async with`` opens and closes it.
    name : str, optional
        Shown to people.
    cluster_file, scheduler_file : str, optional
        A cluster file with address and secret; else the variable ``HIMALIA_CLUSTER_FILE``, or the user's own files.
    settings : Settings, optional
        Numbers for this client.
    forward_output : bool
        Whether what its calls print, log and warn of is shown here: under the cell that submitted them, or in the
        terminal.
    cancel_on_interrupt : bool
        Whether interrupting a notebook's cell cancels the calls that were submitted from it.
    **kwargs
        For the :class:`LocalCluster`: ``n_workers``, ``threads_per_worker``, ``memory_limit``, …

    Raises
    ------
    ConnectError
        If nobody answers, or not the right one.
    ClusterNotFoundError
        If no running cluster has that name.

    Examples
    --------
    >>> with Client(n_workers=2) as client:  # doctest: +SKIP
    ...     futures = client.map(lambda x: x + 1, range(10))
    ...     client.gather(futures)
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    """

    def __init__(
        self,
        address: object = None,
        *,
        timeout: float | str | None = None,
        set_as_default: bool = True,
        asynchronous: bool = False,
        name: str | None = None,
        cluster_file: str | None = None,
        scheduler_file: str | None = None,
        settings: Settings = DEFAULT,
        forward_output: bool = True,
        cancel_on_interrupt: bool = True,
        **kwargs: Any,
    ) -> None:
        self.id = ClientId(new_incarnation("client"))
        self.name = name or self.id
        self.settings = settings
        self._status = "created"
        self.cluster: Any = None
        self._asynchronous = asynchronous
        self._timeout = CONNECT_TIMEOUT if timeout is None else parse_timeout(timeout)
        self._set_as_default = set_as_default
        self._address = address
        self._cluster_file = cluster_file or scheduler_file
        self._cluster_options = kwargs
        self._owns_cluster = False
        self._scheduler_address = ""
        self._cluster_name = ""
        self.addresses: list[str] = []
        """The scheduler's, and ``credentials`` to get in: another session, like a feed's, is opened with these."""
        self.credentials: Credentials | None = None
        self._portal: portal.Portal | None = None
        self._callbacks = CallbackThread()
        self._forward_output = forward_output
        self._cancel_on_interrupt = cancel_on_interrupt
        self._output: OutputForwarder | None = None
        self._kept: dict[int, AnyFuture] = {}
        self._last_info: ClusterInfo | None = None
        if kwargs and (address is not None or self._cluster_file):
            raise UsageError(
                f"{', '.join(sorted(kwargs))}: options of a cluster that a client starts; this one connects to another."
            )
        if not asynchronous:
            self._start_here()

    # Beginning

    def _start_here(self) -> None:
        """Connect from a thread that may block; on failure nothing is left."""
        self._status = "connecting"
        try:
            target = self._target() or self._target_of(self._start_cluster(asynchronous=False))
            self._portal = portal.acquire()
            try:
                self._open(target, self._portal.loop)
                self._scheduler_address = self._portal.run(self._shell.connect(), self._timeout + 5)
            except BaseException:
                self._portal = None
                portal.release()
                raise
        except BaseException:
            self._status = "closed"
            if self._owns_cluster and self.cluster is not None:
                self.cluster.close()
            raise
        self._opened()

    async def _start_in_loop(self) -> Self:
        """Connect in the running loop."""
        if self._status != "created":
            return self
        self._status = "connecting"
        try:
            target = self._target()
            if target is None:
                target = self._target_of(await self._start_cluster(asynchronous=True))
            self._open(target, asyncio.get_running_loop())
            self._scheduler_address = await self._shell.connect()
        except BaseException:
            self._status = "closed"
            if self._owns_cluster and self.cluster is not None:
                await self.cluster.close()
            raise
        self._opened()
        return self

    def _target(self) -> Target | None:
        """Return the cluster to connect to; ``None``: one has to be started."""
        if self._address is None and not self._cluster_file and FILE_VARIABLE not in os.environ:
            return None
        target = find_target(self._address, self._cluster_file)
        self.cluster = target.cluster
        return target

    def _start_cluster(self, *, asynchronous: bool) -> Any:
        from himalia.deploy.local import LocalCluster

        self.cluster = LocalCluster(asynchronous=asynchronous, **self._cluster_options)
        self._owns_cluster = True
        return self.cluster

    def _target_of(self, cluster: object) -> Target:
        return find_target(cluster, None)

    def _open(self, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self.addresses, self.credentials = target.addresses, target.credentials
        self._cluster_name = target.name
        config = EngineConfig(
            me=self.id,
            scheduler=target.addresses,
            credentials=target.credentials,
            timeout=self._timeout,
            settings=self.settings,
        )
        self._shell = ClientShell(config, loop=loop)
        self._submitter = Submitter(self._shell, None if self._asynchronous else self._run)
        if self._forward_output:
            self._output = OutputForwarder(loop, self._callbacks)
            self._shell.show_output = self._output.take

    def _opened(self) -> None:
        self._status = "running"
        listing.register()
        _open_clients.add(self)
        cells = find_cells()
        if cells is not None and self._cancel_on_interrupt:
            cells.listeners.add(self)
        if self._set_as_default:
            default.push(self)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of its connections."""
        return self._shell.loop

    # The cluster as a whole

    @property
    def dashboard_link(self) -> str | None:
        """A link that opens the dashboard, once and within ten minutes; ``None`` if there is none, or none known."""
        if self.cluster is not None:
            return getattr(self.cluster, "dashboard_link", None)
        return login_link(self._dashboard()) or None

    def _dashboard(self) -> HasDashboard | None:
        """Return the cluster file of a cluster that somebody else started, if it is this user's."""
        return clusters.find(self._scheduler_address) if self._status == "running" else None

    @property
    def dashboard_address(self) -> str:
        """Where the dashboard's first page is, without what opens it; empty if there is none, or none known."""
        if self.cluster is not None:
            return str(getattr(self.cluster, "dashboard_address", ""))
        return plain_link(self._dashboard())

    @property
    def scheduler_address(self) -> str:
        """Where the scheduler is, as this client reached it."""
        return self._scheduler_address

    def cell_interrupted(self, number: int) -> None:
        """Cancel what was submitted from a notebook's cell that was interrupted."""
        if self.status == "running":
            self._shell.tell(MessageMade(CancelSpan(f"{self.id}/{number}", "its cell was interrupted")))

    # The end

    def close(self, timeout: float | str | None = None) -> None:
        """Let go of all futures and of the cluster; one that this client started is closed with it."""
        limit = CLOSE_TIMEOUT if timeout is None else parse_timeout(timeout)
        if self._asynchronous or (self._portal is not None and self._portal.is_here()):
            return self._close_in_loop(limit)  # type: ignore[return-value]  # awaitable there
        self._close_here(limit)

    def _close_here(self, timeout: float) -> None:
        if self.status == "running":
            tell_closing()
        if not self._begin_close():
            return
        try:
            if self._portal is not None:
                self._portal.run(self._shell.close("the client was closed"), timeout)
        except HimaliaError as error:
            logger.debug("the client did not close cleanly: %s", error)
        finally:
            held, self._portal = self._portal, None
            if held is not None:
                portal.release()
            self._callbacks.stop(timeout)
            if self._owns_cluster and self.cluster is not None:
                self.cluster.close()

    async def _close_in_loop(self, timeout: float) -> None:
        if self.status == "running" and has_to_tell():
            await asyncio.to_thread(tell_closing)
        if not self._begin_close():
            return
        try:
            await asyncio.wait_for(self._shell.close("the client was closed"), timeout)
        except TimeoutError:
            logger.debug("the client did not close within %g s", timeout)
        finally:
            self._callbacks.stop(0)
            if self._owns_cluster and self.cluster is not None:
                await self.cluster.close()

    def _begin_close(self) -> bool:
        was, self._status = self._status, "closed"
        _open_clients.discard(self)
        cells = find_cells()
        if cells is not None:
            cells.listeners.discard(self)
        if self._output is not None:
            self._output.flush()
        default.remove(self)
        self._kept.clear()
        return was == "running"

    def shutdown(self) -> None:
        """End the cluster: its workers, its scheduler, and this client."""
        self._check_open()
        if self._asynchronous:
            return self._shutdown_in_loop()  # type: ignore[return-value]  # awaitable there
        if self.cluster is None:
            self._shell.tell(MessageMade(Close("a client asked for it")))
            self.close()
        else:
            self._owns_cluster = True
            self.close()

    async def _shutdown_in_loop(self) -> None:
        if self.cluster is None:
            self._shell.tell(MessageMade(Close("a client asked for it")))
        else:
            self._owns_cluster = True
        await self._close_in_loop(CLOSE_TIMEOUT)

    def __enter__(self) -> Self:
        if self._asynchronous:
            raise UsageError("An asynchronous client is entered by `async with`.")
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __await__(self) -> Generator[object, None, Self]:
        if not self._asynchronous:
            raise UsageError("await Client(…) needs asynchronous=True; without it, the client is ready already.")
        return self._start_in_loop().__await__()

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_in_loop(CLOSE_TIMEOUT)

    def as_current(self) -> _Current:
        """Return a context in which this client is the default one."""
        return _Current(self)

    @classmethod
    def current(cls) -> Client:
        """Return the default client; see :func:`himalia.default_client`."""
        return default.default_client()

    def __del__(self) -> None:
        if getattr(self, "_status", "closed") == "running" and self._portal is not None and not self._asynchronous:
            held, self._portal = self._portal, None  # nobody holds a future either, so there is nobody to tell
            shell, callbacks = self._shell, self._callbacks

            async def close() -> None:
                await shell.close("the client was forgotten")
                callbacks.stop(0)
                portal.release()

            try:
                held.loop.call_soon_threadsafe(lambda: held.loop.create_task(close()))
            except RuntimeError:
                pass

    # What it looks like

    def _known_info(self) -> ClusterInfo | None:
        """Return the cluster's description, now if it can be had quickly, else what was known last; None: nothing."""
        if self.status != "running":
            return None
        if not self.asynchronous:
            try:
                self._last_info = self._run(self._info(), 1.0)
            except HimaliaError:
                pass
        return self._last_info

    def __repr__(self) -> str:
        return client_text(type(self).__name__, self.status, self._summary(self._known_info()))

    def _repr_html_(self) -> str:
        info = self._known_info()
        kind, summary = type(self).__name__, self._summary(info)
        return client_html(kind, self.name, self.status, summary, info_task_words(info), taken=time.time())

    def _summary(self, info: ClusterInfo | None) -> ClusterSummary:
        return summarize(
            info,
            now=0.0,  # since when it runs isn't shown
            title=type(self).__name__,
            name=self._cluster_name,
            status=self.status,
            comm=self._scheduler_address,
            dashboard=self.dashboard_address,
            expected=None,
        )

    def _ipython_display_(self, **kwargs: object) -> None:
        """Show it live in a notebook; elsewhere it is shown by what stands above."""
        views = find_live_views()
        if views is None or self.status != "running":
            raise NotImplementedError  # which tells IPython to look for another form
        views.show_client(self)


def known_info(client: Client) -> ClusterInfo | None:
    """The cluster's description, now if it can be had quickly, else what was known last; ``None``: nothing."""
    return client._known_info()


def summary_of(client: Client, info: ClusterInfo | None) -> ClusterSummary:
    """What can be shown of a client and of its cluster, as far as that was described."""
    return client._summary(info)


class _Current:
    """A context in which a client is the default one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> Client:
        default.push(self._client)
        return self._client

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        default.pop(self._client)


_open_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_pid = os.getpid()


def _close_all() -> None:
    """Close what is still open when the interpreter ends, quietly."""
    if os.getpid() != _pid:
        return
    for client in list(_open_clients):
        try:
            if client._asynchronous:  # its loop has ended; nobody can say goodbye any more
                client._begin_close()
            else:
                client._close_here(1.0)
        except Exception:
            logger.debug("a client did not close at the end of the process", exc_info=True)


def _abandon_all() -> None:
    """Forget, in a forked child, the clients of the parent."""
    global _pid
    _pid = -1
    for client in list(_open_clients):
        client._status = "closed"
        client._portal = None
        client._shell.abandon()
    _open_clients.clear()


atexit.register(_close_all)
portal.at_fork(_abandon_all)
