"""All views tell the same numbers, and those are what happened: over random histories of a real scheduler and clients.

A history is a list of small integers that Hypothesis draws and makes shorter; each step of it is one thing that happens
to a cluster (somebody submits, a call ends, a host leaves, who looks stands still).  What happened is what the clients'
own records say.  Nothing here takes time or a process.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from himalia.client.engine.events import CallsSubmitted, CancelAsked, FuturesDropped, RetryAsked
from himalia.client.engine.machine import ClientMachine
from himalia.client.engine.state import Record
from himalia.client.progress import Counter as ProgressCounter
from himalia.client.reprs import count_statuses, ended, info_task_words, task_words, threads_of
from himalia.machine import PeerJoined, Send, Ticked
from himalia.messages.answers import ClusterInfo, Reply, TelemetryReport
from himalia.messages.client import FollowTelemetry, GetInfo, GetTelemetry, Telemetry
from himalia.messages.nanny import Heartbeat, TaskFailed, TaskFinished, Withdrawn
from himalia.messages.parts import Message, TaskError, TaskOptions, TaskSpec, Timing
from himalia.messages.telemetry import GroupSummary, HostMetrics, TaskCounts
from himalia.names import SCHEDULER, Digest, Key, PeerId, WorkerName
from himalia.plural import plural
from himalia.scheduler.state import ASSIGNED, SchedulerTask
from himalia.settings import DEFAULT
from himalia.telemetry.recording_format import Packer, Recording, begin, new_header
from himalia.testing.stages.scheduler import FUNCTION, SchedulerStage
from himalia_widgets.cell.cell_bar import CellTotals, add_up, facts
from himalia_widgets.dashboard.tables import describe_groups, describe_summary
from himalia_widgets.replay.source import ReplaySource
from himalia_widgets.view.history import History
from himalia_widgets.view.tables.progress import progress
from himalia_widgets.widget.header import describe_header

EPOCH = 1_700_000_000.0
OFFSETS = {"here": 0.0, "near": 0.4, "far": -3600.0, "late": 90.0}
"""By how much each host's clock is behind ours, seconds."""
NAMES = ("load", "clean", "fit")
LOOKER = "control-1"
"""Follows like a widget or a dashboard."""


