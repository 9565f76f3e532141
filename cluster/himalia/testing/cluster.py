"""One simulated cluster: who lives, who can reach whom, and the plan that moves them.

Decides who is started; what users and faults do is in ``users.py`` and ``faults.py``, what must be true in
``checks.py``.
"""

from __future__ import annotations

from random import Random

import msgspec

from himalia.client.engine.state import PENDING
from himalia.machine import Instruction, Send
from himalia.messages.client import ClientToScheduler, SchedulerToClient
from himalia.messages.nanny import Compute, NannyToScheduler, SchedulerToNanny
from himalia.names import HostId, Key, PeerId
from himalia.scheduler.events import ReturnMemory, ShutDown
from himalia.scheduler.machine import SchedulerMachine
from himalia.scheduler.state import ASSIGNED
from himalia.settings import Settings
from himalia.testing.calls import true_values
from himalia.testing.checks import Witness
from himalia.testing.clients import ClientProcess
from himalia.testing.model_network import ModelNetwork
from himalia.testing.nannies import PRESENCE, NannyProcess
from himalia.testing.network import REAL, Network, Unions
from himalia.testing.plan import Plan, UserOp
from himalia.testing.process import Process
from himalia.testing.real_network import RealNetwork
from himalia.testing.world import SimulationError, World

QUICK = {"host_lease": 2.0, "client_lease": 3.0, "local_lease": 2.0}
"""Leases of simulated clusters, seconds: short, because a quiet second costs as much computing as a busy one."""

NONE_YET = 2**62
"""Instead of an attempt's number, where none was under way."""
CANCEL_COUNTS = 20.0
"""Seconds for which a cancelled call doesn't end by itself: by then somebody has to have stopped it."""


class SchedulerProcess(Process):
    """The scheduler; it lives as long as the world."""

    machine: SchedulerMachine

    def __init__(self, cluster: SimulatedCluster) -> None:
        me = PeerId("scheduler")
        super().__init__(cluster, me, "scheduler", SchedulerMachine(settings=cluster.settings, me=me))
        self.perform[ShutDown] = self._shut_down
        self.perform[ReturnMemory] = lambda instruction: None  # nothing here has the memory of a real scheduler

    def _send(self, instruction: Send) -> None:
        # Where it is sent, not where it arrives: what is lost on the way was assigned all the same.
        if instruction.message.__class__ is Compute:
            self.cluster.witness.scheduler_sends(instruction.message)
        super()._send(instruction)

    def peer_left(self, peer: PeerId, reason: str) -> None:
        """Lose a peer; the data of a host are given up with it."""
        for nanny in self.cluster.nannies.values():
            # Alive and cut off: the scheduler gives up all that it holds.
            if nanny.me == peer:
                self.cluster.witness.data_endangered(held.key for held in nanny.store.inventory())
        super().peer_left(peer, reason)

    def _shut_down(self, instruction: Instruction) -> None:
        raise SimulationError(f"the scheduler ended: {instruction!r}")


