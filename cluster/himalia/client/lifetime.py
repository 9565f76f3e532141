"""How a client begins and ends: the cluster that is meant or started for it, and everything that has to know of it.

Decides in which order: a cluster that a client started is closed with it, after it; nobody hears of a client that
could not be opened; none is left when the interpreter ends, and a forked child has none.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

from himalia.client import default, listing
from himalia.client.engine import portal
from himalia.client.engine.engine import Engine
from himalia.client.interrupted_cell import CellInterrupts
from himalia.client.output import OutputForwarder
from himalia.messages.parts import Close
from himalia.notebook_cells import find_cells, has_to_tell, tell_closing
from himalia.registry.resolving import FILE_VARIABLE, Target, find_target

if TYPE_CHECKING:
    from himalia.client.client import Client

logger = logging.getLogger("himalia.client")

CLOSE_TIMEOUT: Final = 3.0
"""Seconds that a goodbye may take."""
EXIT_TIMEOUT: Final = 1.0
"""The same when the interpreter ends, and somebody waits for their prompt."""


class Lifetime:
    """Opens and closes one client.

    Parameters
    ----------
    engine : Engine
    address, cluster_file
        Which cluster is meant; see :func:`find_target`.  If neither says, nor the environment, one is started.
    options : dict
        For a cluster that is started.
    timeout : float
        Seconds to wait for the connection.
    set_as_default, forward_output, cancel_on_interrupt : bool
        See :class:`himalia.client.client.Client`.
    """

    def __init__(
        self,
        engine: Engine,
        address: object,
        cluster_file: str | None,
        options: dict[str, Any],
        *,
        timeout: float,
        set_as_default: bool,
        forward_output: bool,
        cancel_on_interrupt: bool,
    ) -> None:
        self._engine = engine
        self._address = address
        self._cluster_file = cluster_file
        self._options = options
        self._timeout = timeout
        self._set_as_default = set_as_default
        self._forward_output = forward_output
        self._cancel_on_interrupt = cancel_on_interrupt
        self._output: OutputForwarder | None = None
        self._interrupts = CellInterrupts(engine)
        self._owns_cluster = False
        self._connecting: asyncio.Future[None] | None = None
        """What tasks wait for while another one connects."""
        self.cluster: Any = None
        """The cluster object, if there is one: it was given, or started here."""

    @property
    def _client(self) -> Client:
        return cast("Client", self._engine.owner)

    # The beginning

    def open_here(self) -> None:
        """Connect from a thread that may block; on failure nothing is left."""
        self._engine.begin()
        try:
            target = self._find() or find_target(self._start_cluster(), None)
            self._engine.open_here(target, self._timeout)
        except BaseException:
            self._engine.fail()
            # A cluster that was started for it is of no other use.
            if self._owns_cluster and self.cluster is not None:
                self.cluster.close()
            raise
        self._opened()

    async def open_in_loop(self) -> None:
        """Connect in the running loop, unless that was begun before."""
        if self._connecting is not None:
            # By two tasks at once: the second would go on with a client that isn't there yet.  Shielded, since what one
            # of several waits for isn't its own to cancel.
            await asyncio.shield(self._connecting)
        # Entered by `async with` after it was awaited; one that could not be opened, or was closed, says so.
        if self._engine.status != "created":
            self._engine.check_open()
            return
        self._connecting = asyncio.get_running_loop().create_future()
        try:
            await self._connect_in_loop()
        finally:
            # Whether it went well or not: who waits looks for himself.
            self._connecting.set_result(None)
            self._connecting = None

    async def _connect_in_loop(self) -> None:
        self._engine.begin()
        try:
            target = self._find() or find_target(await self._start_cluster(), None)
            await self._engine.open_in_loop(target, self._timeout)
        except BaseException:
            self._engine.fail()
            if self._owns_cluster and self.cluster is not None:
                await self.cluster.close()
            raise
        self._opened()

    def _find(self) -> Target | None:
        """Return the cluster to connect to; ``None``: one has to be started."""
        if self._address is None and not self._cluster_file and FILE_VARIABLE not in os.environ:
            return None
        target = find_target(self._address, self._cluster_file)
        self.cluster = target.cluster
        return target

    def _start_cluster(self) -> Any:
        from himalia.deploy.local import LocalCluster

        self.cluster = LocalCluster(asynchronous=self._engine.never_blocks, **self._options)
        self._owns_cluster = True
        return self.cluster

    def _opened(self) -> None:
        if self._forward_output:
            self._output = OutputForwarder(self._engine.loop, self._engine.callbacks)
            self._engine.news.show_output = self._output.take
        listing.register()
        _open.add(self)
        cells = find_cells()
        if cells is not None and self._cancel_on_interrupt:
            cells.listeners.add(self._interrupts)
        if self._set_as_default:
            # Last: who takes the default client finds one that is ready.
            default.push(self._client)

    # The end

    def close_here(self, timeout: float) -> None:
        """Say goodbye from a thread that may block, and close a cluster that was started here."""
        if self._engine.status == "running":
            # While it still answers: who shows something of its calls asks a last time.
            tell_closing()
        if not self._begin_close():
            return
        try:
            self._engine.close_here(timeout)
        finally:
            if self._owns_cluster and self.cluster is not None:
                # After the client, whose goodbye needs a scheduler.
                self.cluster.close()

    async def close_in_loop(self, timeout: float) -> None:
        """Do the same in the loop."""
        if self._engine.status == "running" and has_to_tell():
            # In a thread, since those who are told ask and wait; only if there are any, since a thread costs a turn.
            await asyncio.to_thread(tell_closing)
        if not self._begin_close():
            return
        try:
            await self._engine.close_in_loop(timeout)
        finally:
            if self._owns_cluster and self.cluster is not None:
                await self.cluster.close()

    def begin_shutdown(self) -> None:
        """Have the cluster end when this is closed."""
        if self.cluster is None:
            self._engine.send(Close("a client asked for it"))
        else:
            self._owns_cluster = True

    def _begin_close(self) -> bool:
        """Let everybody forget the client; return whether there is something to be closed."""
        is_open = self._engine.end()  # before all else: another thread may be about to close it, too
        _open.discard(self)
        cells = find_cells()
        if cells is not None:
            cells.listeners.discard(self._interrupts)
        if self._output is not None:
            # What calls wrote last waits to be collected with more.
            self._output.close()
        default.remove(self._client)
        return is_open

    def close_at_exit(self) -> None:
        """Close at the end of the interpreter, quietly."""
        try:
            if self._engine.never_blocks:  # its loop has ended; nobody can say goodbye any more
                self._begin_close()
            else:
                self.close_here(EXIT_TIMEOUT)
        except Exception:
            logger.debug("a client did not close at the end of the process", exc_info=True)

    def abandon(self) -> None:
        """Forget a client of the parent, in a forked child."""
        self._engine.abandon()


_open: weakref.WeakSet[Lifetime] = weakref.WeakSet()
_pid = os.getpid()


def _close_all() -> None:
    """Close what is still open when the interpreter ends."""
    if os.getpid() == _pid:
        # A copy: each leaves the set.
        for lifetime in list(_open):
            lifetime.close_at_exit()


def _abandon_all() -> None:
    """Forget, in a forked child, the clients of the parent."""
    global _pid
    # Nobody's pid: a child closes nothing when it ends.
    _pid = -1
    for lifetime in list(_open):
        lifetime.abandon()
    _open.clear()


atexit.register(_close_all)
portal.at_fork(_abandon_all)
