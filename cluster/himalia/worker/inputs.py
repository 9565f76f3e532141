"""The inputs of one call: read when the call names them, or found among what this process kept.

Decides which are copied out of the arena and which are mapped, and which are kept for later calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from himalia import serialize
from himalia.comm.buffers import unpack
from himalia.comm.data.mapping import ArenaReader
from himalia.messages.worker import Place
from himalia.names import Key
from himalia.settings import MIB
from himalia.worker.live import LiveObjects
from himalia.worker.sharing import NONE, give

COPIED: Final = 2 * MIB
"""Bytes of frames and the like that are copied, so that they can be kept: what is mapped keeps its range.  A copy takes
0.3 ms/MB; reading a dict of sixteen frames takes 1.2 ms, for each of sixteen calls that want one of them."""
LONE_ARRAY: Final = 400
"""Bytes of the pickle of an array beside its buffer: 118 and its shape; of a pandas series 547."""
REMEMBERED: Final = 1000
"""Values remembered that were mapped once, and that can't be kept."""


class InputReader:
    """What all calls of a process read inputs with; any thread.

    Parameters
    ----------
    live : LiveObjects
    open_reader : callable
        Returns the reader of the arena.
    """

    def __init__(self, live: LiveObjects, open_reader: Callable[[], ArenaReader]) -> None:
        self.live = live
        self.open_reader = open_reader
        self.has_sharers = False
        """Whether any call shares inputs: if not, nobody would ever be given an array that was kept."""
        self.mapped_once = Recent()
        """Values."""
        self.unshareable = Recent()
        """Values of a kind that can't be kept."""


class Recent:
    """Numbers that were added last; any thread."""

    def __init__(self) -> None:
        self._numbers: dict[int, None] = {}

    def add(self, number: int) -> bool:
        """Add a number, and return whether it was there."""
        if number in self._numbers:
            return True
        self._numbers[number] = None
        while len(self._numbers) > REMEMBERED:
            # Another thread may have taken it.
            self._numbers.pop(next(iter(self._numbers)), None)
        return False

    def __contains__(self, number: int) -> bool:
        return number in self._numbers


class Inputs(Mapping[Key, Any]):
    """The inputs of one call.

    Parameters
    ----------
    reader : InputReader
    places : iterable of (Key, Place)
        Each is counted by the nanny as mapped here; :meth:`close` says of those that aren't.

    Attributes
    ----------
    are_shared : bool
        Whether a value may have an array that can't be written to.
    """

    def __init__(self, reader: InputReader, places: Iterable[tuple[Key, Place]]) -> None:
        self._reader = reader
        self._places = dict(places)
        self._values: dict[Key, Any] = {}
        self._shared: dict[Key, Any] = {}
        self._unread = {place.offset for place in self._places.values() if place.inline is None}
        self.are_shared = False
        self.changes_nothing = False
        """To be set if the call reads its inputs only, and returns nothing that is written to later."""

    def __getitem__(self, key: Key) -> Any:
        if key not in self._values:
            self._values[key] = self._read(self._places[key])
        return self._values[key]

    def share(self, key: Key) -> Any:
        """Return an input that the call won't change."""
        self._reader.has_sharers = True
        if key not in self._shared:
            self._shared[key] = self._find_shared(self._places[key])
        return self._shared[key]

    def frames(self, key: Key) -> list[memoryview]:
        """Return the bytes of an input."""
        place = self._places[key]
        self._unread.discard(place.offset)
        return self._reader.open_reader().read(place)

    def close(self) -> None:
        """Say of inputs that were not read that they aren't mapped here."""
        if self._unread:
            self._reader.open_reader().unmapped.extend(self._unread)
            self._unread.clear()

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _find_shared(self, place: Place) -> Any:
        live = self._reader.live
        nbytes = len(place.inline) if place.inline is not None else sum(place.sizes)
        if not live.is_worth_it(nbytes):
            return self._read(place)
        value = self._find_live(place.number)
        if value is NONE:
            value = self._read_and_keep(place, nbytes)
        return value

    def _read_and_keep(self, place: Place, nbytes: int) -> Any:
        is_array = len(place.sizes) == 2 and place.sizes[0] < LONE_ARRAY
        if place.number in self._reader.unshareable:
            return self._read(place)
        if is_array:
            # Most are read once, or where they were made; and of a large one, most calls want a part.
            if nbytes > COPIED or not self._reader.mapped_once.add(place.number):
                return self._read(place)
        elif nbytes > COPIED and not self._reader.mapped_once.add(place.number):
            return self._read(place)
        value = self._read(place, copied=True)
        self._reader.live.keep(place.number, value, nbytes, is_own=True)
        kept = self._find_live(place.number)
        if kept is NONE:
            self._reader.unshareable.add(place.number)
            # Its arrays can't be written to all the same.
            self.are_shared = True
            return value
        return kept

    def _find_live(self, number: int) -> object:
        frozen = self._reader.live.find(number)
        if frozen is NONE:
            return NONE
        self.are_shared = True
        return frozen if self.changes_nothing else give(frozen)

    def _read(self, place: Place, *, copied: bool = False) -> Any:
        """Return a value; one that is ``copied`` has arrays that no flag makes writable."""
        if place.inline is not None:
            if not copied:
                return serialize.loads_packed(place.inline)
            return serialize.loads(unpack(place.inline), read_only=True)
        self._unread.discard(place.offset)
        if copied:
            place = Place(None, place.offset, place.sizes, is_copied=True)
        return serialize.loads(self._reader.open_reader().read(place), read_only=copied)
