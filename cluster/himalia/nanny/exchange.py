"""What goes between a nanny and its workers: datagrams, in the arena if they are too large, and who maps which range.

It passes on what concerns the machine, and settles what concerns memory alone; it decides nothing about tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from himalia.bucket import Complaints
from himalia.comm.data.layout import range_length
from himalia.decoders import decoder_of
from himalia.errors import StoreDamagedError, StoreFullError
from himalia.messages.telemetry import StoreUse
from himalia.messages.worker import (
    DATAGRAM_LIMIT,
    GrantSpace,
    NannyToWorker,
    NeedSpace,
    Place,
    Raised,
    Returned,
    Run,
    Stored,
    Unmapped,
    WorkerToNanny,
)
from himalia.names import Key, PeerId, WorkerName
from himalia.nanny import events
from himalia.nanny.store.loading import Loader
from himalia.nanny.store.readers import WORKERS, Readers
from himalia.nanny.store.room import Room

if TYPE_CHECKING:
    from himalia.nanny.store.store import Store

logger = logging.getLogger("himalia.nanny")

AHEAD_SHARE: Final = 16
"""A worker is granted room ahead only if that is at most this part (one sixteenth) of the store.  Guess: a store
of 128 MiB then still has nurseries; with half as many shares, idle workers would keep half of a small one."""
WARN_SHARE: Final = 0.8
"""Part of what readers may map at which it is logged who they are; where hosts pause (``settings.memory_pause``)."""
WARN_AGAIN: Final = WARN_SHARE / 2
"""Part below which it is logged again next time: so much isn't let go and taken again within one computation."""
READERS_TOLD: Final = 50
"""Clients that a heartbeat names, of those that map results: 1.6 kB, measured, and more than anybody reads."""
WARNED_READERS: Final = 3
"""Readers that are named then."""
SHELL: Final = "himalia-nanny"
"""How the store knows this process as a writer of messages that are too large for a datagram."""


class Pool(Protocol):
    """The worker processes, as far as this file needs them."""

    def owner(self, name: WorkerName) -> str:
        """Return how the store knows the process that has this name now."""

    def dispatch(self, data: bytes) -> None:
        """Put a run into the queue that all workers share."""

    def dispatch_to(self, name: WorkerName, data: bytes) -> None:
        """Give a run to an idle worker."""

    def send(self, name: WorkerName, data: bytes) -> None:
        """Send a datagram to one worker."""

    def kill(self, name: WorkerName) -> None:
        """End a worker."""

    def all_running(self) -> dict[WorkerName, list[int]]:
        """Return the runs in the slots of all workers."""

    def head(self) -> Run | Stored | None:
        """Return the oldest run of the shared queue that no worker took yet."""


class Feeder(Protocol):
    """Who runs the machine."""

    def feed(self, event: object) -> None:
        """Let the machine handle an event."""

    def messages_received(self, peer: PeerId, messages: list[object]) -> None:
        """Let the machine handle messages of a worker."""


