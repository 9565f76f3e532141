"""What breaks: drawn into a plan, and done to a cluster when its time has come.

Decides when and what; how the cluster gets over it is the machines' affair.  A fault whose victim isn't there is left
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from himalia.messages.parts import Close
from himalia.testing import calls
from himalia.testing.cluster import SimulatedCluster
from himalia.testing.nannies import NannyProcess
from himalia.testing.network import NetworkLine, Weather
from himalia.testing.plan import SCHEDULER_NUMBER, Behaviour, Fault, HostPlan
from himalia.testing.process import Process
from himalia.testing.workers import SimulatedWorker
from himalia.testing.workload import maybe

ROOMY = 1_000_000_000
"""Bytes of a disk on which there is always room."""
KINDS = (
    "kill_nanny",
    "kill_worker",
    "kill_client",
    "cut",
    "clog",
    "part",
    "spoil",
    "press",
    "bloat",
    "leave",
    "stop_worker",
    "strand",
)
CROSSING: Final = 0.05
"""Seconds at most that a host which is about to leave still has for what another fetches from it: three round trips at
:func:`draw_weather`'s worst, so that the fetch is sometimes over before the host leaves."""


def draw_faults(random: Random, hosts: Sequence[HostPlan], clients: int, span: float) -> list[Fault]:
    """Draw faults: which kinds exist, how many of each, and moments at which they gather."""
    # One run in five has none: only there it can be seen that nothing is run without need.
    if random.random() < 0.2:
        return []
    # Some kinds only, in swarm style (workload.py): a mess of all of them hides what two do to each other.
    kinds = [kind for kind in KINDS if random.random() < 0.35]
    # Faults that come together meet what a single one never does.
    moments = [random.uniform(0.0, span) for _ in range(random.randint(1, 3))]
    faults = []
    for kind in kinds:
        for _ in range(random.choice((1, 1, 2, 3, 6))):
            time = random.uniform(0.0, span)
            if random.random() < 0.3:
                time = min(span, random.choice(moments) + random.random() * 0.01)
            is_client = kind == "kill_client" or (kind in ("cut", "clog") and random.random() < 0.3)
            faults.append(
                Fault(
                    time=time,
                    kind=kind,
                    number=random.randrange(clients if is_client else len(hosts)),
                    other=random.randrange(len(hosts)),
                    seconds=random.choice((0.0, 0.05, 0.5, 1.0, 4.0)) * random.uniform(0.5, 1.5),
                    is_client=is_client,
                    back_after=random.choice((0.0, 0.1, 1.0, 100.0)),
                )
            )
    faults.sort(key=lambda fault: fault.time)
    return faults


def draw_wire_faults(random: Random, hosts: int, clients: int, span: float) -> list[Fault]:
    """Draw more of what sessions have to survive: connections cut one after the other, processes that stand still."""
    faults = []
    for _ in range(random.choice((0, 2, 5, 15))):
        is_client, seconds = random.random() < 0.3, random.choice((0.0, 0.0, 0.05, 0.5)) * random.uniform(0.5, 1.5)
        faults.append(Fault(
            time=random.uniform(0.0, span), kind="cut", number=random.randrange(clients if is_client else hosts),
            seconds=seconds, is_client=is_client,
        ))  # fmt: skip
    for _ in range(random.choice((0, 0, 1, 2, 4))):
        is_client, seconds = random.random() < 0.3, random.choice((0.05, 0.5, 1.0, 4.0)) * random.uniform(0.5, 1.5)
        # The scheduler among them: it comes right before host 0.
        numbers = range(clients) if is_client else range(SCHEDULER_NUMBER, hosts)
        faults.append(Fault(
            time=random.uniform(0.0, span), kind="stall", number=random.choice(numbers), seconds=seconds,
            is_client=is_client,
        ))  # fmt: skip
    return faults


def draw_weather(random: Random) -> Weather:
    """Draw how the network behaves."""
    return Weather(
        latency=random.choice((0.00005, 0.0005, 0.005)),
        jitter=random.choice((0.0, 0.0005, 0.01)),
        slow=maybe(random, 0.3, 0.1),
        slow_latency=random.choice((0.05, 0.3, 1.0)),
        duplicate=maybe(random, 0.4, 0.3),
        notice=random.choice((0.001, 0.1, 1.0)),
    )


