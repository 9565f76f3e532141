"""A cluster that a test leads step by step: what happens is written down, only delays are drawn.

The same world as in ``simulate.py``, without a drawn plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from himalia.client.engine.state import Record
from himalia.names import Key
from himalia.scheduler.state import SchedulerTask
from himalia.testing.calls import NORMAL, SimulatedCall
from himalia.testing.clients import ClientProcess
from himalia.testing.nannies import NannyProcess
from himalia.testing.network import NetworkLine, Weather
from himalia.testing.plan import Behaviour, HostPlan, Plan, SimulatedTask, UserOp
from himalia.testing.simulate import SimulatedRun
from himalia.testing.workers import SimulatedWorker
from himalia.testing.world import SimulationError

NEVER = 1e9
"""Seconds until nothing breaks any more: a scenario breaks what it says and nothing else."""


def make_task(
    key: str,
    *inputs: str,
    duration: float = 0.01,
    nbytes: int = 8,
    nature: str = NORMAL,
    times: int = 0,
    **options: Any,
) -> SimulatedTask:
    """A simulated call; ``options`` are fields of :class:`SimulatedTask`."""
    names = tuple(Key(name) for name in inputs)
    return SimulatedTask(call=SimulatedCall(Key(key), names, duration, nbytes, nature, times), **options)


class Scenario:
    """A running cluster and what a test may do to it.

    Parameters
    ----------
    tasks : SimulatedTask
        Every call that will be submitted, dependencies before dependents.
    hosts : int or list of HostPlan
        The cluster; with a number, that many hosts of one worker with one thread.
    clients : int
    placed : dict
        Keys that will be scattered, and their bytes.
    seed : int
        For the delays.
    settings : float
        What differs from the usual settings.
    """

    def __init__(
        self,
        *tasks: SimulatedTask,
        hosts: int | list[HostPlan] = 2,
        clients: int = 1,
        placed: dict[str, int] | None = None,
        seed: int = 0,
        behaviour: Behaviour | None = None,
        weather: Weather | None = None,
        **settings: float,
    ) -> None:
        plans = [HostPlan() for _ in range(hosts)] if isinstance(hosts, int) else hosts
        plan = Plan(
            seed=seed,
            hosts=plans,
            clients=clients,
            tasks={task.call.key: task for task in tasks},
            placed={Key(key): nbytes for key, nbytes in (placed or {}).items()},
            behaviour=behaviour or Behaviour(),
            weather=weather or Weather(),
            settings=settings,
            calm_at=NEVER,
        )
        self.run = SimulatedRun(plan)
        self.cluster = self.run.cluster
        self.cluster.witness.is_peaceful = False  # the script breaks things
        self.world = self.run.world
        # A test begins with a cluster that is up; hosts that come late are what it is about.
        at_start = sum(host.workers for host in plans if not host.starts_at)
        self.wait(lambda: self.workers_known() >= at_start)

    # Looking

    def workers_known(self) -> int:
        """How many workers the scheduler knows."""
        return sum(len(host.workers) for host in self.cluster.scheduler.machine.hosts.values())

    def task(self, key: str) -> SchedulerTask | None:
        """What the scheduler knows of a key."""
        found: SchedulerTask | None = self.cluster.scheduler.machine.tasks.get(Key(key))
        return found

    def status(self, key: str) -> str:
        """How a key stands at the scheduler; ``forgotten`` if it knows nothing."""
        task = self.task(key)
        return "forgotten" if task is None else task.status.label

    def record(self, key: str, client: int = 0) -> Record:
        """The last future that a user holds of a key."""
        return self.cluster.clients[client].futures[Key(key)][-1]

    def client(self, number: int = 0) -> ClientProcess:
        """A user's client."""
        return self.cluster.clients[number]

    def nanny(self, number: int) -> NannyProcess:
        """A host's nanny."""
        return self.cluster.nannies[number]

    def holder(self, key: str) -> NannyProcess:
        """The nanny that has a key, as the scheduler believes."""
        task = self.task(key)
        if task is None or not task.holders:
            raise SimulationError(f"nobody holds {key}: {task!r}")
        return self.nanny_of(task.holders[0].id)

    def runner(self, key: str) -> SimulatedWorker:
        """The worker that runs a key."""
        for nanny in self.cluster.nannies.values():
            for worker in nanny.workers.values():
                if any(running.run.key == key for running in worker.running.values()):
                    return worker
        raise SimulationError(f"nobody runs {key}")

    def is_running(self, key: str) -> bool:
        """Whether a worker has begun a key."""
        return any(
            running.run.key == key and running.has_begun
            for nanny in self.cluster.nannies.values()
            for worker in nanny.workers.values()
            for running in worker.running.values()
        )

    def executions(self, key: str) -> int:
        """How often a key was begun."""
        return self.cluster.witness.executions[Key(key)]

    def nanny_of(self, me: str) -> NannyProcess:
        """The nanny of that incarnation."""
        return next(nanny for nanny in self.cluster.nannies.values() if nanny.me == me)

    def line(self, process: NannyProcess | ClientProcess) -> NetworkLine:
        """What lies between a process and the scheduler."""
        return self.cluster.network.lines(process)[0]

    # Doing

    def submit(self, *keys: str, held: tuple[str, ...] | None = None, client: int = 0) -> None:
        """Let a user submit these; futures are held of all, or of those in ``held``."""
        names = tuple(Key(key) for key in keys)
        self.do("submit", *keys, client=client, held=names if held is None else tuple(Key(key) for key in held))

    def do(self, kind: str, *keys: str, client: int = 0, **fields: Any) -> None:
        """Let a user do something; see :class:`UserOp`."""
        names = tuple(Key(key) for key in keys)
        self.client(client).do(UserOp(time=self.world.now, client=client, kind=kind, keys=names, **fields))

    def kill_worker(self, worker: SimulatedWorker) -> None:
        """Kill a worker as the kernel would."""
        self.cluster.witness.had_accident(worker)
        worker.exit("signal SIGKILL")

    def kill_nanny(self, nanny: NannyProcess) -> None:
        """Kill a nanny; its host stays away unless it is started again."""
        nanny.kill()

    # Waiting

    def wait(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Let time pass until a condition holds, looked at after every event."""
        # Virtual seconds: a test that waits in vain fails at once.
        if not self.world.run(until=self.world.now + seconds, done=condition):
            raise SimulationError(f"it did not happen within {seconds} s")

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(until=self.world.now + seconds)

    def wait_for_status(self, key: str, status: str) -> None:
        """Wait until a key stands so at the scheduler."""
        self.wait(lambda: self.status(key) == status)

    def wait_for_outcome(self, key: str, status: str, client: int = 0) -> None:
        """Wait until a user sees a key end, and check how."""
        self.wait(lambda: self.record(key, client).status != "pending")
        if self.record(key, client).status != status:
            raise SimulationError(f"{key} ended as {self.record(key, client)}")

    def wait_until_running(self, key: str) -> None:
        """Wait until a worker has begun a key."""
        self.wait(lambda: self.is_running(key))

    def finish(self) -> None:
        """Wait for every future, read every value, drop everything, and check that nothing is left."""
        self.run.finish()