class World(SchedulerStage):
    """A scheduler, two clients with their real machines, and somebody who follows and may stand still."""

    def __init__(self) -> None:
        super().__init__(settings=msgspec.structs.replace(DEFAULT, telemetry_records=10_000))
        self.clients = {name: ClientMachine() for name in ("alice", "bob")}
        self.records: dict[str, list[Record]] = {}
        """All that were ever submitted, by span."""
        self.released: dict[int, str] = {}
        """What became of records that were let go of before they had ended."""
        self.began: dict[str, tuple[str, float]] = {}
        """Host and true start of each call that ended, by its key and attempt."""
        self.stalled: list[tuple[float, Telemetry]] = []
        self.is_stalled = False
        self.history, self.packer = History(), Packer()
        self.count = 0
        self.event(PeerJoined(PeerId(LOOKER), "client"))
        self.message(LOOKER, FollowTelemetry(0.25, past=True))
        for host in OFFSETS:
            self.add_host(host, nthreads=2)
        self.look()

    # what happens

    def submit_some(self, client: str, cell: int, name: str, size: int, retries: int) -> None:
        """Submit a few calls, each the input of the next one."""
        span, keys = f"{client}/{cell}", []
        for _ in range(size):
            self.count += 1
            keys.append(Key(f"{name}-{self.count:08x}"))
        options = TaskOptions(retries=retries) if retries else None
        inputs = [tuple(keys[max(0, at - 1) : at]) for at in range(size)]
        specs = [
            TaskSpec(key, name, Digest(FUNCTION), b"call", inputs[at], at, True, options=options)
            for at, key in enumerate(keys)
        ]
        machine = self.clients[client]
        self.tell(client, CallsSubmitted(machine.next_batch(), specs, True, span, at=self.now))
        self.records.setdefault(span, []).extend(machine.records[key] for key in keys)

    def tell(self, client: str, event: Any) -> None:
        """Let a client's machine handle something, and the scheduler what it sends."""
        for instruction in self.clients[client].handle(event):
            if isinstance(instruction, Send):
                self.message(client, instruction.message)
        self.deliver()

    def deliver(self) -> None:
        """Hand out what the scheduler sent; the looker's may be late."""
        while self.sent:
            for peer, message in self.take():
                if isinstance(message, Telemetry):
                    self.stalled.append((self.now, message))
                elif peer in self.clients:
                    self.tell_back(peer, message)

    def tell_back(self, client: str, message: Message) -> None:
        for instruction in self.clients[client].handle(message, source=SCHEDULER):
            if isinstance(instruction, Send):
                self.message(client, instruction.message)

    def assigned_tasks(self) -> list[SchedulerTask]:
        return [task for task in self.machine.tasks.values() if task.status is ASSIGNED]

    def end_call(self, task: SchedulerTask, *, well: bool) -> None:
        """Have a call end at its host, whose clock may be another one."""
        assert task.host is not None
        host, attempt = str(task.host.id), task.attempt
        start = EPOCH + self.now - 0.2
        self.began[f"{task.key}/{attempt}"] = (host, start)
        timing = Timing(start - OFFSETS[host], 0.01, 0.1, 0.01)
        worker = WorkerName(f"{host}-0")
        if well:
            self.message(host, TaskFinished(task.key, attempt, worker, 8, "int", timing, b"x"))
        else:
            error = TaskError("exception", task.key, "ValueError: no", worker=worker)
            self.message(host, TaskFailed(task.key, attempt, error, timing))
        self.deliver()

    def confirm(self) -> None:
        """Have hosts confirm what they were asked to give back."""
        for host in list(self.machine.hosts.values()):
            for attempt, zombie in list(host.zombies.items()):
                self.message(str(host.id), Withdrawn(zombie.key, attempt, False, 1.5))
        self.deliver()

    def pass_time(self, seconds: float) -> None:
        """Let time pass: hosts measure, followers are pushed to."""
        for _ in range(max(1, round(seconds / 0.5))):
            self.now += 0.5
            for host in list(self.machine.hosts):
                metrics = HostMetrics(time=EPOCH + self.now - OFFSETS[str(host)], workers={f"{host}-0": (0.5, 1, 1)})
                books = self.machine.hosts[host]
                attempts = (len(books.assigned) + len(books.zombies), books.attempts_tally)
                data = (books.data_count, books.data_tally)
                self.message(str(host), Heartbeat(metrics, attempts, data, books.sent, False))
            self.event(Ticked())
            self.deliver()
            if not self.is_stalled:
                self.look()

    def look(self) -> None:
        """Have the looker take what waits for it, now."""
        arrived, self.stalled = EPOCH + self.now + 0.02, self.stalled
        for _, push in self.stalled:
            self.history.take(push, now=arrived)
            self.packer.add(arrived, "telemetry", push)
        self.stalled = []
        info = self.info()
        self.history.take_info(info)
        self.packer.add(arrived, "info", info)

    def info(self) -> ClusterInfo:
        """Return what the scheduler answers to a question about itself."""
        self.message(LOOKER, GetInfo(1))
        (answer,) = [message.value for _, message in self.sent if isinstance(message, Reply)]
        self.sent = [entry for entry in self.sent if not isinstance(entry[1], Reply)]
        self.deliver()
        assert isinstance(answer, ClusterInfo)
        return answer

    # what is true, and what is told

    def truth(self, records: list[Record]) -> tuple[int, int, int, int]:
        """Return how many are to come, done, failed, cancelled."""
        found: Counter[str] = Counter()
        for record in records:
            status = self.released.get(id(record), record.status)
            found["failed" if status in ("error", "lost") else status] += 1
        return found["pending"], found["finished"], found["failed"], found["cancelled"]

    def check_now(self) -> None:
        """Compare what is told without delay: by records, and by the scheduler when it is asked."""
        for span, records in self.records.items():
            report = self.telemetry(span)
            counts = add_up(report, CellTotals(TaskCounts())).counts
            true = self.truth(records)
            assert (counts.left, counts.done, counts.failed, counts.cancelled) == true, span
            told = facts(CellTotals(counts))
            assert told[0] == f"{true[1] + true[2]:,} of {plural(len(records), 'task')}"
            bar = ProgressCounter("all", records, now=lambda: self.now).look()
            assert (bar.left, bar.ended - bar.failed, bar.failed) == true[:3], span
            assert (bar.cancelled + bar.released, bar.total) == (true[3], len(records))
            assert ended(count_statuses(records)) == bar.ended == counts.ended
        everything = [record for records in self.records.values() for record in records]
        info = self.info()
        left, done, failed, cancelled = self.truth(everything)
        assert info.clients == 2
        running = min(info.counts.assigned if info.counts else 0, threads_of(info))
        expected = TaskCounts(left - running, running, done, failed, cancelled)
        assert info_task_words(info) == task_words(expected, threads_of(info))

    def telemetry(self, span: str) -> list[GroupSummary]:
        self.message(LOOKER, GetTelemetry(2, EPOCH * 2, span))
        (answer,) = [message.value for _, message in self.sent if isinstance(message, Reply)]
        self.sent = [entry for entry in self.sent if not isinstance(entry[1], Reply)]
        assert isinstance(answer, TelemetryReport)
        return answer.groups

    def check_history(self, history: History) -> None:
        """Compare what is told by a stream: widget, dashboard, client card, replay."""
        everything = [record for records in self.records.values() for record in records]
        left, done, *_ = true = self.truth(everything)
        counts = history.counts
        assert (counts.left, counts.done, counts.failed, counts.cancelled) == true
        rows = progress(history)
        assert sum(row.left for row in rows) == left
        assert sum(row.done for row in rows) == done
        assert sum(row.total for row in rows) == len(everything)
        by_name = {row.name: row for row in rows}
        for told in describe_groups(history)["groups"]:
            mine = [record for record in everything if record.key.startswith(told["name"])]
            assert (told["left"], told["calls"] - told["failed"], told["failed"], told["cancelled"]) == self.truth(mine)
            assert told["calls"] == by_name[told["name"]].ended
        for numbers in (describe_summary(history), describe_header(history)):
            assert numbers["running"] + numbers["waiting"] == left
            assert (numbers["done"], numbers["failed"], numbers["cancelled"]) == true[1:]
        assert history.status.clients == 2

    def check_past(self, history: History) -> None:
        """Compare when calls ran, by our clock, with when they did."""
        calls = history.calls
        assert len(calls) == len(self.began)
        for row, (host, start) in enumerate(self.began.values()):
            assert calls.lanes[int(calls["lane"][row])].host == host
            assert abs(float(calls["start"][row]) - start) < 0.6, (host, float(calls["start"][row]) - start)

    def replay(self) -> History:
        """Return what a recording of the same pushes shows at its end."""
        head = begin(new_header("moons", now=EPOCH))
        made = self.packer.take(len(head))
        assert made is not None
        return ReplaySource(Recording(head + made[1]), "moons").history


