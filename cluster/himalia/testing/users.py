"""A simulated user at a client: the real client machine, and somebody who submits, waits, reads and changes their mind.

Decides only what a notebook would do with futures; every operation is tried as written in the plan and left out where
it makes no sense at that time (cancelling what isn't held).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from himalia.client.engine.machine import ClientMachine
from himalia.client.engine.state import (
    CANCELLED,
    FINISHED,
    PENDING,
    Answer,
    CallsSubmitted,
    CancelAsked,
    Closed,
    Deliver,
    ForgetHost,
    FuturesDropped,
    HostsKnown,
    KeysHeld,
    MessageMade,
    Notify,
    ReadFailed,
    Record,
    RequestMade,
    RetryAsked,
    ShowOutput,
    ValuePlaced,
)
from himalia.messages.client import (
    CancelSpan,
    DataPlaced,
    Explain,
    FollowTelemetry,
    GetInfo,
    GetKeys,
    GetLogs,
    GetTelemetry,
    GetVersions,
    ReleaseKeys,
    Restart,
    RunFunction,
    Scale,
)
from himalia.messages.parts import ForgetFunctions, FunctionBody, TaskOptions, TaskSpec
from himalia.names import SCHEDULER, Digest, HostId, Key, PeerId
from himalia.testing import calls
from himalia.testing.calls import SimulatedCall
from himalia.testing.checks import AGAIN, OWN, SHARED
from himalia.testing.nannies import Value
from himalia.testing.plan import SimulatedTask, UserOp
from himalia.testing.process import Process
from himalia.testing.world import SimulationError

if TYPE_CHECKING:
    from himalia.testing.cluster import Cluster


LARGE_CALL = 40_000
"""Bytes of a call that is too large for a message."""
KEPT = 1.0
"""Seconds at most that a user keeps an array that maps a host's memory.  Guess."""

CANCELS = 10
"""From this number on an operation on a shared name cancels it."""
LAST_TRY = 50
"""Tries to place a value, after which it is given up."""
REUSED_SIZES = (8, 33_000, 5_000)
"""Bytes of what a name stands for that is used for one thing after another."""


def function_of(task: SimulatedTask) -> bytes:
    """Return the digest of a task's function; those of group ``f3`` ride inside the call."""
    return b"" if task.group == "f3" else blake2b(task.group.encode(), digest_size=16).digest()


