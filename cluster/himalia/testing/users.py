"""A simulated user: somebody who submits, scatters, waits, reads and changes their mind.

Decides only what a notebook would do with futures; every operation is tried as written in the plan and left out where
it makes no sense at that time (cancelling what isn't held).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from himalia.client.engine.events import (
    CallsSubmitted,
    CancelAsked,
    FuturesDropped,
    KeysHeld,
    MessageMade,
    RetryAsked,
    ValuePlaced,
)
from himalia.client.engine.state import PENDING, Record
from himalia.messages.client import (
    CancelSpan,
    CatchUp,
    DataPlaced,
    DescribeTask,
    Explain,
    FollowTelemetry,
    GetInfo,
    GetKeys,
    GetLogs,
    GetSpec,
    GetTelemetry,
    GetVersions,
    ReleaseKeys,
    Restart,
    RunFunction,
    Scale,
)
from himalia.messages.parts import ForgetFunctions, FunctionBody, TaskOptions, TaskSpec
from himalia.names import Digest, HostId, Key
from himalia.testing import calls
from himalia.testing.calls import LARGE_CALL
from himalia.testing.plan import SimulatedTask, UserOp
from himalia.testing.reused_names import ReusedNames

if TYPE_CHECKING:
    from himalia.testing.clients import ClientProcess


def function_of(task: SimulatedTask) -> bytes:
    """The digest of a task's function; those of group ``f3`` ride inside the call."""
    return b"" if task.group == "f3" else blake2b(task.group.encode(), digest_size=16).digest()


