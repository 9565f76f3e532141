"""A telemetry stream as a cluster would send it, made up: seeded, of any size, and without any process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec

from himalia.messages.answers import ClusterInfo, HostView, WorkerView
from himalia.messages.client import Telemetry
from himalia.messages.parts import Frame, TaskError, Timing
from himalia.messages.telemetry import (
    ClusterEvent,
    ErrorSummary,
    GroupSummary,
    HostMetrics,
    ProcessMetrics,
    RunningCall,
    SchedulerStatus,
    StoreMove,
    TaskRecord,
    TransferSummary,
)
from himalia.names import HostId, Key, PeerId
from himalia_widgets.view.history import History

EPOCH = 1_700_000_000.0
"""When made-up clusters begin, epoch seconds."""
MIB = 2**20
NAMES = ("load", "clean", "inc", "filter_rows", "merge", "sum-aggregate", "train_model", "plot")


class MadeUpCluster:
    """Hosts with workers that run calls one after the other on each of their threads."""

    def __init__(
        self,
        *,
        hosts: int = 2,
        workers: int = 2,
        threads: int = 2,
        duration: float = 0.2,
        names: tuple[str, ...] = NAMES,
        seed: int = 1,
    ) -> None:
        self.random = random.Random(seed)
        self.duration = duration
        self.names = names
        self.hosts = [HostId(PeerId(f"nanny-{number:04x}")) for number in range(hosts)]
        self.workers = {host: [f"lab-{at}-{n}" for n in range(workers)] for at, host in enumerate(self.hosts)}
        self.threads = threads
        self.now = EPOCH
        self.total = 0
        self.submitted = 0
        self.current: dict[tuple[HostId, str, int], tuple[TaskRecord, float]] = {}
        """What runs on each thread, and when it will end."""
        for host in self.hosts:
            for worker in self.workers[host]:
                for thread in range(threads):
                    lane = (host, worker, thread)
                    self.current[lane] = self.record(lane, EPOCH + self.random.random() * duration)
        self.groups = {name: GroupSummary(name, "client-1", waiting=400, tasks=400) for name in names}
        self.errors: dict[str, ErrorSummary] = {}
        self.changed: set[str] = set(names)

    def info(self) -> ClusterInfo:
        """Return what the scheduler would answer to ``GetInfo``."""
        addresses = {host: f"tcp://10.0.0.{at + 2}:4000" for at, host in enumerate(self.hosts)}
        return ClusterInfo(
            id="scheduler",
            address="tcp://10.0.0.1:8786",
            started=self.now - EPOCH,
            clients=1,
            tasks=self.total,
            hosts={
                host: HostView(
                    address=addresses[host],
                    name=f"lab-{at}",
                    hostname=f"node{at}",
                    pid=100 + at,
                    memory_limit=4096 * MIB,
                    local_directory="/scratch/lab",
                    nthreads=self.threads,
                    assigned=3,
                    held=10,
                    last_seen=0.2,
                )
                for at, host in enumerate(self.hosts)
            },
            workers={
                f"{addresses[host]}/{worker}": WorkerView(
                    name=worker,
                    host_id=host,
                    host=f"node{at}",
                    nanny=addresses[host],
                    pid=200 + number,
                    nthreads=self.threads,
                    memory_limit=1024 * MIB,
                    local_directory="/scratch/lab",
                    metrics=(0.5, 80 * MIB, 1),
                )
                for at, host in enumerate(self.hosts)
                for number, worker in enumerate(self.workers[host])
            },
        )

    def records(self, until: float) -> list[TaskRecord]:
        """Return the calls that end before ``until``, in the order of their ends."""
        found = []
        for lane, (record, end) in self.current.items():
            while end < until:
                found.append((end, record))
                record, end = self.record(lane, end + self.random.random() * self.duration * 0.1)
            self.current[lane] = (record, end)
        found.sort(key=lambda pair: pair[0])
        self.total += len(found)
        return [record for _, record in found]

    def record(self, lane: tuple[HostId, str, int], start: float) -> tuple[TaskRecord, float]:
        """Return one call that begins then, and when it ends."""
        chance = self.random
        name = chance.choice(self.names)
        scale = self.duration * (0.2 + 2.0 * self.names.index(name) / len(self.names))
        compute = scale * chance.lognormvariate(0.0, 0.4)
        deserialize, serialize = compute * 0.05 * chance.random(), compute * 0.1 * chance.random()
        transfer = compute * 0.3 if chance.random() < 0.1 else 0.0
        host, worker, thread = lane
        status = "error" if chance.random() < 0.01 else "ok"
        timing = Timing(start, deserialize, compute, serialize, thread, transfer, int(transfer * 1e8))
        self.submitted += 1
        key = Key(f"{name}-{self.submitted:08x}")
        record = TaskRecord(key, name, host, worker, status, timing, int(chance.lognormvariate(10.0, 2.0)))
        return record, start + deserialize + compute + serialize

    def step(self, seconds: float = 0.5, *, full: bool = False) -> Telemetry:
        """Let time pass and return the push that the scheduler would make at its end."""
        self.now += seconds
        records = self.records(self.now)
        for record in records:
            self.count(record)
        changed = [self.groups[name] for name in self.names if name in self.changed]
        self.changed.clear()
        return Telemetry(
            time=self.now - EPOCH,
            groups=changed,
            records=[] if full else records[-2000:],
            skipped=0 if full else max(0, len(records) - 2000),
            hosts={host: self.metrics(host) for host in self.hosts},
            blocks=[msgspec.msgpack.encode(records)] if full and records else [],
            errors=list(self.errors.values()),
            events=self.events(),
            status=SchedulerStatus(
                clients=1, tasks=self.total, queued=37, membership=1, uptime=self.now - EPOCH, total=self.total,
                process=ProcessMetrics(0.12, 90 * MIB, 42, 0.002, 1e6, 2e6),
            ),
        )  # fmt: skip

    def count(self, record: TaskRecord) -> None:
        """Count a call in its group."""
        before = self.groups[record.group]
        timing, failed = record.timing, record.status != "ok"
        self.groups[record.group] = msgspec.structs.replace(
            before,
            waiting=max(0, before.waiting - 1), assigned=2, tasks=before.tasks,
            in_memory=before.in_memory + (not failed), erred=before.erred + failed,
            finished=before.finished + (not failed), failed=before.failed + failed,
            compute=before.compute + timing.compute, transfer=before.transfer + timing.transfer,
            nbytes=before.nbytes + record.nbytes, memory=before.memory + record.nbytes,
            peak=max(before.peak, before.memory + record.nbytes), moved=before.moved + timing.moved,
        )  # fmt: skip
        self.changed.add(record.group)
        if failed:
            error = TaskError(
                "exception", record.key, f"ValueError: bad input of {record.group}",
                frames=(Frame("/home/u/analysis.py", 12, record.group),), worker=record.worker,
            )  # fmt: skip
            old = self.errors.get(record.group)
            self.errors[record.group] = ErrorSummary(
                record.group,
                error,
                record.group,
                (old.count if old else 0) + 1,
                (Key("load-1"),),
                (record.worker,),
                self.now - EPOCH,
            )

    def metrics(self, host: HostId) -> HostMetrics:
        """Return what a nanny would say now."""
        chance = self.random
        names = self.workers[host]
        others = [other for other in self.hosts if other != host]
        load = 0.6 + 0.35 * chance.random()
        return HostMetrics(
            store_bytes=int((0.4 + 0.3 * chance.random()) * 4096 * MIB),
            spilled_bytes=int(600 * MIB * chance.random()),
            host_memory=9000 * MIB,
            cpu=load,
            loop_lag=0.001,
            workers={
                name: (load * self.threads * chance.random(), int((200 + 300 * chance.random()) * MIB), 1)
                for name in names
            },
            time=self.now - 0.1,
            running=[self.running((host, names[0], 0))],
            transfers=[TransferSummary(other, int(40 * MIB * chance.random()), 0.3, 4) for other in others[:3]],
            moves=[StoreMove("spill", self.now - 0.4, 0.1, 30 * MIB)] if chance.random() < 0.2 else [],
            process=ProcessMetrics(0.05, 60 * MIB, 25, 0.001, 2e6, 1e6),
        )

    def running(self, lane: tuple[HostId, str, int]) -> RunningCall:
        """Return what a thread runs now."""
        record, _ = self.current[lane]
        return RunningCall(record.worker, record.timing.thread, record.key, record.group, record.timing.start)

    def events(self) -> list[ClusterEvent]:
        """Return the events of the beginning, again and again: who takes them must not count them twice."""
        names = [worker for workers in self.workers.values() for worker in workers]
        return [ClusterEvent(n, 0.0, "worker-started", name, f"{name} is ready") for n, name in enumerate(names[:10])]


def telemetry(
    seconds: float = 30.0, *, interval: float = 0.5, full: bool = False, **cluster: Any
) -> Iterator[tuple[float, Telemetry]]:
    """Yield ``(arrival in epoch seconds, push)`` of a made-up cluster; keywords are those of :class:`MadeUpCluster`."""
    made_up = MadeUpCluster(**cluster)
    while made_up.now < EPOCH + seconds:
        push = made_up.step(interval, full=full)
        yield made_up.now, push


def made_up(**options: Any) -> tuple[MadeUpCluster, History]:
    """Return a cluster, and what is known of it after one push."""
    cluster, history = MadeUpCluster(**options), History()
    history.take_info(cluster.info())
    history.take(cluster.step(5.0), now=cluster.now)
    return cluster, history


def history(seconds: float = 30.0, *, records: int = 100_000, full: bool = False, **cluster: Any) -> History:
    """Return what a view would know after so many seconds of a made-up cluster."""
    made_up = MadeUpCluster(**cluster)
    known = History(records=records)
    known.take_info(made_up.info())
    while made_up.now < EPOCH + seconds:
        push = made_up.step(full=full)
        known.take(push, now=made_up.now)
    return known
