"""Who of the strangers at a door has to go.  Pure: it is told the time and names somebody; others close connections.

A stranger is a connection whose peer has proved nothing yet.  Of each address a few may wait, and some in all; one more
sends the oldest away, so that no crowd keeps the door shut by being there.  Those who said something outlast those who
didn't, and everybody is given a moment to begin: where nobody had it yet, the door accepts no more until somebody has.
Newcomers wait in the kernel's queue meanwhile, with what they say; so however fast a crowd comes back, who
has something to say is heard.  Who shows a proof in the first message leaves the crowd at once.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

MAX_PENDING: Final = 256
"""Strangers at one door (docs/notes/0013)."""
MAX_PER_ADDRESS: Final = 16
"""Of them from one address (docs/notes/0013)."""
SILENT_GRACE: Final = 0.01
"""Seconds that a stranger has to begin to speak before another may take its place.  With 16 places that is 1,600
strangers a second, so 600 of them cost who comes behind them 0.4 s."""
SPEAKING_GRACE: Final = 0.1
"""Seconds that a stranger has who speaks but has shown no proof.  Over loopback TLS and our handshake take
13 ms together (measured), and from afar some round trips more."""

T = TypeVar("T")


class Crowd(Generic[T]):
    """The strangers at one door.

    Parameters
    ----------
    limit, per_address : int
        How many may wait in all, and of one address.
    """

    def __init__(self, limit: int = MAX_PENDING, per_address: int = MAX_PER_ADDRESS) -> None:
        self.limit = limit
        self.per_address = per_address
        self._homes: dict[T, str] = {}
        self._silent: dict[str, dict[T, float]] = {}
        self._speaking: dict[str, dict[T, float]] = {}
        """Per address: strangers and when they came, the oldest first; none is empty."""

    def __len__(self) -> int:
        return len(self._homes)

    def everybody(self) -> list[T]:
        """All of them, the oldest first."""
        return list(self._homes)

    def enter(self, stranger: T, address: str, *, now: float) -> None:
        """Take in one that has said nothing yet."""
        self._homes[stranger] = address
        self._silent.setdefault(address, {})[stranger] = now

    def speaks(self, stranger: T) -> None:
        """Note that a stranger said something."""
        address = self._homes.get(stranger)
        if address is None or stranger not in self._silent.get(address, ()):
            return
        # The moment it came, not the one it spoke: who says one byte shall not begin its time anew.
        since = _take(self._silent, address, stranger)
        self._speaking.setdefault(address, {})[stranger] = since

    def leave(self, stranger: T) -> None:
        """Forget one that left or is a stranger no more; may be called twice."""
        address = self._homes.pop(stranger, None)
        if address is not None:
            _take(self._silent if stranger in self._silent.get(address, ()) else self._speaking, address, stranger)

    def count(self, address: str) -> int:
        """How many of an address wait."""
        return len(self._silent.get(address, ())) + len(self._speaking.get(address, ()))

    def surplus(self, address: str, *, now: float) -> tuple[T | None, float]:
        """Return who has to go after somebody of ``address`` came, or nobody and after how many seconds to ask again.

        ``(None, 0.0)``: nobody has to.
        """
        # The newcomer's own address first: who comes in crowds pays for it, and others keep their places.
        if self.count(address) > self.per_address:
            crowded = address
        elif len(self._homes) > self.limit:
            # Sorted, so that among equals the choice doesn't depend on the hash seed.
            crowded = max(sorted(self._silent.keys() | self._speaking.keys()), key=self.count)
        else:
            return None, 0.0
        waits = []
        # The silent go first, however long the others have been speaking.
        for places, grace in ((self._silent, SILENT_GRACE), (self._speaking, SPEAKING_GRACE)):
            for stranger, since in places.get(crowded, {}).items():
                if now - since >= grace:
                    return stranger, 0.0
                waits.append(grace - (now - since))
                break  # the others came later
        return None, min(waits)


def _take(places: dict[str, dict[T, float]], address: str, stranger: T) -> float:
    group = places[address]
    since = group.pop(stranger)
    # Or every address ever seen would stay, and be looked through for the largest.
    if not group:
        del places[address]
    return since
