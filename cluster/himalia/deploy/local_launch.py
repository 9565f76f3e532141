"""The processes, directories and files of one cluster on this host, from a start that may fail to an end that may not.

Scheduler and nanny start at the same time; whatever was made is gone at the end, also after a failure half-way; a nanny
that dies is started again.  It never talks to the scheduler about tasks and knows nothing of futures.
"""

from __future__ import annotations

import atexit
import glob
import os
import threading
import time
from typing import Final

import msgspec

from himalia.child import Child, stop
from himalia.comm.security import CLIENT_ROLES
from himalia.deploy.apart import run_apart
from himalia.deploy.dashboard.process import Door, open_door
from himalia.deploy.keeper import Keeper
from himalia.deploy.local_plan import LaunchPlan
from himalia.errors import ClosedError, HimaliaError, StartError
from himalia.follow.control import Control
from himalia.registry import clusters
from himalia.registry.runtime_directory import remove_directory, runtime_directory, scratch_directory

START_TIMEOUT: Final = 60.0
"""Seconds for all processes to be ready: a cold network file system has to bring Python's files."""
CLOSE_PATIENCE: Final = 4.0
"""Seconds for an orderly end; workers get 1 s of them to react to SIGTERM."""

CLOSE_LIMIT: Final = 10.0
"""Seconds that somebody waits for a close that another thread does; the steps of ``child.stop`` take 7 at most."""
KILLED_STARTS: Final = 3
"""Times that a nanny which something kills while the cluster starts is tried again."""
END_PATIENCE: Final = 2.0
"""Seconds in which the scheduler is seen to end too, if that is why the nanny did."""
LIVE: Final[set[Launch]] = set()
"""Started by this process and not ended yet: what has to be ended when it exits."""