def step(world: World, kind: int, choice: int, size: int) -> None:
    """Let one thing happen."""
    client = ("alice", "bob")[choice % 2]
    held = [record for records in world.records.values() for record in records]
    mine = [record for record in held if world.clients[client].records.get(record.key) is record]
    pending = [record for record in mine if record.status == "pending"]
    at_hosts = world.assigned_tasks()
    match kind % 10:
        case 0 | 1:
            world.submit_some(client, choice % 3, NAMES[choice % len(NAMES)], 1 + size % 4, (choice // 7) % 2)
        case 2 | 3 if at_hosts:
            for task in at_hosts[: 1 + size]:
                if task.status is ASSIGNED:
                    world.end_call(task, well=True)
        case 4 if at_hosts:
            world.end_call(at_hosts[choice % len(at_hosts)], well=False)
        case 5 if pending:  # a future whose task is done says that it is cancelled, its task is done nevertheless
            world.tell(client, CancelAsked([pending[choice % len(pending)]]))
        case 6 if mine:
            let_go = mine[choice % len(mine) :]  # with all that may depend on it, or it would go on for these
            world.released.update({id(record): "cancelled" for record in let_go if record.status == "pending"})
            world.tell(client, FuturesDropped(let_go))
        case 7 if mine:
            world.tell(client, RetryAsked([record for record in mine if record.status == "error"], world.now))
        case 8:
            world.is_stalled = bool(choice % 2)
            world.pass_time(min(size * size, 40) / 2)
        case 9 if at_hosts and choice % 3 == 0:
            lose(world, at_hosts[choice % len(at_hosts)])
        case _:
            world.confirm()
            world.pass_time(0.5)


def lose(world: World, task: SchedulerTask) -> None:
    """Have the host of a task leave, with all that it held, and come back as if new."""
    assert task.host is not None
    host = str(task.host.id)
    world.leave(host)
    world.deliver()
    world.add_host(host, nthreads=2)
    world.deliver()


Steps = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 41), st.integers(0, 9)), max_size=40)


@settings(max_examples=60, deadline=None, database=None)
@given(Steps)
def test_whatever_happens_all_views_say_what_happened(steps: list[tuple[int, int, int]]) -> None:
    world = World()
    for kind, choice, size in steps:
        step(world, kind, choice, size)
        world.check_now()
    world.is_stalled = False
    world.confirm()
    world.pass_time(1.0)
    world.check_now()
    replayed = world.replay()
    for history in (world.history, replayed):
        world.check_history(history)
        world.check_past(history)
    assert replayed.counts == world.history.counts
    groups = [group for records in world.records for group in world.telemetry(records)]
    assert all(group.stopping == 0 for group in groups)