def draw_behaviour(random: Random) -> Behaviour:
    """Draw how processes behave."""
    return Behaviour(
        worker_start=random.choice((0.01, 0.1, 0.5)),
        fetch=random.choice((0.0005, 0.005, 0.05)),
        slow_fetch=maybe(random, 0.25, 0.3),
        slow_fetch_seconds=random.choice((0.2, 1.0)),
        failed_fetch=maybe(random, 0.2, 0.2),
        failed_start=maybe(random, 0.1, 0.3),
        lost_datagram=random.choice((0.0, 0.5, 0.9)),
        pieces=random.choice((0.0, 0.0, 0.5)),
        slow_begin=maybe(random, 0.35, 0.5),
        keeps_inputs=maybe(random, 0.3, 0.5),
        memory=random.choice((200_000, 400_000, 1_000_000, 16_000_000)),
        disk=random.choice((ROOMY, ROOMY, 600_000, 100_000)),
        clock_skew=random.choice((0.0, 0.0, 1000.0)),
    )


class Breaker:
    """Does the faults of a plan to its cluster, and ends them all when the world becomes calm."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.random = cluster.world.chance("breaker")
        self.done = 0
        for fault in cluster.plan.faults:
            self.world.call_at(fault.time, self.do, fault)
        self.world.call_at(cluster.plan.calm_at, self.calm_down)

    def do(self, fault: Fault) -> None:
        """Let something break, if it is there."""
        # A fault that was put off may come too late.
        if not self.cluster.is_calm:
            self.world.record("fault", fault)
            self.done += 1
            getattr(self, f"_{fault.kind}")(fault)

    def calm_down(self) -> None:
        """End all faults; whatever is missing comes back."""
        cluster, plan = self.cluster, self.cluster.plan
        self.world.record("fault", "calm")
        cluster.is_calm = True
        cluster.network.calm_down()
        behaviour = plan.behaviour
        # In the plan itself, which is why one that is to be run again is copied (shrink.copy).
        behaviour.slow_fetch = behaviour.failed_fetch = behaviour.failed_start = 0.0
        cluster.parted.clear()
        for number in range(len(plan.hosts)):
            cluster.start_nanny(number)
        for number in range(plan.clients):
            cluster.start_client(number)
        for nanny in cluster.nannies.values():
            # A disk that was pressed and never let go.
            nanny.disk.grow(plan.behaviour.disk)
        self._cancel_endless()

    def _cancel_endless(self) -> None:
        """Let users cancel what ends by nothing else: again and again, because some may still be on its way."""
        for client in list(self.cluster.clients.values()):
            client.user.cancel_endless()
        if not self.cluster.is_closing:
            self.world.call_later(1.0, self._cancel_endless)

    def _kill_nanny(self, fault: Fault) -> None:
        nanny = self.cluster.nannies.get(fault.number)
        if nanny is not None:
            nanny.kill()
            self.world.call_later(fault.back_after, self.cluster.start_nanny, fault.number)

    def _kill_client(self, fault: Fault) -> None:
        client = self.cluster.clients.get(fault.number)
        if client is not None:
            client.kill()
            self.world.call_later(fault.back_after, self.cluster.start_client, fault.number)

    def _kill_worker(self, fault: Fault) -> None:
        nanny = self.cluster.nannies.get(fault.number)
        if nanny is None:
            return
        worker = self._victim(nanny)
        if worker is not None:
            self.cluster.witness.had_accident(worker)
            # After it was said: exit() counts whose fault it is.
            worker.exit("signal SIGKILL")

    def _stop_worker(self, fault: Fault) -> None:
        nanny = self.cluster.nannies.get(fault.number)
        workers = [worker for worker in nanny.workers.values() if worker.is_alive] if nanny is not None else []
        if workers:
            worker = self.random.choice(workers)
            worker.stop()
            # A million seconds are longer than any run: for ever.
            self.world.call_later(fault.seconds if fault.back_after < 100.0 else 1e6, worker.go_on)

    def _bloat(self, fault: Fault) -> None:
        nanny = self.cluster.nannies.get(fault.number)
        worker = self._victim(nanny) if nanny is not None else None
        if nanny is not None and worker is not None:
            self.cluster.witness.had_accident(worker)
            nanny.bloat(worker)

    def _leave(self, fault: Fault) -> None:
        nanny = self.cluster.nannies.get(fault.number)
        if nanny is not None:
            # Back a little later: as long as it is leaving, its number is taken, and nothing would start.
            nanny.feed(Close("the nanny was stopped"))
            self.world.call_later(fault.back_after + 2.0, self.cluster.start_nanny, fault.number)

    def _strand(self, fault: Fault) -> None:
        """Let a host leave while another fetches from it, and let nobody hear of that copy for a while."""
        if self.cluster.is_calm:
            return
        nannies = {nanny.me: nanny for nanny in self.cluster.nannies.values()}
        crossing = [
            (nanny, nannies[fetch.host])
            for nanny in nannies.values()
            for fetch in nanny.machine.state.fetches.values()
            if fetch.host in nannies
        ]
        # What is needed is rare: it is waited for, not hoped for.
        if not crossing:
            self.world.call_later(CROSSING, self._strand, fault)
            return
        reader, holder = self.random.choice(crossing)
        for line in self.cluster.network.lines(reader):
            # Upwards: the copy is there, and the scheduler doesn't hear of it.
            line.clog(True, fault.seconds)
        self.world.call_later(self.random.uniform(0.0, CROSSING), holder.feed, Close("the nanny was stopped"))
        self.world.call_later(fault.back_after + 2.0, self.cluster.start_nanny, holder.number)

    def _victim(self, nanny: NannyProcess) -> SimulatedWorker | None:
        workers = [worker for worker in nanny.workers.values() if worker.is_alive and self._may_die(worker)]
        return self.random.choice(workers) if workers else None

    def _may_die(self, worker: SimulatedWorker) -> bool:
        """Whether this accident leaves the calls of a worker innocent: one strike each, none kills by itself."""
        witness = self.cluster.witness
        return all(
            # A call that kills its workers has strikes of its own; one more by accident could be its last.
            running.call.nature != calls.POISON and not witness.struck[running.run.key]
            for running in worker.running.values()
        )

    def _cut(self, fault: Fault) -> None:
        for line in self._lines(fault):
            line.cut(fault.seconds)

    def _clog(self, fault: Fault) -> None:
        for line in self._lines(fault):
            line.clog(self.random.choice((False, True)), fault.seconds)

    def _stall(self, fault: Fault) -> None:
        process = self._process(fault)
        if process is not None:
            self.cluster.network.stand_still(process, fault.seconds)

    def _lines(self, fault: Fault) -> Sequence[NetworkLine]:
        process = self._process(fault)
        return [] if process is None else self.cluster.network.lines(process)

    def _process(self, fault: Fault) -> Process | None:
        if fault.is_client:
            return self.cluster.clients.get(fault.number)
        return self.cluster.scheduler if fault.number == SCHEDULER_NUMBER else self.cluster.nannies.get(fault.number)

    def _part(self, fault: Fault) -> None:
        pair = (min(fault.number, fault.other), max(fault.number, fault.other))
        self.cluster.parted[pair] = self.world.now + fault.seconds

    def _spoil(self, fault: Fault) -> None:
        nanny = self.cluster.nannies.get(fault.number)
        if nanny is not None:
            # All of it, before it happens: which half is hit is drawn inside.
            self.cluster.witness.data_endangered(held.key for held in nanny.store.inventory())
            nanny.spoil(0.5)

    def _press(self, fault: Fault) -> None:
        nanny = self.cluster.nannies.get(fault.number)
        if nanny is not None:
            # Full as it is: nothing more fits, and what is there can be read.
            nanny.disk.size = nanny.disk.used
            self.world.call_later(fault.seconds, nanny.disk.grow, self.cluster.plan.behaviour.disk)
