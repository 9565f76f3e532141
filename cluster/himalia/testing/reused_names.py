"""Names that stand for one thing after another: a user's own, and those that all users fight over.

Knows what each future of such a name may come to, so that the value of a use before it is seen.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from himalia.client.engine.events import CallsSubmitted, ValuePlaced
from himalia.client.engine.state import FINISHED, Record
from himalia.messages.client import DataPlaced
from himalia.messages.parts import TaskSpec
from himalia.names import HostId, Key
from himalia.testing import calls
from himalia.testing.calls import SimulatedCall
from himalia.testing.checks import AGAIN, OWN, SHARED
from himalia.testing.plan import UserOp
from himalia.testing.world import SimulationError

if TYPE_CHECKING:
    from himalia.testing.clients import ClientProcess

CANCELS = 10
"""From this number on an operation on a shared name cancels it."""
SIZES = (8, 33_000, 5_000)
"""Bytes of what a name stands for."""


class ReusedNames:
    """Uses such names through one client."""

    def __init__(self, client: ClientProcess) -> None:
        self.client = client
        self.own: dict[int, tuple[Record, bytes]] = {}
        """What futures of this user's own names stand for, by the record's identity."""
        self.told = 0
        """Things that such names stood for so far."""

    def reuse(self, op: UserOp) -> None:
        """Let a name of this user's alone stand for something else, in the same moment in which the last is let go."""
        # Two names only, so that each is used again soon.
        key = Key(f"{OWN}{self.client.me}-{op.number % 2}")
        if self.client.placing:
            return  # a value under this name may be on its way
        if key in self.client.futures:
            if not op.force:
                return  # as long as it is held it stays what it is
            # What reads it goes as well, or it would keep what the name stood for.
            dependent = Key(key + AGAIN)
            self.client.release(
                (key,) * len(self.client.futures[key]) + (dependent,) * len(self.client.futures.get(dependent, ()))
            )
        self.told += 1
        if op.count % 3:
            self._call_it(key, op)
        else:
            nbytes = SIZES[op.count // 3 % len(SIZES)]
            self.client.place(key, self._data(key, nbytes), partial(self._placed_again, key, nbytes))

    def _call_it(self, key: Key, op: UserOp) -> None:
        nbytes = SIZES[op.count // 3 % len(SIZES)]
        call = SimulatedCall(key, (), 0.05 * (op.count % 4), nbytes, salt=str(self.told))
        specs = [TaskSpec(key, "own", b"", call.pack(), (), 0, True)]
        value = calls.value_of(call, [])
        if op.count % 2:
            specs.append(self._reading_spec(key))
        self._submit_own(specs, key, value)

    def _reading_spec(self, key: Key) -> TaskSpec:
        """A call that reads what a name stands for now."""
        reading = SimulatedCall(Key(key + AGAIN), (key,), 0.01, 8)
        return TaskSpec(reading.key, "own", b"", reading.pack(), (key,), 1, True)

    def _submit_own(self, specs: list[TaskSpec], key: Key, value: bytes) -> None:
        reading = Key(key + AGAIN)
        # Whoever holds a key keeps its record, and what that stands for.
        was_held = {spec.key for spec in specs if spec.key in self.client.machine.records}
        self.client.cluster.witness.submitted([spec.key for spec in specs])
        self.client.feed(CallsSubmitted(self.client.machine.next_batch(), specs))
        for spec in specs:
            self.client.hold(spec.key)
            record = self.client.machine.records.get(spec.key)
            if record is not None and spec.key not in was_held:
                call = calls.unpack(spec.call)
                self._expect(record, value if spec.key != reading else calls.value_of(call, [value]))

    def _placed_again(self, key: Key, nbytes: int, host: HostId, attempt: int) -> None:
        # By the count of now: nothing else may use the name while this was on its way (reuse).
        value = self.value_of(key)
        self.client.feed(ValuePlaced(DataPlaced(key, "data", host, nbytes, "bytes", True, attempt), None, True))
        record = self.client.machine.records.get(key)
        if record is not None:
            self._expect(record, value)
        self.client.hold(key)
        self._submit_own([self._reading_spec(key)], key, value)

    def _expect(self, record: Record, value: bytes) -> None:
        self.own[id(record)] = record, value
        data = record.data
        # Over before it began: then it is what the name stood for before.
        if record.status is FINISHED and data is not None and calls.read_value(data) != value:
            raise SimulationError(f"{self.client.me} got what {record.key} stood for before")

    def expected(self, record: Record) -> Collection[bytes]:
        """What a future may come to."""
        if record.key.startswith(SHARED):
            # Whose call it was that ran nobody can say; one of those that were submitted.
            return self.client.cluster.shared[record.key]
        if record.key.startswith(OWN):
            known = self.own.get(id(record))
            return () if known is None else (known[1],)
        return (self.client.cluster.truth[record.key],)

    def collide(self, op: UserOp) -> None:
        """Use a name that others use, too, for a call or a value of one's own, or cancel it for everybody."""
        key = Key(f"{SHARED}{op.number % 2}")
        if self.client.placing:
            return
        # Somebody's future ends by somebody else's doing: each has to learn of it.
        if op.count >= CANCELS:
            if key in self.client.machine.records:
                self.client.user.cancel([self.client.machine.records[key]], force=True)
            return
        if op.force and key in self.client.futures:
            self.client.release((key,) * len(self.client.futures[key]))
        self.told += 1
        nbytes = SIZES[op.count // 3 % len(SIZES)]
        values = self.client.cluster.shared.setdefault(key, set())
        if op.count % 3:
            call = SimulatedCall(key, (), 0.05 * (op.count % 4), nbytes, salt=f"{self.client.number}/{self.told}")
            # Before it is submitted: another user's future of this name may end with it.
            values.add(calls.value_of(call, []))
            self.client.cluster.witness.submitted([key])
            spec = TaskSpec(key, "own", b"", call.pack(), (), 0, True)
            self.client.feed(CallsSubmitted(self.client.machine.next_batch(), [spec]))
            self.client.hold(key)
        else:
            values.add(self.value_of(key))
            self.client.place(key, self._data(key, nbytes), partial(self._shared_placed, key, nbytes))

    def _shared_placed(self, key: Key, nbytes: int, host: HostId, attempt: int) -> None:
        self.client.feed(ValuePlaced(DataPlaced(key, "data", host, nbytes, "bytes", True, attempt), None, True))
        self.client.hold(key)

    def value_of(self, key: Key) -> bytes:
        """What a value is that is placed under a key now."""
        if key.startswith(SHARED):
            # No two users place the same under a shared name: else a mix-up of theirs would not show.
            return calls.scattered_value(key, self.told + 1000 * self.client.number)
        return calls.scattered_value(key, self.told if key.startswith(OWN) else 0)

    def _data(self, key: Key, nbytes: int) -> bytes:
        return calls.write_value(self.value_of(key), nbytes)
