"""A simulated store of a host: which attempts of which keys it holds, as ``nanny/store.py`` does, without their bytes.

It never decides what is kept; a value that was put in front of another attempt of its key hides that until it is freed.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from himalia.names import Key, is_good_for


class Stored(msgspec.Struct):
    """A result in a simulated store."""

    attempt: int
    nbytes: int
    data: bytes
    is_spoiled: bool = False
    """The next reader finds out that it can't be read."""


class SimulatedStore:
    """Results by key; the last one put is the one that is read."""

    def __init__(self) -> None:
        self._held: dict[Key, list[Stored]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._held)

    def values(self) -> list[Stored]:
        """Return everything that is held."""
        return [stored for held in self._held.values() for stored in held]

    def put(self, key: Key, stored: Stored) -> None:
        """Keep a result, in front of other attempts of its key."""
        held = [other for other in self._held.get(key, []) if other.attempt != stored.attempt]
        self._held[key] = [*held, stored]

    def get(self, key: Key, attempt: int | None = None) -> Stored | None:
        """Return what a reader of a key gets: the newest that is good for an attempt."""
        held = reversed(self._held.get(key, []))
        return next((stored for stored in held if attempt is None or is_good_for(stored.attempt, attempt)), None)

    def free(self, key: Key, attempt: int) -> None:
        """Give up one attempt."""
        held = [other for other in self._held.get(key, []) if other.attempt != attempt]
        if held:
            self._held[key] = held
        else:
            self._held.pop(key, None)