class SimulatedCluster:
    """All processes of one run.

    Parameters
    ----------
    plan : Plan
        What is to happen.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = World(plan.seed)
        self.settings = msgspec.structs.replace(Settings(), **(QUICK | plan.settings))
        calls = {key: task.call for key, task in plan.tasks.items()}
        self.truth = true_values(calls, list(plan.placed))
        self.witness = Witness(self)
        self.network = self._make_network()
        self.started = 0
        """Processes ever started: every one is another incarnation."""
        self.is_calm = False
        self.is_closing = False
        """No client starts any more."""
        self.parted: dict[tuple[int, int], float] = {}
        """Pairs of hosts that can't reach each other, and until when."""
        self.stopped: dict[Key, tuple[ClientProcess, float, int]] = {}
        """Calls that somebody cancelled for everybody, and that nobody submitted again; who, and when."""
        self.shared: dict[Key, set[bytes]] = {}
        """What names stood for that all users use."""
        # First: it is who all others dial.
        self.scheduler = SchedulerProcess(self)
        self.nannies: dict[int, NannyProcess] = {}
        """The living nannies by the number of their host."""
        self.clients: dict[int, ClientProcess] = {}
        """The living clients by the number of their user."""

    def _make_network(self) -> Network:
        unions: Unions = {
            "client": (ClientToScheduler, SchedulerToClient),
            "nanny": (NannyToScheduler, SchedulerToNanny),
        }
        if self.plan.wires == REAL:
            return RealNetwork(self.world, self.plan.weather, unions, self.settings)
        return ModelNetwork(self.world, self.plan.weather, unions)

    def start(self) -> None:
        """Start what the plan says, and let it run its course."""
        for number, host in enumerate(self.plan.hosts):
            self.world.call_at(host.starts_at, self.start_nanny, number)
        for number in range(self.plan.clients):
            self.start_client(number)
        for op in self.plan.ops:
            self.world.call_at(op.time, self._do, op)

    def start_nanny(self, number: int) -> None:
        """Start a nanny on a host that has none."""
        if number not in self.nannies:
            self.started += 1
            # With a number of its own: what arrives late for the one before must not be taken for this one's.
            self.nannies[number] = NannyProcess(self, number, PeerId(f"nanny-{number}-{self.started}"))

    def start_client(self, number: int) -> None:
        """Start a client for a user who has none."""
        if number not in self.clients and not self.is_closing:
            self.started += 1
            self.clients[number] = ClientProcess(self, number, PeerId(f"client-{number}-{self.started}"))

    def _do(self, op: UserOp) -> None:
        # A user whose kernel just died does nothing; the plan goes on without.
        client = self.clients.get(op.client)
        if client is not None:
            client.do(op)

    def nanny_died(self, nanny: NannyProcess) -> None:
        """Take a dead nanny off the list."""
        if self.nannies.get(nanny.number) is nanny:
            del self.nannies[nanny.number]
        self.witness.data_endangered(held.key for held in nanny.store.inventory())
        if self.is_calm:
            self.world.call_later(0.5, self.start_nanny, nanny.number)  # the calm world has all its hosts

    def client_died(self, client: ClientProcess) -> None:
        """Take a dead client off the list."""
        if self.clients.get(client.number) is client:
            del self.clients[client.number]
        for nanny in self.nannies.values():
            # Each nanny in its own time, and not at once: it asks the kernel now and then (comm/data/presence.py).
            self.world.call_later(PRESENCE * client.random.random(), nanny.reader_gone, client.me)

    def maps_something(self, reader: str, host: PeerId) -> bool:
        """Whether a client lives that maps something of a nanny's memory."""
        return any(client.me == reader and client.maps_something(host) for client in self.clients.values())

    # Who reaches whom

    def reach(self, reader: Process, host: HostId) -> NannyProcess | None:
        """The nanny of that incarnation, if it lives and ``reader`` can reach it."""
        for nanny in self.nannies.values():
            if nanny.me == host:
                # Only hosts are parted from each other; clients reach all of them.
                if isinstance(reader, NannyProcess) and self._is_parted(reader.number, nanny.number):
                    return None
                return nanny
        return None

    def lives(self, host: HostId) -> bool:
        """Whether the nanny of that incarnation runs, within anybody's reach or not."""
        return any(nanny.me == host for nanny in self.nannies.values())

    def _is_parted(self, one: int, other: int) -> bool:
        return self.parted.get((min(one, other), max(one, other)), -1.0) > self.world.now

    def fetch_delay(self, random: Random) -> float:
        """Draw how long a request to another host takes."""
        behaviour = self.plan.behaviour
        delay = behaviour.fetch * random.uniform(0.5, 2.0)
        if behaviour.slow_fetch and random.random() < behaviour.slow_fetch:
            delay += behaviour.slow_fetch_seconds * random.random()
        return delay

    def is_wanted(self, key: Key, attempt: int) -> bool:
        """Whether somebody waits for a call, or cancelled it for everybody a moment ago: else an endless one ends.

        Once nothing is in the way any more, a cancelled one never ends: whoever doesn't stop it leaves it behind.
        """
        if key in self.stopped:
            client, since, first = self.stopped[key]
            # In the calm nothing is an excuse: attempts from that one on never end by themselves.
            if since >= self.plan.calm_at:
                return attempt >= first and not client.is_lost
            if client.is_usable and self.world.now - since < CANCEL_COUNTS:
                return True
        return any(
            record.status is PENDING and key in self.witness.ancestors_of(record.key)
            for client in self.clients.values()
            for record in client.machine.records.values()
        )

    def note_stopped(self, client: ClientProcess, key: Key) -> None:
        """Note that a client cancels for everybody; attempts before today's, which may still run, were let go of."""
        task = self.scheduler.machine.state.tasks.get(key)
        first = task.attempt if task is not None and task.status is ASSIGNED else NONE_YET
        self.stopped[key] = client, self.world.now, first

    # What every process tells

    def before(self, process: Process, event: object, source: PeerId) -> None:
        """See an event before its machine does."""
        if process is self.scheduler:
            self.witness.scheduler_will_handle(event, source)

    def after(self, process: Process, event: object, source: PeerId) -> None:
        """See what an event has changed."""
        if process is self.scheduler:
            self.witness.scheduler_handled(event, source)