class Launch:
    """One such start; :meth:`start` once, :meth:`close` as often as you like, from any thread."""

    def __init__(self, plan: LaunchPlan) -> None:
        self.plan = plan
        self.owner = os.getpid()  # a fork has this object too, and must end nothing
        self.lock = threading.Lock()
        self.children: list[Child] = []  # the scheduler first, for as long as it lives: is_over() and stop() rely on it
        self.door: Door | None = None
        self.dashboard: Child | None = None
        """Not among the children: the cluster works without it."""
        self.directories: list[str] = []
        self.wanted = plan.layout.nworkers
        """Workers that the next nanny starts."""
        self.nannies = 0
        """Started so far."""
        self.cwd = ""
        self.is_up = False
        """Whether all workers were there once; before that, a nanny that fails is an error of the start."""
        self.keeper: Keeper | None = None
        self.lost = ""
        """Why there won't be a nanny any more; empty while there is or will be one."""
        self.closed = False
        self.ended = threading.Event()

    def start(self) -> list[str]:
        """Start everything, and return the scheduler's addresses, the nearest first.

        Raises
        ------
        StartError
            If a process did not come up; nothing is left of the others.
        UsageError
            If the name is taken.
        """
        # Before the first process: an exit half-way has to end what was started.
        LIVE.add(self)
        try:
            return self.start_all(time.monotonic() + START_TIMEOUT)
        except BaseException:
            # Ctrl-C, too: a start takes long enough for somebody to lose patience.
            self.close()
            raise

    def start_all(self, deadline: float) -> list[str]:
        """See :meth:`start`."""
        plan = self.plan
        clusters.check_free(plan.name)
        cluster_id = plan.credentials.cluster_id
        sockets = self.keep_directory(runtime_directory(cluster_id))
        self.keep_directory(scratch_directory(cluster_id, plan.local_directory))
        address = f"unix://{sockets}/scheduler.sock"
        # Before the scheduler, which writes into the cluster file where the dashboard is.
        self.door = open_door(plan.dashboard_address)
        told = plan.for_scheduler(address, self.directories, self.door)
        scheduler = self.spawn("himalia.deploy.scheduler_process", told, "scheduler")
        # Not after it is ready: both load Python at once, and the nanny dials until the scheduler listens.
        nanny = self.spawn_nanny()
        self.start_dashboard(address)
        answer = scheduler.wait_ready(deadline)
        nanny = self.await_nanny(nanny, deadline)
        with self.lock:
            # Under the lock: a close() that came in between would leave a keeper behind, which starts nannies.
            if not self.closed:
                self.keeper = Keeper(nanny, self)
        return [str(text) for text in answer["addresses"]]

    def spawn_nanny(self) -> Child:
        """Start a nanny, in the place of one that is gone if there was one."""
        plan, number = self.plan, self.nannies
        # In the order in which start_all() made them.
        sockets, scratch = self.directories
        self.nannies += 1
        told = plan.for_nanny(
            f"unix://{sockets}/scheduler.sock",
            nworkers=self.wanted,
            # A number: the socket's file of one that was killed is still there.
            listen=plan.nanny_listen or f"unix://{sockets}/nanny{number or ''}.sock",
            scratch=scratch,
            cwd=self.here(),
        )
        with self.lock:
            gone = [child for child in self.children if child.title == "nanny"]
            # Out of the list first: close() may be reading it, and a dead nanny's end is no failure of the cluster.
            self.children = [child for child in self.children if child.title != "nanny"]
        stop(gone, patience=0.0, term=0.0)  # which are dead: let go of what they leave
        # A killed nanny can't remove what it moved to disk, and the next one can't use it.
        for left in glob.glob(os.path.join(glob.escape(scratch), "himalia-nanny-*")) if gone else ():
            remove_directory(left)
        return self.spawn("himalia.nanny", told, "nanny", history=gone[-1] if gone else None)

    def here(self) -> str:
        """Return where the user's program is now, or was last if that folder is gone by now; empty if nobody knows."""
        try:
            self.cwd = os.getcwd()
        except OSError:
            pass
        return self.cwd

    def await_nanny(self, nanny: Child, deadline: float) -> Child:
        """Return the nanny once it is up; one that was killed while it started is started again."""
        # No keeper yet: before the first nanny is up, what it says is an error of the start.
        for _ in range(KILLED_STARTS):
            try:
                nanny.wait_ready(deadline)
                return nanny
            except StartError:
                # One that ended by itself would so again; one that runs was too slow or said why it can't.
                if nanny.is_running() or not nanny.was_killed() or time.monotonic() > deadline:
                    raise
                nanny = self.spawn_nanny()
        nanny.wait_ready(deadline)
        return nanny

    # What the keeper of the nanny asks

    def start_again(self) -> Child:
        """See :class:`himalia.deploy.keeper.ProcessOwner`."""
        return self.spawn_nanny()

    def is_over(self, child: Child) -> bool:
        """See :class:`.keeper.ProcessOwner`; one that ended by itself may have been told to by its scheduler."""
        scheduler = self.children[0]
        # By whatever signal: a scheduler doesn't kill its nannies, so the cluster goes on if its scheduler does.
        if child.was_killed():
            return not scheduler.is_running()
        if not self.is_up:
            self.lost = f"its nanny ended with {child.exit_text()}.{child.last_lines()}"
            return True
        # Told to end by a scheduler that ends itself: a moment later, so it is waited for.
        return self.closed or scheduler.wait(END_PATIENCE)

    def give_up(self, reason: str) -> None:
        """Note that the cluster has failed, and have its scheduler tell whoever waits."""
        self.lost = f"its nanny can't be kept alive: {reason}"
        control = Control(self.plan.credentials)

        # Asked of the scheduler: it alone can end the futures of all clients, with the reason.
        async def tell() -> None:
            await control.open([f"unix://{self.directories[0]}/scheduler.sock"])
            try:
                await control.shut_down(f"the cluster {self.plan.name} has failed: {self.lost}", END_PATIENCE)
            finally:
                await control.close()

        try:
            run_apart(tell)
        except HimaliaError:  # it is gone, which says the same
            pass

    def keep_directory(self, path: str) -> str:
        """Note a directory that has to go at the end."""
        self.directories.append(path)
        return path

    def spawn(self, module: str, config: msgspec.Struct, title: str, history: Child | None = None) -> Child:
        """Start a child, unless the cluster was closed meanwhile by another thread."""
        with self.lock:
            # Under the lock with the start: whatever close() finds in the list is all there is.
            if self.closed:
                raise ClosedError("The cluster was closed while it started.")
            child = Child(module, config, title=title, forward=self.plan.forward_logs)
            # What the dead one said last is what somebody looks for in the logs of the one in its place.
            if history is not None:
                for line in (f"himalia: it ended with {history.exit_text()}", *reversed(history.lines)):
                    if len(child.lines) == child.lines.maxlen:  # else the newest would go
                        break
                    child.lines.appendleft(line)
            self.children.append(child)
            return child

    def start_dashboard(self, scheduler: str) -> None:
        """Start what waits for visitors, if there is a door for them."""
        with self.lock:
            if self.door is not None and not self.closed:
                plan = self.plan
                self.dashboard = self.door.start(
                    plan.name, plan.credentials.only_for(CLIENT_ROLES), [scheduler], forward=plan.forward_logs
                )

    def find_door(self, scheduler: str) -> Door | None:
        """Return the way to the dashboard, which is started again if its process died; None if there is none.

        Parameters
        ----------
        scheduler : str
            Address that a dashboard follows.
        """
        with self.lock:
            # Nobody watches this process, so it is looked at when its link is asked for.
            if self.door is None or self.dashboard is None or self.dashboard.is_running() or self.closed:
                return self.door
            stop([self.dashboard], patience=0.0)  # which is dead: let go of what it leaves
            try:
                self.door.reopen()
            except OSError:
                return None  # another program listens there by now
        self.start_dashboard(scheduler)
        return self.door

    @property
    def processes(self) -> list[Child]:
        """All that was started."""
        return [*self.children, *([self.dashboard] if self.dashboard is not None else [])]

    def failure(self) -> str:
        """Return why the cluster can't work any more, or nothing while it does, or will in a moment."""
        for child in self.children:
            # A keeper brings the nanny back, so its end isn't the cluster's; nobody brings back a scheduler.
            if not child.is_running() and (child.title != "nanny" or self.keeper is None):
                return f"its {child.title} ended with {child.exit_text()}"
        return self.lost

    def check(self) -> None:
        """Raise StartError, with its last lines, if a process ended that should be coming up."""
        for child in self.children:
            if not child.is_running() and (child.title != "nanny" or self.keeper is None):
                raise StartError(f"The {child.title} ended with {child.exit_text()}.{child.last_lines()}")
        if self.lost:
            raise StartError(f"The cluster did not start: {self.lost}")

    def close(self) -> None:
        """End every process and remove every file; bounded in time, quiet, and a no-op in a fork of its owner."""
        if self.owner != os.getpid():
            return
        with self.lock:
            # One does it, others wait for it: ctrl-C, a finalizer and the interpreter's end may all come at once.
            first, self.closed = not self.closed, True
        # Final by now: start_all() makes no keeper once ``closed`` is set.  Before the ends, which it would answer by a
        # start.
        if self.keeper is not None:
            self.keeper.close()
        if not first:
            self.ended.wait(CLOSE_LIMIT)
            return
        try:
            if self.dashboard is not None:
                self.dashboard.end_leash()  # so that it ends while the others are waited for
            stop(self.processes, patience=CLOSE_PATIENCE)
            if self.keeper is not None:
                # Or it might start a process between the last look at the list and the removal of the directories.
                self.keeper.join(END_PATIENCE)
        finally:
            for child in self.processes:
                child.end_leash()  # also if ctrl-C cut the waiting short
            if self.door is not None:
                self.door.close()
            clusters.remove(self.plan.name, self.plan.credentials.cluster_id)  # unless its scheduler did
            for directory in self.directories:
                remove_directory(directory)
            LIVE.discard(self)
            self.ended.set()


def close_all() -> None:
    """End what still runs when this process exits; all of it at the same time."""
    # In a fork that exits nothing of this is its own.
    mine = [launch for launch in LIVE if launch.owner == os.getpid()]
    for launch in mine:
        # The schedulers, which tell their nannies why; each close() below then waits for what ends already.
        for child in launch.children[:1]:
            child.end_leash()
    for launch in mine:
        launch.close()


atexit.register(close_all)
