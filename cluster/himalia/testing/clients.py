"""A simulated client: the real machine, and what its shell would do: place values, read them, map them for a while.

What is submitted, held or cancelled is the user's affair (``users.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from himalia.client.engine.events import (
    Answer,
    Closed,
    Deliver,
    ForgetHost,
    FuturesDropped,
    HostsKnown,
    Notify,
    ReadFailed,
    RequestMade,
    ShowOutput,
)
from himalia.client.engine.machine import ClientMachine
from himalia.client.engine.state import CANCELLED, FINISHED, PENDING, Record
from himalia.names import SCHEDULER, HostId, Key, PeerId
from himalia.testing import calls
from himalia.testing.nannies import Value
from himalia.testing.plan import UserOp
from himalia.testing.process import Process
from himalia.testing.users import User
from himalia.testing.world import SimulationError

if TYPE_CHECKING:
    from himalia.messages.answers import Question
    from himalia.testing.cluster import SimulatedCluster

KEPT = 1.0
"""Seconds at most that a user keeps an array that maps a host's memory: more than a call takes, and less
than a schedule, so that both orders happen."""
LAST_TRY = 50
"""Tries to place a value, after which it is given up."""


class ClientProcess(Process):
    """A client and its user.

    Parameters
    ----------
    cluster : SimulatedCluster
    number : int
        Which user of the plan.
    me : PeerId

    Attributes
    ----------
    futures : dict of Key to list of Record
        What the user holds; cancelled ones until they are released.
    user : User
        Who does what the plan says.
    """

    machine: ClientMachine

    def __init__(self, cluster: SimulatedCluster, number: int, me: PeerId) -> None:
        self.number = number
        self.is_lost = False
        """Whether it lost the scheduler, so that nobody knows what of its last wishes arrived there."""
        self.futures: dict[Key, list[Record]] = {}
        self.checked: dict[Key, Record] = {}
        """Keys whose value was read and right, by the record it was read for."""
        self.reading: set[Key] = set()
        self.placing = 0
        """Values on their way to a host, and submissions of which a piece is still to come."""
        self.asked: set[int] = set()
        """Questions without an answer."""
        self.mappings: list[tuple[HostId, Key, Value]] = []
        """Arrays that map a host's memory."""
        super().__init__(cluster, me, "client", ClientMachine())
        # After the process, whose machine and chance it uses.
        self.user = User(self)
        self.perform |= {
            Notify: self._notify,
            Answer: self._answered,
            # What a shell does for people, and for connections that don't exist here.
            Deliver: lambda instruction: None,
            ShowOutput: lambda instruction: None,
            ForgetHost: lambda instruction: None,
            HostsKnown: lambda instruction: None,
        }
        self.comm.connect(SCHEDULER, cluster.settings.client_lease)

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
        self.is_lost = True
        super().peer_left(peer, reason)
        self.kill()
        # As somebody restarts a kernel: another client, which knows nothing of the one before.
        self.world.call_later(0.1, self.cluster.start_client, self.number)

    def do(self, op: UserOp) -> None:
        """Do what the plan says, as far as it makes sense now."""
        if self.is_usable:
            self.user.do(op)

    # Futures

    def hold(self, key: Key) -> None:
        """Take a future that the machine has made."""
        record = self.machine.records.get(key)
        if record is None:
            return  # cancelled before the user had it
        self.futures.setdefault(key, []).append(record)
        # A future of something that ended long ago is told by nobody.
        if record.status is not PENDING or not self.machine.watch(record, self._settled):
            self._settled(record)

    def release(self, keys: tuple[Key, ...]) -> None:
        """Drop the futures of these keys, or one of several."""
        # A key that is named several times loses as many futures.
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
            # A collector goes by no order: inputs may be let go of before what needs them, and after it.
            self.random.shuffle(records)
            self.feed(FuturesDropped(records))

    # Values on their way to hosts

    def place(
        self,
        key: Key,
        data: bytes,
        done: Callable[[HostId, int], None],
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Send a value to a host, as the data plane would; ``done`` is told which one, and the attempt."""
        self.placing += 1
        # Negative: the scheduler counts its attempts upwards, so no call's is ever the same.
        Placing(self, key, data, self.random.randrange(-(2**62), 0), done, failed).go_somewhere()

    def place_at(
        self,
        host: HostId,
        key: Key,
        data: bytes,
        attempt: int,
        done: Callable[[HostId, int], None],
        failed: Callable[[], None],
    ) -> None:
        """Send another copy of a value to this host, and to no other."""
        self.placing += 1
        # As if tried often enough, so that a failure is the end of it.
        Placing(self, key, data, attempt, done, failed, tries=LAST_TRY).go_to(host)

    # Values of futures

    def _notify(self, instruction: Notify) -> None:
        for watcher in instruction.watchers:
            watcher(instruction.record)

    def _settled(self, record: Record) -> None:
        self.cluster.witness.settled(self, record)

    def read(self, key: Key) -> None:
        """Read the value of a finished key, from its message or from a host that has it, and check it."""
        record = self.machine.records.get(key)
        if record is None or record.status is not FINISHED or key in self.reading:
            return
        if record.data is not None:
            self._check(record, record.data)
            return
        self.reading.add(key)
        # Any of them; if that fails the machine is told, and finds another way.
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
            # Even if nobody wants it any more: the nanny counted the mapping when it answered.
            self.mappings.append((host, record.key, value))
            # A real reader copies these, and reports the end of the mapping at once.
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
        # At the end, not at the beginning: a range that was used again meanwhile shows now.
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

    # Questions, and the end

    def ask(self, message: Question[Any]) -> None:
        # Before it is fed: the machine may answer it in the same event.
        self.asked.add(message.request)
        self.feed(RequestMade(message))

    def _answered(self, instruction: Answer) -> None:
        self.asked.remove(instruction.request)  # every question has exactly one answer

    def leave(self) -> None:
        """Close the client politely."""
        if self.is_alive:
            # The machine's last words first; the goodbye follows them on the same connection.
            self.feed(Closed("the user closed it"))
            self.end("closed")
            self.cluster.client_died(self)

    def has_everything(self) -> bool:
        """Whether every future has come to its end, and every value was read; reads what wasn't."""
        done = not (self.placing or self.asked or self.mappings)
        for key, record in self.machine.records.items():
            if record.status is PENDING:
                done = False
            # By the record: a key that was used again has another one, and has to be read again.
            elif record.status is FINISHED and self.checked.get(key) is not record:
                self.read(key)
                done = False
        return done

    def statuses(self) -> dict[Key, str]:
        """How the user's futures stand, for reports."""
        return {key: held[-1].status for key, held in self.futures.items() if held[-1].status != CANCELLED}


class Placing:
    """A value on its way to a host; to another one if that fails."""

    def __init__(
        self,
        client: ClientProcess,
        key: Key,
        data: bytes,
        attempt: int,
        done: Callable[[HostId, int], None],
        failed: Callable[[], None],
        *,
        tries: int = 0,
    ) -> None:
        self.client = client
        self.key = key
        self.data = data
        self.attempt = attempt
        self.done = done
        self.failed = failed
        self.tries = tries

    def go_somewhere(self) -> None:
        """Try a host, unless it was tried often enough."""
        client = self.client
        hosts = list(client.machine.hosts)
        if self.tries > LAST_TRY or not client.is_usable:
            client.placing -= 1
            if client.is_usable:
                self.failed()
        elif not hosts:
            client.after(0.1, self._again)
        else:
            host = client.random.choice(hosts)
            client.after(client.cluster.fetch_delay(client.random), self.go_to, host)

    def _again(self) -> None:
        self.tries += 1
        self.go_somewhere()

    def go_to(self, host: HostId) -> None:
        """Try this host."""
        client = self.client
        nanny = client.cluster.reach(client, host)
        if nanny is None:
            client.after(0.05, self._again)
            return
        is_answered = False

        # Called by the host, or by the look below if that is gone; the first one counts.
        def answered(is_stored: bool) -> None:
            nonlocal is_answered
            if not is_answered:
                is_answered = True
                if is_stored:
                    client.after(client.cluster.fetch_delay(client.random), self._stored, host)
                else:
                    client.after(0.05, self._again)

        def look() -> None:
            """See whether the host that owes an answer is still there."""
            if not is_answered and client.is_alive:
                if nanny.is_alive:
                    client.after(0.5, look)
                else:
                    answered(False)

        # No connection breaks here when a nanny dies, so somebody has to look.
        nanny.put(client.me, self.key, self.attempt, self.data, answered)
        look()

    def _stored(self, host: HostId) -> None:
        self.client.placing -= 1
        if self.client.is_usable:
            self.done(host, self.attempt)
