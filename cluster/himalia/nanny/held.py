"""What the store of a host holds, as its nanny's machine knows it: every attempt of every key, and their sum.

Pure books: which result is kept or freed is decided elsewhere (``holding``), where its bytes are by the store.
"""

from __future__ import annotations

from functools import reduce
from operator import xor

from himalia.messages.parts import HeldData
from himalia.names import Key, PeerId, digest, is_good_for


class HeldResults:
    """All results that are held.

    Attributes
    ----------
    newest : dict
        By key, the one in front: attempt, bytes, digest.
    shadowed : dict
        Other attempts of the same keys, which the store keeps as well until each is freed; the oldest first.
    tally, count : int
        Xor of the digests of computed results, and how many they are, which heartbeats tell.  Placed ones are left
        out: their clients announce them, out of order.
    placed : dict
        Placed data (key, attempt) that their client may not have announced yet: when they came, their bytes, and whose
        they are.
    largest : int
        Bytes of the largest result ever held.
    """

    def __init__(self) -> None:
        self.newest: dict[Key, tuple[int, int, int]] = {}
        self.shadowed: dict[Key, list[tuple[int, int, int]]] = {}
        self.tally = 0
        self.count = 0
        self.placed: dict[tuple[Key, int], tuple[float, int, PeerId]] = {}
        self.largest = 0

    def add(self, key: Key, attempt: int, nbytes: int, digest: int) -> None:
        """Count a result as held, in front of other attempts of that key."""
        if key in self.newest:
            # The store keeps both until the scheduler frees one by its attempt: a key that is used again may be fetched
            # here before the old value is released.
            self.shadowed.setdefault(key, []).append(self.newest[key])
        self.newest[key] = (attempt, nbytes, digest)
        if nbytes > self.largest:
            self.largest = nbytes
        # Placed values have negative attempts.
        if attempt >= 0:
            self.tally ^= digest
            self.count += 1

    def remove(self, key: Key, attempt: int) -> bool:
        """Count a result no longer; one that it shadowed is back.  Return whether there was one of that attempt."""
        held = self.newest.get(key)
        others = self.shadowed.get(key, [])
        if held is not None and held[0] == attempt:
            del self.newest[key]
            if others:
                # As the store does it: the two books have to choose alike, or a call would be sent with another value
                # than was counted.
                self.newest[key] = others.pop()
        else:
            held = next((other for other in others if other[0] == attempt), None)
            if held is None:
                return False
            others.remove(held)
        if not others:
            self.shadowed.pop(key, None)
        if attempt >= 0:
            self.tally ^= held[2]
            self.count -= 1
        else:
            self.placed.pop((key, attempt), None)
        return True

    def has(self, key: Key, attempt: int) -> bool:
        """Whether this attempt of a result is held."""
        held = self.newest.get(key)
        # Nearly always; the list of others is looked at only if there is one.
        if held is None or held[0] == attempt:
            return held is not None
        return any(attempt == other[0] for other in self.shadowed.get(key, ()))

    def attempts_of(self, key: Key) -> list[int]:
        """Return the attempts of a result that are held, the one in front first."""
        if key not in self.newest:
            return []
        return [self.newest[key][0], *(other[0] for other in reversed(self.shadowed.get(key, ())))]

    def find_good(self, key: Key, needed: int) -> int | None:
        """Return the attempt that is read for this one (:func:`~himalia.names.is_good_for`), as the store does."""
        return next((attempt for attempt in self.attempts_of(key) if is_good_for(attempt, needed)), None)

    def all(self) -> list[tuple[Key, int, int, int]]:
        """Return all that the store holds, shadowed results first: key, attempt, bytes, digest."""
        shadowed = [(key, *entry) for key, entries in self.shadowed.items() for entry in entries]
        return shadowed + [(key, *entry) for key, entry in self.newest.items()]

    def inventory(self) -> list[HeldData]:
        """Return all that the store holds."""
        return [HeldData(key, attempt, nbytes) for key, attempt, nbytes, _ in self.all()]

    def check(self) -> None:
        """Check the sums, and that what is shadowed has something in front of it; for tests."""
        computed = [known for _, attempt, _, known in self.all() if attempt >= 0]
        assert (self.count, self.tally) == (len(computed), reduce(xor, computed, 0))
        assert all(attempt < 0 and self.has(key, attempt) for key, attempt in self.placed)
        assert all(key in self.newest and entries for key, entries in self.shadowed.items())
        for key, attempt, nbytes, known in self.all():
            assert known == digest(key, attempt), key
            assert nbytes >= 0, key