class Exchange:
    """Sends workers what the machine wants, and tells it what they say.

    Parameters
    ----------
    store : Store
    later : callable
        Calls a function at the loop's next turn.
    clock : callable
        Monotonic seconds.

    Attributes
    ----------
    pool : Pool
        The processes; to be set at once.
    driver : Feeder
        Of the machine; to be set before a worker is started.
    """

    pool: Pool
    driver: Feeder

    def __init__(self, store: Store, later: Callable[[Callable[[], None]], object], clock: Callable[[], float]) -> None:
        self._store = store
        self._later = later
        self._readers = Readers(store.length_of)
        self.room = Room(store, clock, self._is_stuck, self._look_soon)
        """Where everybody waits who needs room in the store."""
        self.loader = Loader(store, self.room, later, lambda event: self.driver.feed(event))
        """Brings inputs of calls back from disk."""
        store.freed = self._freed
        self._is_look_due = False
        self._warned: set[str] = set()
        self._clock = clock
        self._complaints = Complaints(logger)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = decoder_of(WorkerToNanny).decode
        self._stored_messages = 0
        self._stored_runs: dict[int, int] = {}
        """Runs without an answer that were too large for a datagram, and where they are."""

    def worker_said(self, name: WorkerName, messages: list[Any]) -> None:
        """Take a worker's messages; what concerns memory alone is settled here."""
        passed = []
        for message in messages:
            kind = type(message)
            # Too large for a datagram: it lies in the arena, and this one only says where.
            if kind is Stored:
                message = self._read_message(name, message.place)
                kind = type(message)
            if kind is Returned or kind is Raised:
                # Hosts of small results have no mappings to be counted, and are spared the look.
                if self._readers.runs:
                    # Before the machine hears of the answer: it may free inputs, whose mappings then belong to
                    # somebody.
                    self._readers.answered(message.run, name)
                    self._stored_runs.pop(message.run, None)
                passed.append(message)
            elif kind is NeedSpace:
                self._grant(name, message)
            elif kind is Unmapped:
                self._readers.count(name, message.offsets, -1)
                self._store.unmap(WORKERS, message.offsets)
            else:
                passed.append(message)
        # In one call: what they make the machine do is sent together.
        if passed:
            self.driver.messages_received(PeerId(name), passed)

    def worker_gone(
        self, name: WorkerName, pid: int, exit: str, running: list[int], log: list[str], out_of_memory: bool | None
    ) -> None:
        """Free what a process held, and tell the machine."""
        # First the machine, then the memory: what it does about the death (a result that is adopted, inputs that are
        # freed) is still about ranges of a process that the store knows.
        self.driver.feed(events.WorkerExited(name, pid, exit, running, log, out_of_memory))
        self.room.forget_owner(f"{name}/{pid}")
        for run in running:
            self._stored_runs.pop(run, None)
        self._store.unmap(WORKERS, self._readers.left(name, running))
        self._store.release_owner(f"{name}/{pid}")

    def _grant(self, name: WorkerName, message: NeedSpace) -> None:
        """Grant a worker a range for results: a large one ahead if that is little of the store, else what it needs."""
        owner = self.pool.owner(name)
        # Before asking for more: the rest of the last grant may be what is missing.
        self._store.hand_back(owner, message.unused)
        # Room ahead spares a question for most results. In a small store it would be room that nobody writes to.
        ahead = message.nbytes <= self._store.limit // AHEAD_SHARE
        self.room.ask(
            owner,
            self._store.ahead(message.least, message.nbytes) if ahead else message.least,
            lambda offset, length: self.send(name, GrantSpace(message.request, offset, length)),
            lambda error: self.send(name, GrantSpace(message.request, 0, 0, str(error))),
            # By name, not by process: whether other workers go on is asked by name (_is_stuck).
            who=name,
        )

    def use(self) -> StoreUse:
        """Return who keeps what of the store; of those who wait the machine knows most."""
        store = self._store
        clients = [(reader, nbytes) for reader, nbytes in store.mapped.items() if reader != WORKERS]
        return StoreUse(
            free=store.room,
            clients=dict(nlargest(READERS_TOLD, clients, key=lambda reader: reader[1])),
            workers={str(name): nbytes for name, nbytes in self._readers.kept().items()},
            disk=store.disk_error if store.is_disk_full else "",
        )

    def unwritten(self) -> dict[WorkerName, tuple[int, float]]:
        """Return the workers that wait for room for a result: its bytes, and since when."""
        return {WorkerName(request.who): (request.nbytes, request.since) for request in self.room.results}

    def unread(self) -> dict[Key, tuple[int, float]]:
        """Return the inputs that wait for room; see :class:`himalia.nanny.events.Measured`."""
        return {request.what: (request.nbytes, request.since) for request in self.room.others if request.what}

    def tick(self) -> None:
        """Look at who waits for room and who keeps much of it; a few times a second."""
        self.room.tick()
        clients = [(str(reader), nbytes) for reader, nbytes in self._store.mapped.items() if reader != WORKERS]
        self._watch(clients, "maps", "Release futures' values, or keep copies (array.copy()).")
        workers = [(str(name), nbytes) for name, nbytes in self._readers.kept().items()]
        advice = "Its code keeps inputs after their calls (a global, a cache): keep copies of less."
        self._watch(workers, "keeps", advice)

    def _watch(self, readers: list[tuple[str, int]], verb: str, advice: str) -> None:
        """Log once that readers of a kind have nearly all that they may map."""
        total, limit = sum(nbytes for _, nbytes in readers), self._store.mapped_limit
        # Two thresholds: at one alone a notebook that holds just so much would be logged ten times a second.
        if total < limit * (WARN_AGAIN if verb in self._warned else WARN_SHARE):
            self._warned.discard(verb)
            return
        if verb not in self._warned:
            self._warned.add(verb)
            for name, nbytes in sorted(readers, key=lambda reader: -reader[1])[:WARNED_READERS]:
                logger.warning(
                    "%s %s %s bytes of the results here, which can't move to disk; together such readers map %s, of %s "
                    "that they may. They get copies of more. %s",
                    *(name, verb, f"{nbytes:,}", f"{total:,}", f"{limit:,}", advice),
                )

    def _freed(self) -> None:
        """Look at who waits for room, once for all that is freed in a turn of the loop."""
        if self.room:
            self._look_soon()

    def _look_soon(self) -> None:
        # Once per turn of the loop: a call that ends frees its inputs one by one.
        if not self._is_look_due:
            self._is_look_due = True
            self._later(self._look)

    def _look(self) -> None:
        self._is_look_due = False
        self.room.look()

    def _is_stuck(self, waiting: set[str]) -> bool:
        # True if nothing runs at all, too: then only releases by clients could help, and nobody knows of any.
        return all(name in waiting for name, runs in self.pool.all_running().items() if runs)

    def send(self, name: WorkerName, message: NannyToWorker) -> None:
        """Send a worker a message, through the arena if it is too large for a datagram."""
        data = self._encode(message)
        if len(data) > DATAGRAM_LIMIT:
            try:
                place = self._write_message(data)
            except StoreFullError as error:  # larger than all of the store: the worker would wait for it for ever
                text = "a message for %s can't be sent, so it is replaced: %s"
                self._complaints.write(self._clock(), text, name, error)
                self.pool.kill(name)
                return
            # The worker reports the end of this mapping like any other.
            self._readers.count(name, [place.offset], 1)
            data = self._encode(Stored(place))
        self.pool.send(name, data)

    def _write_message(self, data: bytes) -> Place:
        """Put a message into the arena, where it stays until whoever reads it has done so."""
        # A key of its own for each: two messages to one worker may lie there at the same time.
        self._stored_messages += 1
        key = Key(f"himalia-message-{self._stored_messages}")
        length = range_length([len(data)])
        offset, _ = self._store.grant(SHELL, length, force=True)  # a moment's need; who waits for it frees more
        self._store.writable(SHELL, offset, length)[: len(data)] = data
        self._store.adopt(key, 0, SHELL, offset, [len(data)])
        place = self._store.place(key, WORKERS)
        # At once: the range stays until the reader has unmapped it (the ledger counts), and a worker that dies with it
        # leaves nothing.
        self._store.free(key, 0)
        return place

    def _read_message(self, name: WorkerName, place: Place) -> object:
        """Return a message that a worker put into the arena."""
        key = Key(f"himalia-message-of-{name}")
        self._store.adopt(key, 0, self.pool.owner(name), place.offset, place.sizes)
        message = self._decode(bytes(self._store.views(key)[0]))
        self._store.free(key, 0)
        return message

    def dispatch(self, instruction: events.Dispatch) -> None:
        """Send a run to a worker or to whoever is free first, with the places of its inputs."""
        compute, number = instruction.compute, instruction.run
        # Filled by _place_inputs() as far as it gets: whichever way this fails, what was mapped until then is unmapped.
        inputs: list[tuple[Key, Place]] = []
        offsets: list[int] = []
        try:
            if compute.dependencies:
                self._place_inputs(instruction, inputs, offsets)
            run = Run(number, compute.key, compute.function, compute.call, compute.argument, inputs, compute.alone)
            data = self._encode(run)
            if len(data) > DATAGRAM_LIMIT:
                place = self._write_message(data)
                offsets.append(place.offset)
                self._stored_runs[number] = place.offset
                data = self._encode(Stored(place))
        except _OnDiskError:
            self._store.unmap(WORKERS, offsets)
            self.driver.feed(events.DispatchDelayed(number))
            return
        except _DispatchError as error:
            self._store.unmap(WORKERS, offsets)
            self.driver.feed(events.DispatchFailed(number, error.unreadable, str(error)))
            return
        except StoreFullError as error:
            self._store.unmap(WORKERS, offsets)
            self.driver.feed(events.DispatchFailed(number, [], str(error)))
            return
        # Noted before it is sent: the answer may come in the same turn.
        if offsets:
            self._readers.dispatched(number, offsets)
        if instruction.worker is None:
            self.pool.dispatch(data)
        # By the channel: one thread of the worker reads it, and keeps the gate for a call that has to run alone. The
        # lane is read by all of them.
        elif compute.worker or compute.alone:
            self.pool.send(instruction.worker, data)
        else:
            self.pool.dispatch_to(instruction.worker, data)

    def _place_inputs(self, instruction: events.Dispatch, inputs: list[tuple[Key, Place]], offsets: list[int]) -> None:
        unreadable: list[Key] = []
        store = self._store
        for dependency in instruction.compute.dependencies:
            # Looked up here, since it may have moved to disk after the machine decided. Nothing is read in this place:
            # it would take seconds, with all workers and the scheduler waiting.
            if store.spilled and store.is_on_disk(dependency.key, dependency.attempt):
                raise _OnDiskError
            try:
                place = store.place(dependency.key, WORKERS, dependency.attempt)
            except KeyError:
                unreadable.append(dependency.key)
                continue
            except StoreDamagedError:
                unreadable.append(dependency.key)
                continue
            if place.inline is None:
                offsets.append(place.offset)
                # What user code keeps mapped can't move to disk; over a fourth of the store it gets memory of its own,
                # which its own limit counts.
                place.is_copied = self._must_copy(place)
            inputs.append((dependency.key, place))
        if unreadable:
            raise _DispatchError(unreadable)

    def _must_copy(self, place: Place) -> bool:
        """Whether workers map so much beside their calls that the next input has to become their own memory."""
        kept = sum(self._readers.kept().values())
        if not kept or self._readers.keeps(place.offset):
            return False
        return kept + range_length(place.sizes) > self._store.mapped_limit

    def run_lost(self, instruction: events.RunLost) -> None:
        """Forget what a run was to map that no worker has."""
        self._stored_runs.pop(instruction.run, None)
        self._store.unmap(WORKERS, self._readers.lost(instruction.run))

    def read_slots(self, instruction: events.ReadSlots) -> None:
        """Tell the machine what runs, and which run is next."""
        head = self.pool.head()
        number = 0
        if isinstance(head, Run):
            number = head.run
        elif head is not None:
            where = head.place.offset
            # 1 if that can't be told: no run is older, so none is taken for lost.
            number = next((run for run, offset in self._stored_runs.items() if offset == where), 1)
        self.driver.feed(events.SlotsRead(self.pool.all_running(), number))


class _OnDiskError(Exception):
    """Inputs of a call have to be read back first."""


class _DispatchError(Exception):
    """Inputs of a call can't be read from the store."""

    def __init__(self, unreadable: list[Key]) -> None:
        super().__init__("can't be read")
        self.unreadable = unreadable