class User:
    """Does what the plan says through one client."""

    def __init__(self, client: ClientProcess) -> None:
        self.client = client
        self.cluster = client.cluster
        self.random = client.random
        self.machine = client.machine
        self.functions: set[bytes] = set()
        self.names = ReusedNames(client)
        self.named = 0
        """Keys of large calls that were made up so far."""

    def do(self, op: UserOp) -> None:
        """Do an operation, as far as it makes sense now."""
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

        # Called for each, done or failed, in any order; the last one decides.
        def go_on() -> None:
            if len(placed) + len(lost) < len(large):
                return
            if not lost:
                self._submit(op, self._with_inputs(tuple(keys)), placed)  # some inputs may have been let go meanwhile
                return
            # One of several is enough: without all arguments nothing is submitted.
            self._give_up(placed.values())

        for key in large:
            self.named += 1
            argument = Key(f"{key}-call-{self.client.me}-{self.named}")
            data = calls.write_value(self.names.value_of(argument), LARGE_CALL)
            self.client.place(argument, data, partial(stored, key, argument), partial(failed, key))

    def _give_up(self, placed: Iterable[DataPlaced]) -> None:
        """Let hosts free what was placed for nothing, as ``engine/hosts.py`` does."""
        for message in placed:
            self.client.feed(MessageMade(msgspec.structs.replace(message, wanted=True)))
            self.client.feed(MessageMade(ReleaseKeys([message.key])))

    def _submit(self, op: UserOp, keys: list[Key], placed: dict[Key, DataPlaced]) -> None:
        # While they were placed an input was let go of, so that some calls are no longer submitted.
        self._give_up(message for name, message in placed.items() if name not in keys)
        if not keys:
            return
        for name in keys:
            if name in placed:
                self.client.feed(MessageMade(placed[name]))
        wanted = [key for key in keys if key in op.held]
        specs = [
            self._spec(key, n, key in op.held, placed[key].key if key in placed else None) for n, key in enumerate(keys)
        ]
        self.cluster.witness.submitted(keys)
        for key in keys:
            # Wanted again: that it was cancelled says nothing about this one.
            self.cluster.stopped.pop(key, None)
        self._define_functions(specs)
        batch = self.machine.next_batch()
        if len(specs) > 1 and self.random.random() < self.cluster.plan.behaviour.pieces:
            self._submit_in_pieces(batch, specs, wanted)
            return
        self.client.feed(CallsSubmitted(batch, specs))
        for key in wanted:
            self.client.hold(key)

    def _define_functions(self, specs: Iterable[TaskSpec]) -> None:
        """Send the functions that these specs name, unless the scheduler knows them."""
        for function in dict.fromkeys(spec.function for spec in specs):
            if function and function not in self.functions:
                # Sent once; the session keeps the order, so that it is there before the call.
                self.functions.add(function)
                self.client.feed(MessageMade(FunctionBody(Digest(function), b"a function")))

    def _submit_in_pieces(self, batch: int, specs: list[TaskSpec], wanted: list[Key]) -> None:
        """Send a submission in two pieces, as a large graph is; inputs are held until the second is under way."""
        inputs = dict.fromkeys(name for spec in specs for name in spec.dependencies if name in self.machine.records)
        # Or the scheduler could forget an input between the two pieces.
        self.client.feed(KeysHeld(list(inputs)))
        pins = [self.machine.records[name] for name in inputs]
        cut = self.random.randrange(1, len(specs))
        self.client.feed(CallsSubmitted(batch, specs[:cut], False))
        self.client.placing += 1
        self.client.after(self.random.random() * 0.05, self._submit_rest, batch, specs[cut:], wanted, pins)

    def _submit_rest(self, batch: int, specs: list[TaskSpec], wanted: list[Key], pins: list[Record]) -> None:
        self.client.placing -= 1
        if self.client.is_usable:
            self._define_functions(specs)
            self.client.feed(CallsSubmitted(batch, specs, True))
            for key in wanted:
                self.client.hold(key)
            # Only now: the second piece is under way, and needs them itself.
            self.client.feed(FuturesDropped(pins))

    def _with_inputs(self, keys: tuple[Key, ...]) -> list[Key]:
        """The tasks to submit: these and what they need that the user doesn't hold; never without data."""
        tasks, records = self.cluster.plan.tasks, self.machine.records
        wanted = set(keys)
        # Backwards, since what a task needs stands before it: one pass finds everything.
        for key in reversed(tasks):
            if key in wanted:
                wanted.update(name for name in tasks[key].call.inputs if name not in records)
        found: list[Key] = []
        # Forwards: what needs something that isn't there is missing as well.
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

    # Scattering

    def _do_scatter(self, op: UserOp) -> None:
        for key in op.keys:
            data = calls.write_value(self.names.value_of(key), self.cluster.plan.placed[key])
            copies = 1 + (self.random.random() < 0.2)  # sometimes two copies, maybe at one host
            self.client.place(key, data, partial(self._copy_placed, key, data, copies, []))

    def _copy_placed(
        self, key: Key, data: bytes, copies: int, placed: list[HostId], host: HostId, attempt: int
    ) -> None:
        """Place the next copy of a value, or announce all of them in one moment, as a broadcast does."""
        placed.append(host)
        if len(placed) < copies and (hosts := list(self.machine.hosts)):
            other = self.random.choice(hosts)
            done = partial(self._copy_placed, key, data, copies, placed)
            self.client.place_at(other, key, data, attempt, done, partial(self._announce, key, placed, attempt))
        else:
            self._announce(key, placed, attempt)

    def _announce(self, key: Key, placed: list[HostId], attempt: int) -> None:
        for host in placed:
            # A second copy of the same value is announced for the future that there is.
            is_first = not any(record is self.machine.records.get(key) for record in self.client.futures.get(key, ()))
            nbytes = self.cluster.plan.placed[key]
            self.client.feed(ValuePlaced(DataPlaced(key, "data", host, nbytes, "bytes", True, attempt), None, is_first))
            if is_first:
                self.client.hold(key)

    # One name for one thing after another

    def _do_reuse(self, op: UserOp) -> None:
        self.names.reuse(op)

    def _do_collide(self, op: UserOp) -> None:
        self.names.collide(op)

    # Changing one's mind

    def _do_release(self, op: UserOp) -> None:
        self.client.release(op.keys)

    def _do_hold(self, op: UserOp) -> None:
        # Said first: whether anybody knows the name is found out later.
        self.cluster.witness.held_by_name.update(op.keys)
        self.client.feed(KeysHeld(list(op.keys)))
        for key in op.keys:
            self.client.hold(key)

    def _do_cancel(self, op: UserOp) -> None:
        keys = [key for key in op.keys if key in self.machine.records]
        if len(keys) % 4 == 3:  # as if a cell was interrupted
            # All of its keys: everything that a simulated user submits has one span.
            self.cluster.witness.cancelled(self.client, list(self.machine.records), force=False)
            self.client.feed(MessageMade(CancelSpan(str(self.client.me), "its cell was interrupted")))
        elif keys:
            self.cancel([self.machine.records[key] for key in keys], force=op.force)

    def cancel(self, records: list[Record], *, force: bool) -> None:
        """Cancel, maybe for everybody."""
        self.cluster.witness.cancelled(self.client, [record.key for record in records], force)
        if force:
            for record in records:
                # Before the scheduler hears of it: which attempt runs is known now.
                self.cluster.note_stopped(self.client, record.key)
        self.client.feed(CancelAsked(records, force, "the user said so"))

    def _do_retry(self, op: UserOp) -> None:
        # From now on a future may end well that had erred.
        self.cluster.witness.was_retried = True
        records = self.machine.records
        self.client.feed(RetryAsked([records[key] for key in op.keys if key in records]))

    def _do_gather(self, op: UserOp) -> None:
        for key in op.keys:
            self.client.read(key)

    def _do_scale(self, op: UserOp) -> None:
        nanny = self.cluster.nannies.get(op.number)
        if nanny is not None:
            self.client.ask(Scale(self.machine.next_request(), op.count, nanny.info.host))

    def _do_restart(self, op: UserOp) -> None:
        self.cluster.witness.restarted()
        self.client.ask(Restart(self.machine.next_request()))

    def _do_replace(self, op: UserOp) -> None:
        self.client.ask(Restart(self.machine.next_request(), [f"host-{op.number}-{op.count % 2}"]))

    def _do_run(self, op: UserOp) -> None:
        self.client.ask(RunFunction(self.machine.next_request(), b"a call"))

    def _do_ask(self, op: UserOp) -> None:
        request = self.machine.next_request()
        questions = (GetInfo(request), GetKeys(request), GetVersions(request), GetLogs(request), GetTelemetry(request))
        if op.count < len(questions):
            self.client.ask(questions[op.count])
        elif op.count == len(questions):
            self.client.ask(GetKeys(request, list(op.keys)))
        elif op.keys:
            # Of keys in whatever state they are, known or not.
            of_one = (Explain, DescribeTask, GetSpec)[op.count % 3]
            self.client.ask(of_one(request, op.keys[0]))
        self.client.feed(
            MessageMade(FollowTelemetry(0.5 * (op.count % 2), full=op.count % 3 == 0, past=op.count % 5 == 0))
        )
        if op.count % 3 == 1:
            self.client.ask(CatchUp(self.machine.next_request()))

    def _do_forget(self, op: UserOp) -> None:
        # Sorted, since the order of a set depends on the hash seed.
        functions = [Digest(function) for function in sorted(self.functions)]
        self.functions.clear()
        if functions:
            self.client.feed(MessageMade(ForgetFunctions(functions)))

    def _do_leave(self, op: UserOp) -> None:
        self.client.leave()

    def cancel_endless(self) -> None:
        """Cancel what ends by nothing else, and what waits for that, for everybody."""
        tasks, ancestors_of = self.cluster.plan.tasks, self.cluster.witness.ancestors_of
        records = [
            record
            for key, record in self.machine.records.items()
            if record.status is PENDING
            and any(name in tasks and tasks[name].call.nature == calls.ENDLESS for name in ancestors_of(key))
        ]
        if records and self.client.is_usable:
            self.cancel(records, force=True)
