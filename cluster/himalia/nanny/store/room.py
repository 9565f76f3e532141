"""Who waits for room in the store, in which order, and what happens if none comes.

No room *now* is a wait and no failure: calls end, mappings go, results move to disk.  Two ranks wait, each in its own
order: results that running calls have to write (they go first, because with them calls end and their inputs are free),
then all else: what is read back from disk, fetched from other hosts, placed by clients.  Nobody is passed by his own
rank, so a large request comes to its turn.

A wait can't end by itself when everybody who could free something waits here too.  Then, or after :data:`PATIENCE`, the
first gets its range although memory is full: one at a time, and what it writes can move to disk at once.  Only what can
never fit is refused, and what would have to move to a disk that is full.

The bytes themselves are the store's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from himalia.comm.data.layout import pages
from himalia.errors import StoreFullError
from himalia.names import Key

if TYPE_CHECKING:
    from himalia.nanny.store.store import Store

PATIENCE: Final = 10.0
"""Seconds without room for anybody until one gets it over the limit though calls go on: as long as
a person who waits stays with it (the third of Nielsen's limits for response times)."""
STUCK_LOOKS: Final = 3
"""Looks in a row at which nothing could end, until it is believed: a call may be on its way to a worker."""
DISK_PATIENCE: Final = 5.0
"""Seconds that something may be released when the disk is full, before it is an error: of who waits first; who comes
after him, and finds nothing released, is told at once.  Between Ray's 2 s (``oom_grace_period_s``) and
:data:`PATIENCE`."""
BUSY_DISK_PATIENCE: Final = 60.0
"""The same while calls run: what they need no more may be freed when they end.  Kafka's producer waits as long for
room in its buffer (``max.block.ms``)."""
LOOK_INTERVAL: Final = 0.1
"""Seconds between two looks at those who wait; dask.distributed's ``monitor-interval`` for memory."""


class Request:
    """Somebody who waits for room."""

    __slots__ = ("granted", "is_load", "nbytes", "owner", "refused", "since", "stuck", "what", "who")

    def __init__(
        self,
        owner: str,
        nbytes: int,
        granted: Callable[[int, int], None],
        refused: Callable[[StoreFullError], None],
        who: str,
        what: Key | None,
        is_load: bool,
    ) -> None:
        self.owner = owner
        self.nbytes = nbytes
        self.granted = granted
        self.refused = refused
        self.who = who
        """The worker whose call has a result to write; empty for everybody else."""
        self.what = what
        """The input that is fetched, or the call whose inputs are read back; ``None`` for everybody else."""
        self.is_load = is_load
        """Whether it frees as much on disk as it takes in memory."""
        self.since = 0.0
        self.stuck = 0
        """Looks in a row at which nothing else could end."""


class Room:
    """Grants ranges of a store, now or later.

    Parameters
    ----------
    store : Store
    clock : callable
        Monotonic seconds.
    is_stuck : callable
        Given the names of workers that wait here, whether no other worker runs anything.
    later : callable
        Sees to it that :meth:`look` is called at the loop's next turn: results move to disk in steps.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        is_stuck: Callable[[set[str]], bool],
        later: Callable[[], None],
    ) -> None:
        self._store = store
        self._later = later
        self._is_moving = False  # whether results move to disk for who is first
        self._clock = clock
        self._is_stuck = is_stuck
        self._ranks: tuple[deque[Request], deque[Request]] = deque(), deque()
        self._is_looking = False
        self._served_at = 0.0
        self._full_since = 0.0  # since when somebody waited because the disk is full; 0: it isn't
        self.forced = 0
        """Requests ever granted over the limit."""

    def __len__(self) -> int:
        return sum(map(len, self._ranks))

    def __bool__(self) -> bool:
        results, others = self._ranks
        return bool(results or others)

    @property
    def results(self) -> list[Request]:
        """Those who wait with a result to write, in their order."""
        return list(self._ranks[0])

    @property
    def others(self) -> list[Request]:
        """All others who wait, in theirs."""
        return list(self._ranks[1])

    def ask(
        self,
        owner: str,
        nbytes: int,
        granted: Callable[[int, int], None],
        refused: Callable[[StoreFullError], None],
        *,
        who: str = "",
        what: Key | None = None,
        is_load: bool = False,
    ) -> Request | None:
        """Grant ``owner`` a range: call ``granted`` with its offset and length, or ``refused``, now or later.

        Returns
        -------
        Request or None
            For :meth:`forget`; ``None`` if it was answered already.
        """
        request = Request(owner, nbytes, granted, refused, who, what, is_load)
        rank = self._ranks[0 if who else 1]
        # Nobody before it in its own rank, and no result waits: else a stream of small requests would pass a large one
        # for ever.
        if not rank and (who or not self._ranks[0]) and self._serve(request):
            return None
        request.since = self._clock()
        rank.append(request)
        return request

    def forget(self, request: Request) -> None:
        """Let somebody wait no more."""
        for rank in self._ranks:
            if request in rank:
                rank.remove(request)

    def forget_owner(self, owner: str) -> None:
        """Let a process that is gone wait no more."""
        for rank in self._ranks:
            for request in [request for request in rank if request.owner == owner]:
                rank.remove(request)

    def look(self) -> None:
        """Serve whom there is room for; to be called whenever something was freed."""
        # Else the second look would serve the one who is being served.
        if self._is_looking:  # granting frees something by itself
            return
        self._is_looking = True
        try:
            # Results before all else, always: an input that is read back needs room until its call ends, and a call
            # with a result to write can't end.
            for rank in self._ranks:
                while rank:
                    request = rank[0]
                    if not self._serve(request):
                        return  # who has a lower rank waits for him too
                    # After it was served; who is served may ask for more at once, and has to be behind those who wait.
                    self.forget(request)
        finally:
            self._is_looking = False

    def tick(self) -> None:
        """Serve whom there is room for, or who can't go on waiting; to be called every :data:`LOOK_INTERVAL`."""
        self.look()
        first = next((rank[0] for rank in self._ranks if rank), None)
        if first is None:
            return
        if self._is_moving:  # to disk, which makes room by itself
            return
        first.stuck = first.stuck + 1 if self._is_stuck({request.who for request in self._ranks[0]}) else 0
        # patience begins anew whenever anybody was served: a queue that moves needs no force
        waited = self._clock() - max(first.since, self._served_at)
        is_stuck = first.stuck >= STUCK_LOOKS
        if self._store.is_disk_full and not first.is_load:
            self._full_since = self._full_since or self._clock()
            # Since the disk is full, not since this one came: who comes tenth need not wait ten times as long for the
            # same answer.
            waited = self._clock() - self._full_since
            if waited >= (DISK_PATIENCE if is_stuck else BUSY_DISK_PATIENCE):
                # An error, and not a range over the limit: there the data would stay, with every further one.
                self._end(first, force=False)
        elif is_stuck or waited >= PATIENCE:
            self._end(first, force=True)

    def _end(self, request: Request, *, force: bool) -> None:
        """Answer a request that has waited for long enough."""
        self.forget(request)
        self._served_at = self._clock()
        try:
            found = self._store.grant(request.owner, request.nbytes, force=force)
        except StoreFullError as error:
            request.refused(error)
            return
        self.forced += 1
        request.granted(*found)

    def _serve(self, request: Request) -> bool:
        """Answer a request if that is possible now."""
        self._is_moving = self._store.make_room(request.nbytes)
        if self._is_moving:
            self._later()
            return False
        try:
            found = self._store.grant(request.owner, request.nbytes)
        except StoreFullError as error:
            # It can't be now; it may be later.
            if pages(request.nbytes) <= self._store.limit:
                return False
            request.refused(error)
            return True
        # It waited. Those who are served at once say nothing about the patience of the others.
        if request.since:
            self._served_at = self._clock()
            self._full_since = 0.0
        request.granted(*found)
        return True