class ClientProcess(Process):
    """A client and its user.

    Parameters
    ----------
    cluster : Cluster
    number : int
        Which user of the plan.
    me : PeerId

    Attributes
    ----------
    futures : dict of Key to list of Record
        What the user holds; cancelled ones until they are released.
    """

    machine: ClientMachine

    def __init__(self, cluster: Cluster, number: int, me: PeerId) -> None:
        self.number = number
        self.futures: dict[Key, list[Record]] = {}
        self.functions: set[bytes] = set()
        self.checked: dict[Key, Record] = {}
        """Keys whose value was read and right, by the record it was read for."""
        self.reading: set[Key] = set()
        self.placing = 0
        """Values on their way to a host, and submissions of which a piece is still to come."""
        self.named = 0
        """Keys of large calls that were made up so far."""
        self.asked: set[int] = set()
        """Questions without an answer."""
        self.mappings: list[tuple[HostId, Key, Value]] = []
        """Arrays that map a host's memory."""
        self.own: dict[int, tuple[Record, bytes]] = {}
        """What futures stand for whose names are used for one thing after another, by the record's identity."""
        self.told = 0
        """Things that such names stood for so far."""
        super().__init__(cluster, me, "client", ClientMachine(cluster.settings))
        self.perform |= {
            Notify: self._notify,
            Answer: self._answered,
            Deliver: lambda instruction: None,
            ShowOutput: lambda instruction: None,
            ForgetHost: lambda instruction: None,
            HostsKnown: lambda instruction: None,
        }
        cluster.network.connect(self, cluster.scheduler, SCHEDULER, cluster.settings.client_lease)

    @property
    def is_usable(self) -> bool:
        """Whether the user can still do something with this client."""
        return self.is_alive and not self.machine.gone

    def kill(self) -> None:
        """End the client's process."""
        if self.is_alive:
            super().kill()
            self.cluster.client_died(self)

    def peer_left(self, peer: PeerId, reason: str) -> None:
        """Lose the scheduler: the user sees that everything is lost, and starts again."""
        super().peer_left(peer, reason)
        self.kill()
        self.world.call_later(0.1, self.cluster.start_client, self.number)

    def do(self, op: UserOp) -> None:
        """Do what the plan says, as far as it makes sense now."""
        if self.is_usable:
            getattr(self, f"_do_{op.kind}")(op)

    # Submitting

    def _do_submit(self, op: UserOp) -> None:
        keys = self._with_inputs(op.keys)
        large = [key for key in keys if self.cluster.plan.tasks[key].has_large_call]
        if large:
            self._place_calls(op, keys, large)
        else:
            self._submit(op, keys, {})

    def _place_calls(self, op: UserOp, keys: list[Key], large: list[Key]) -> None:
        """Place the calls that are too large for a message; the submission follows when the last one is stored."""
        placed: dict[Key, DataPlaced] = {}
        lost: list[Key] = []

        def stored(key: Key, argument: Key, host: HostId, attempt: int) -> None:
            placed[key] = DataPlaced(argument, "call", host, LARGE_CALL, "call", False, attempt)
            go_on()

        def failed(key: Key) -> None:
            lost.append(key)
            go_on()

        def go_on() -> None:
            if len(placed) + len(lost) < len(large):
                return
            if not lost:
                self._submit(op, self._with_inputs(tuple(keys)), placed)  # some inputs may have been let go meanwhile
                return
            for message in placed.values():  # as ``engine/hosts.py`` does it: hosts shall free what is for nothing
                self.feed(MessageMade(msgspec.structs.replace(message, wanted=True)))
                self.feed(MessageMade(ReleaseKeys([message.key])))

        for key in large:
            self.named += 1
            argument = Key(f"{key}-call-{self.me}-{self.named}")
            self.placing += 1
            done, gone = partial(stored, key, argument), partial(failed, key)
            self._place(argument, LARGE_CALL, self._new_attempt(), 0, done, gone)

    def _submit(self, op: UserOp, keys: list[Key], placed: dict[Key, DataPlaced]) -> None:
        if not keys:
            return
        for name in keys:
            if name in placed:
                self.feed(MessageMade(placed[name]))
        wanted = [key for key in keys if key in op.held]
        specs = [
            self._spec(key, n, key in op.held, placed[key].key if key in placed else None) for n, key in enumerate(keys)
        ]
        self.cluster.witness.submitted(keys)
        for key in keys:
            self.cluster.stopped.pop(key, None)
        self._define_functions(specs)
        batch = self.machine.next_batch()
        if len(specs) > 1 and self.random.random() < self.cluster.plan.behaviour.pieces:
            self._submit_in_pieces(batch, specs, wanted)
            return
        self.feed(CallsSubmitted(batch, specs))
        for key in wanted:
            self._hold(key)

    def _define_functions(self, specs: Iterable[TaskSpec]) -> None:
        """Send the functions that these specs name, unless the scheduler knows them."""
        for function in dict.fromkeys(spec.function for spec in specs):
            if function and function not in self.functions:
                self.functions.add(function)
                self.feed(MessageMade(FunctionBody(Digest(function), b"a function")))

    def _submit_in_pieces(self, batch: int, specs: list[TaskSpec], wanted: list[Key]) -> None:
        """Send a submission in two pieces, as a large graph is; inputs are held until the second is under way."""
        inputs = dict.fromkeys(name for spec in specs for name in spec.dependencies if name in self.machine.records)
        self.feed(KeysHeld(list(inputs)))
        pins = [self.machine.records[name] for name in inputs]
        cut = self.random.randrange(1, len(specs))
        self.feed(CallsSubmitted(batch, specs[:cut], False))
        self.placing += 1
        self.after(self.random.random() * 0.05, self._submit_rest, batch, specs[cut:], wanted, pins)

    def _submit_rest(self, batch: int, specs: list[TaskSpec], wanted: list[Key], pins: list[Record]) -> None:
        self.placing -= 1
        if self.is_usable:
            self._define_functions(specs)
            self.feed(CallsSubmitted(batch, specs, True))
            for key in wanted:
                self._hold(key)
            self.feed(FuturesDropped(pins))

    def _with_inputs(self, keys: tuple[Key, ...]) -> list[Key]:
        """Return the tasks to submit: these and what they need that the user doesn't hold; never without data."""
        tasks, records = self.cluster.plan.tasks, self.machine.records
        wanted = set(keys)
        for key in reversed(tasks):
            if key in wanted:
                wanted.update(name for name in tasks[key].call.inputs if name not in records)
        found: list[Key] = []
        missing = {name for name in self.cluster.plan.placed if name not in records}
        for key in tasks:
            if key in wanted and not missing.intersection(tasks[key].call.inputs):
                found.append(key)
            elif key not in records:
                missing.add(key)
        return found

    def _spec(self, key: Key, order: int, wanted: bool, argument: Key | None) -> TaskSpec:
        task = self.cluster.plan.tasks[key]
        options = None
        if task.retries or task.priority or task.hosts or task.resources:
            options = TaskOptions(task.priority, task.retries, task.hosts, task.allow_other_workers, task.resources)
        call = task.call
        dependencies = tuple(dict.fromkeys(call.inputs if argument is None else (*call.inputs, argument)))
        packed = call.pack() if argument is None else b""
        return TaskSpec(
            key, task.group, function_of(task), packed, dependencies, order, wanted, argument or "", options
        )

    def _hold(self, key: Key) -> None:
        """Take a future that the machine has made."""
        record = self.machine.records.get(key)
        if record is None:
            return  # cancelled before the user had it
        self.futures.setdefault(key, []).append(record)
        if record.status != PENDING or not self.machine.watch(record, self._settled):
            self._settled(record)

    # Scattering

    def _do_scatter(self, op: UserOp) -> None:
        for key in op.keys:
            attempt = self._new_attempt()
            copies = 1 + (self.random.random() < 0.2)  # sometimes two copies, maybe at one host
            self.placing += 1
            self._place(key, self.cluster.plan.placed[key], attempt, 0, partial(self._copy_placed, key, copies, []))

    def _new_attempt(self) -> int:
        return self.random.randrange(-(2**62), 0)

    def _place(
        self,
        key: Key,
        nbytes: int,
        attempt: int,
        tries: int,
        done: Callable[[HostId, int], None],
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Send a value to a host, as the data plane would; to another one if that fails."""
        hosts = list(self.machine.hosts)
        if tries > LAST_TRY or not self.is_usable:
            self.placing -= 1
            if self.is_usable:
                failed()
        elif not hosts:
            self.after(0.1, self._place, key, nbytes, attempt, tries + 1, done, failed)
        else:
            host = self.random.choice(hosts)
            self.after(
                self.cluster.fetch_delay(self.random), self._put, key, nbytes, attempt, tries, done, host, failed
            )

    def _put(
        self,
        key: Key,
        nbytes: int,
        attempt: int,
        tries: int,
        done: Callable[[HostId, int], None],
        host: HostId,
        failed: Callable[[], None],
    ) -> None:
        nanny = self.cluster.reach(self, host)
        if nanny is None:
            self.after(0.05, self._place, key, nbytes, attempt, tries + 1, done, failed)
            return
        is_answered = False

        def answered(is_stored: bool) -> None:
            nonlocal is_answered
            if not is_answered:
                is_answered = True
                if is_stored:
                    self.after(self.cluster.fetch_delay(self.random), self._stored, done, host, attempt)
                else:
                    self.after(0.05, self._place, key, nbytes, attempt, tries + 1, done, failed)

        def look() -> None:
            """See whether the host that owes an answer is still there."""
            if not is_answered and self.is_alive:
                if nanny.is_alive:
                    self.after(0.5, look)
                else:
                    answered(False)

        nanny.put(self.me, key, attempt, calls.write_value(self._value_to_place(key), nbytes), answered)
        look()

    def _value_to_place(self, key: Key) -> bytes:
        """Return what a value is that is placed under a key now."""
        if key.startswith(SHARED):
            return calls.scattered_value(key, self.told + 1000 * self.number)
        return calls.scattered_value(key, self.told if key.startswith(OWN) else 0)

    def _stored(self, done: Callable[[HostId, int], None], host: HostId, attempt: int) -> None:
        self.placing -= 1
        if self.is_usable:
            done(host, attempt)

    def _copy_placed(self, key: Key, copies: int, placed: list[HostId], host: HostId, attempt: int) -> None:
        """Place the next copy of a value, or announce all of them in one moment, as a broadcast does."""
        placed.append(host)
        if len(placed) < copies and (hosts := list(self.machine.hosts)):
            self.placing += 1
            nbytes, other = self.cluster.plan.placed[key], self.random.choice(hosts)
            done = partial(self._copy_placed, key, copies, placed)
            self._put(key, nbytes, attempt, LAST_TRY, done, other, partial(self._announce, key, placed, attempt))
        else:
            self._announce(key, placed, attempt)

    def _announce(self, key: Key, placed: list[HostId], attempt: int) -> None:
        for host in placed:
            is_first = not any(record is self.machine.records.get(key) for record in self.futures.get(key, ()))
            nbytes = self.cluster.plan.placed[key]
            self.feed(ValuePlaced(DataPlaced(key, "data", host, nbytes, "bytes", True, attempt), None, is_first))
            if is_first:
                self._hold(key)

    # One name for one thing after another

    def _do_reuse(self, op: UserOp) -> None:
        """Let a name of this user's alone stand for something else, in the same moment in which the last is let go."""
        key = Key(f"{OWN}{self.me}-{op.number % 2}")
        if self.placing:
            return  # a value under this name may be on its way
        if key in self.futures:
            if not op.force:
                return  # as long as it is held it stays what it is
            dependent = Key(key + AGAIN)
            self.release((key,) * len(self.futures[key]) + (dependent,) * len(self.futures.get(dependent, ())))
        self.told += 1
        if op.count % 3:
            self._call_it(key, op)
        else:
            self.placing += 1
            nbytes = REUSED_SIZES[op.count // 3 % len(REUSED_SIZES)]
            self._place(key, nbytes, self._new_attempt(), 0, partial(self._placed_again, key, nbytes))

    def _call_it(self, key: Key, op: UserOp) -> None:
        nbytes = REUSED_SIZES[op.count // 3 % len(REUSED_SIZES)]
        call = SimulatedCall(key, (), 0.05 * (op.count % 4), nbytes, salt=str(self.told))
        specs = [TaskSpec(key, "own", b"", call.pack(), (), 0, True)]
        value = calls.value_of(call, [])
        if op.count % 2:
            specs.append(self._reading_spec(key))
        self._submit_own(specs, key, value)

    def _reading_spec(self, key: Key) -> TaskSpec:
        """Return a call that reads what a name stands for now."""
        reading = SimulatedCall(Key(key + AGAIN), (key,), 0.01, 8)
        return TaskSpec(reading.key, "own", b"", reading.pack(), (key,), 1, True)

    def _submit_own(self, specs: list[TaskSpec], key: Key, value: bytes) -> None:
        reading = Key(key + AGAIN)
        was_held = {spec.key for spec in specs if spec.key in self.machine.records}
        self.cluster.witness.submitted([spec.key for spec in specs])
        self.feed(CallsSubmitted(self.machine.next_batch(), specs))
        for spec in specs:
            self._hold(spec.key)
            record = self.machine.records.get(spec.key)
            if record is not None and spec.key not in was_held:
                call = calls.unpack(spec.call)
                self._expect(record, value if spec.key != reading else calls.value_of(call, [value]))

    def _placed_again(self, key: Key, nbytes: int, host: HostId, attempt: int) -> None:
        value = self._value_to_place(key)
        self.feed(ValuePlaced(DataPlaced(key, "data", host, nbytes, "bytes", True, attempt), None, True))
        record = self.machine.records.get(key)
        if record is not None:
            self._expect(record, value)
        self._hold(key)
        self._submit_own([self._reading_spec(key)], key, value)

    def _expect(self, record: Record, value: bytes) -> None:
        self.own[id(record)] = record, value
        data = record.data
        if record.status == FINISHED and data is not None and calls.read_value(data) != value:
            raise SimulationError(f"{self.me} got what {record.key} stood for before")

    def expected(self, record: Record) -> Collection[bytes]:
        """Return what a future may come to."""
        if record.key.startswith(SHARED):
            return self.cluster.shared[record.key]
        if record.key.startswith(OWN):
            known = self.own.get(id(record))
            return () if known is None else (known[1],)
        return (self.cluster.truth[record.key],)

    def _do_collide(self, op: UserOp) -> None:
        """Use a name that others use, too, for a call or a value of one's own, or cancel it for everybody."""
        key = Key(f"{SHARED}{op.number % 2}")
        if self.placing:
            return
        if op.count >= CANCELS:
            if key in self.machine.records:
                self._cancel([self.machine.records[key]], force=True)
            return
        if op.force and key in self.futures:
            self.release((key,) * len(self.futures[key]))
        self.told += 1
        nbytes = REUSED_SIZES[op.count // 3 % len(REUSED_SIZES)]
        values = self.cluster.shared.setdefault(key, set())
        if op.count % 3:
            call = SimulatedCall(key, (), 0.05 * (op.count % 4), nbytes, salt=f"{self.number}/{self.told}")
            values.add(calls.value_of(call, []))
            self.cluster.witness.submitted([key])
            spec = TaskSpec(key, "own", b"", call.pack(), (), 0, True)
            self.feed(CallsSubmitted(self.machine.next_batch(), [spec]))
            self._hold(key)
        else:
            values.add(self._value_to_place(key))
            self.placing += 1
            self._place(key, nbytes, self._new_attempt(), 0, partial(self._shared_placed, key, nbytes))

    def _shared_placed(self, key: Key, nbytes: int, host: HostId, attempt: int) -> None:
        self.feed(ValuePlaced(DataPlaced(key, "data", host, nbytes, "bytes", True, attempt), None, True))
        self._hold(key)

    # Changing one's mind

    def _do_release(self, op: UserOp) -> None:
        self.release(op.keys)

    def release(self, keys: tuple[Key, ...]) -> None:
        """Drop the futures of these keys, or one of several."""
        records = [self.futures[key].pop() for key in keys if key in self.futures]
        for key in keys:
            if not self.futures.get(key, True):
                del self.futures[key]
        if records:
            self.feed(FuturesDropped(records))

    def release_all(self) -> None:
        """Drop every future."""
        records = [record for held in self.futures.values() for record in held]
        self.futures.clear()
        if records:
            self.random.shuffle(records)
            self.feed(FuturesDropped(records))

    def _do_hold(self, op: UserOp) -> None:
        self.cluster.witness.held_by_name.update(op.keys)
        self.feed(KeysHeld(list(op.keys)))
        for key in op.keys:
            self._hold(key)

    def _do_cancel(self, op: UserOp) -> None:
        keys = [key for key in op.keys if key in self.machine.records]
        if len(keys) % 4 == 3:  # as if a cell was interrupted
            self.cluster.witness.cancelled(self, list(self.machine.records), force=False)
            self.feed(MessageMade(CancelSpan(str(self.me), "its cell was interrupted")))
        elif keys:
            self._cancel([self.machine.records[key] for key in keys], force=op.force)

    def _cancel(self, records: list[Record], *, force: bool) -> None:
        self.cluster.witness.cancelled(self, [record.key for record in records], force)
        if force:
            for record in records:
                self.cluster.note_stopped(self, record.key)
        self.feed(CancelAsked(records, force, "the user said so"))

    def _do_retry(self, op: UserOp) -> None:
        self.cluster.witness.was_retried = True
        records = self.machine.records
        self.feed(RetryAsked([records[key] for key in op.keys if key in records]))

    def _do_gather(self, op: UserOp) -> None:
        for key in op.keys:
            self.read(key)

    def _do_scale(self, op: UserOp) -> None:
        nanny = self.cluster.nannies.get(op.number)
        if nanny is not None:
            self._ask(Scale(self.machine.next_request(), op.count, nanny.info.host))

    def _do_restart(self, op: UserOp) -> None:
        self.cluster.witness.restarted()
        self._ask(Restart(self.machine.next_request()))

    def _do_replace(self, op: UserOp) -> None:
        self._ask(Restart(self.machine.next_request(), [f"host-{op.number}-{op.count % 2}"]))

    def _do_run(self, op: UserOp) -> None:
        self._ask(RunFunction(self.machine.next_request(), b"a call"))

    def _do_ask(self, op: UserOp) -> None:
        request = self.machine.next_request()
        questions = (GetInfo(request), GetKeys(request), GetVersions(request), GetLogs(request), GetTelemetry(request))
        if op.count < len(questions):
            self._ask(questions[op.count])
        elif op.keys:
            self._ask(Explain(request, op.keys[0]))
        self.feed(MessageMade(FollowTelemetry(0.5 * (op.count % 2), full=op.count % 3 == 0, past=op.count % 5 == 0)))

    def _ask(self, message: Any) -> None:
        self.asked.add(message.request)
        self.feed(RequestMade(message))

    def _answered(self, instruction: Answer) -> None:
        self.asked.remove(instruction.request)  # every question has exactly one answer

    def _do_forget(self, op: UserOp) -> None:
        functions = [Digest(function) for function in sorted(self.functions)]
        self.functions.clear()
        if functions:
            self.feed(MessageMade(ForgetFunctions(functions)))

    def _do_leave(self, op: UserOp) -> None:
        self.leave()

    def leave(self) -> None:
        """Close the client politely."""
        if self.is_alive:
            self.feed(Closed("the user closed it"))
            self.end("closed")
            self.cluster.client_died(self)

    # Results

    def _notify(self, instruction: Notify) -> None:
        for watcher in instruction.watchers:
            watcher(instruction.record)

    def _settled(self, record: Record) -> None:
        self.cluster.witness.settled(self, record)

    def read(self, key: Key) -> None:
        """Read the value of a finished key, from its message or from a host that has it, and check it."""
        record = self.machine.records.get(key)
        if record is None or record.status != FINISHED or key in self.reading:
            return
        if record.data is not None:
            self._check(record, record.data)
            return
        self.reading.add(key)
        host = self.random.choice(record.holders)
        self.after(self.cluster.fetch_delay(self.random), self._ask_for, record, record.attempt, host)

    def _ask_for(self, record: Record, attempt: int, host: HostId) -> None:
        nanny = self.cluster.reach(self, host)
        if nanny is None:
            self._read(record, attempt, host, None)
            return
        delay = self.cluster.fetch_delay(self.random) / 2
        nanny.read(
            self.me, record.key, attempt, delay, lambda value: self._read(record, attempt, host, value), may_map=True
        )

    def _read(self, record: Record, attempt: int, host: HostId, value: Value | None) -> None:
        """Take what a host answered: keep an array that maps its memory for a while."""
        self.reading.discard(record.key)
        if not self.is_alive:
            return
        if value is not None and value.offset >= 0:
            self.mappings.append((host, record.key, value))
            is_small = len(value.memory) <= self.cluster.settings.copy_limit
            self.after(0.0 if is_small else KEPT * self.random.random(), self._unmap, host, record.key, value)
        if self.machine.records.get(record.key) is not record or not self.is_usable:
            return  # released meanwhile
        if value is None:
            self.feed(ReadFailed(record.key, attempt, host))
        else:
            self._check(record, value.memory)

    def _unmap(self, host: HostId, key: Key, value: Value) -> None:
        """Let an array go: until now it was what it was."""
        self.mappings.remove((host, key, value))
        nanny = self.cluster.reach(self, host)
        if nanny is None:
            return  # what a process maps of a file stays, whoever made it: simulated memory goes with its nanny
        shown = calls.read_value(value.memory)
        if not shown:
            raise SimulationError(f"{self.me} maps {key}, which was overwritten: {bytes(value.memory[:80])!r}")
        self.world.call_later(self.cluster.fetch_delay(self.random), nanny.unmap, self.me, value.offset)

    def maps_something(self, host: PeerId) -> bool:
        """Whether this process maps something of a nanny's memory."""
        return any(one == host for one, _, _ in self.mappings)

    def _check(self, record: Record, data: bytes | memoryview) -> None:
        self.cluster.witness.read(self, record, data)
        self.checked[record.key] = record

    def cancel_endless(self) -> None:
        """Cancel what ends by nothing else, and what waits for that, for everybody."""
        tasks, ancestors_of = self.cluster.plan.tasks, self.cluster.witness.ancestors_of
        records = [
            record
            for key, record in self.machine.records.items()
            if record.status == PENDING
            and any(name in tasks and tasks[name].call.nature == calls.ENDLESS for name in ancestors_of(key))
        ]
        if records and self.is_usable:
            self._cancel(records, force=True)

    def has_everything(self) -> bool:
        """Whether every future has come to its end, and every value was read; reads what wasn't."""
        done = not (self.placing or self.asked or self.mappings)
        for key, record in self.machine.records.items():
            if record.status == PENDING:
                done = False
            elif record.status == FINISHED and self.checked.get(key) is not record:
                self.read(key)
                done = False
        return done

    def statuses(self) -> dict[Key, str]:
        """Return how the user's futures stand, for reports."""
        return {key: held[-1].status for key, held in self.futures.items() if held[-1].status != CANCELLED}
