"""What a request of the data plane does with the answers it gets: one class per way a value can arrive.  Pure.

A transfer is fed :class:`~himalia.messages.data.DataFollows` in the order of the stream, names the memory for raw
bytes, and says when it is finished.  Of the connection it knows only how to let it wait; when that is lost, it gives
back what it had taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from himalia.comm.buffers import unpack
from himalia.comm.data.layout import frame_offsets, range_length
from himalia.comm.data.wire import WireError, nowhere
from himalia.errors import StoreFullError
from himalia.messages.data import DataFollows
from himalia.messages.parts import HeldData
from himalia.names import Key, PeerId

if TYPE_CHECKING:
    from himalia.comm.data.connection import DataConnection
    from himalia.comm.data.mapping import ArenaReader
    from himalia.nanny.store.room import Request, Room
    from himalia.nanny.store.store import Store


class Transfer:
    """Some keys on their way from one host.

    Parameters
    ----------
    count : int
        Answers to come.

    Attributes
    ----------
    finished : callable
        Called when all answers are here; set by whoever sent the request.
    """

    def __init__(self, count: int) -> None:
        self.finished: Callable[[], None] = _nothing
        self._left = count

    def follows(self, message: DataFollows, connection: DataConnection) -> None:
        """Take one answer, and the raw bytes that follow it."""
        if message.found and message.place is None:
            # A peer's word: a negative size would move the end of a frame before its start.
            if not message.sizes or min(message.sizes) < 0:
                raise WireError("a result without frames")
            self.receive(message, connection)
        else:
            self.take(message)
            self._count()

    def take(self, message: DataFollows) -> None:
        """Take an answer that is complete in itself."""
        raise NotImplementedError

    def receive(self, message: DataFollows, connection: DataConnection) -> None:
        """Say where the raw bytes go; calls :meth:`_count` once they are there."""
        raise NotImplementedError

    def lost(self) -> None:
        """Give back what was taken for raw bytes that won't arrive."""

    def _count(self) -> None:
        # By number and not by key: a damaged or missing result is an answer as well.
        self._left -= 1
        if not self._left:
            self.finished()


class Getting(Transfer):
    """Brings results into this process.

    Parameters
    ----------
    results : dict
        Filled: the frames of each key, or ``None``.
    arena : ArenaReader or None
        Of the host, if it is this machine.
    """

    def __init__(self, count: int, results: dict[Key, list[memoryview] | None], arena: ArenaReader | None) -> None:
        super().__init__(count)
        self._results = results
        self._arena = arena

    def take(self, message: DataFollows) -> None:
        place = message.place
        if place is None:
            self._results[message.key] = None
        elif place.inline is not None:
            self._results[message.key] = unpack(place.inline)
        elif self._arena is not None:
            self._results[message.key] = self._arena.read(place)
        else:
            raise WireError("a range of memory that this process can't map")

    def receive(self, message: DataFollows, connection: DataConnection) -> None:
        offsets, total = frame_offsets(message.sizes)
        # One piece of memory for all frames, as in the arena: few large allocations, and the same alignment between
        # them.
        whole = memoryview(bytearray(total))
        frames = [whole[start : start + size] for start, size in zip(offsets, message.sizes, strict=True)]

        def received() -> None:
            self._results[message.key] = frames
            self._count()

        connection.reader.expect(iter(frames), received)


class Fetching(Transfer):
    """Brings results of another host into this nanny's store.

    Parameters
    ----------
    results : dict
        Filled: what is in the store, ``None`` if the host doesn't have it, the error if there is no room.
    store : Store
        Of this nanny.
    room : Room
        Where results wait that have no room there now; their host waits with them.
    owner : PeerId
        In whose name ranges are granted.
    """

    def __init__(
        self, count: int, results: dict[Key, HeldData | StoreFullError | None], store: Store, room: Room, owner: PeerId
    ) -> None:
        super().__init__(count)
        self._results = results
        self._store = store
        self._room = room
        self._owner = owner
        self._waiting: Request | None = None
        self._granted: tuple[int, int] | None = None
        self._is_abandoned = False

    def take(self, message: DataFollows) -> None:
        key, place = message.key, message.place
        if place is None:
            self._results[key] = None
            return
        if place.inline is None:
            raise WireError("a range of memory of another host")
        # The fetch was reported as failed, and a value that came afterwards would be nobody's to free.
        if self._is_abandoned:
            return
        nbytes = self._store.put_inline(key, message.attempt, place.inline)
        self._results[key] = HeldData(key, message.attempt, nbytes)

    def receive(self, message: DataFollows, connection: DataConnection) -> None:
        sizes = message.sizes

        def granted(offset: int, length: int) -> None:
            self._waiting = None
            self._granted = offset, length
            # Straight from the socket into the store: no copy in between.
            window = self._store.writable(self._owner, offset, length)
            offsets, _ = frame_offsets(sizes)
            targets = [window[start : start + size] for start, size in zip(offsets, sizes, strict=True)]
            expect(iter(targets), lambda: self._received(message))

        def refused(error: StoreFullError) -> None:
            self._waiting = None
            self._results[message.key] = error
            # Its bytes are on the stream all the same, with the next answer behind them.
            expect(nowhere(sum(sizes)), self._count)

        def expect(targets: Iterator[memoryview], received: Callable[[], None]) -> None:
            connection.reader.expect(targets, received)
            if connection.reader.is_held:
                connection.go_on()

        self._waiting = self._room.ask(self._owner, range_length(sizes), granted, refused, what=message.key)
        if self._waiting is not None:
            # The host waits with us: its bytes have no place yet, and must not pile up here.
            connection.hold()

    def lost(self) -> None:
        if self._waiting is not None:
            self._room.forget(self._waiting)
            self._waiting = None
        # Half a value is in it, which nobody was told of.
        if self._granted is not None:
            self._store.hand_back(self._owner, [self._granted])
            self._granted = None

    def abandon(self) -> None:
        """Nobody waits any more, or the host went away: keep nothing."""
        self._is_abandoned = True
        for held in self._results.values():
            if isinstance(held, HeldData):
                self._store.free(held.key, held.attempt)
        self._results.clear()

    def _received(self, message: DataFollows) -> None:
        assert self._granted is not None
        # Read to its end nevertheless: the next answer stands behind it.
        if self._is_abandoned:
            self.lost()
        else:
            offset, _ = self._granted
            self._granted = None
            nbytes = self._store.adopt(message.key, message.attempt, self._owner, offset, message.sizes)
            self._results[message.key] = HeldData(message.key, message.attempt, nbytes)
        self._count()


def _nothing() -> None:
    """Do nothing."""
