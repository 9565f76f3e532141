"""Reads inputs of calls back from disk, in steps between which the loop looks after everybody else.

One result at a time, in the order in which the machine asked: a disk is no faster for being asked for two at once.
What a call's inputs take in memory, its machine has admitted; a range for each is still asked for (``room``), because
clients, and what user code keeps, take memory too.  Inputs that are here stay here for their call until its dispatch.
What becomes of a call whose inputs can't be read is the machine's decision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from himalia.errors import StoreDamagedError, StoreFullError
from himalia.names import Key
from himalia.nanny.events import InputsLoaded, LoadInputs, Unload
from himalia.nanny.store.ledger import Block
from himalia.nanny.store.room import Request, Room
from himalia.nanny.store.spilling import OVERFLOW

if TYPE_CHECKING:
    from himalia.nanny.store.store import Store


class _Job:
    """A call, and what of its inputs is in memory."""

    __slots__ = ("attempt", "blocks", "key", "keys", "unreadable")

    def __init__(self, instruction: LoadInputs) -> None:
        self.key = instruction.key
        self.attempt = instruction.attempt
        self.keys = deque(instruction.inputs)
        self.blocks: list[Block | None] = []
        self.unreadable: list[Key] = []


class Loader:
    """Brings results back to memory; loop thread only.

    Parameters
    ----------
    store : Store
    room : Room
    later : callable
        Calls a function at the loop's next turn.
    feed : callable
        Tells the machine.
    """

    def __init__(
        self,
        store: Store,
        room: Room,
        later: Callable[[Callable[[], None]], object],
        feed: Callable[[InputsLoaded], None],
    ) -> None:
        self._store = store
        self._room = room
        self._later = later
        self._feed = feed
        self._jobs: deque[_Job] = deque()
        self._loaded: dict[tuple[Key, int], _Job] = {}
        self._waiting: Request | None = None
        self._is_scheduled = False

    @property
    def jobs(self) -> int:
        """Calls whose inputs are on their way back, or here for them."""
        return len(self._jobs) + len(self._loaded)

    def load(self, instruction: LoadInputs) -> None:
        """Begin, once those before are done."""
        self._jobs.append(_Job(instruction))
        self._schedule()

    def unload(self, instruction: Unload) -> None:
        """Let inputs of a call go: it was dispatched, or nobody wants it."""
        job = self._loaded.pop((instruction.key, instruction.attempt), None)
        if job is None:
            job = next(
                (job for job in self._jobs if (job.key, job.attempt) == (instruction.key, instruction.attempt)), None
            )
            if job is None:
                return
            # Only the first has anything under way.
            if job is self._jobs[0]:
                self._stop()
            self._jobs.remove(job)
            self._schedule()
        for block in job.blocks:
            self._store.unpin(block)

    def _stop(self) -> None:
        """Give up what is under way for the first job."""
        if self._waiting is not None:
            self._room.forget(self._waiting)
            self._waiting = None
        self._store.stop_loading()

    def _schedule(self) -> None:
        if self._jobs and not self._is_scheduled and self._waiting is None:
            self._is_scheduled = True
            self._later(self._step)

    def _step(self) -> None:
        """Do a few milliseconds' worth of the first job."""
        self._is_scheduled = False
        if self._waiting is not None or not self._jobs:
            return
        job = self._jobs[0]
        while job.keys:
            key, attempt = job.keys[0]
            try:
                # Back to the loop: a step is 4 MiB, some milliseconds, and a heartbeat may be due.
                if not self._bring(job, key, attempt):
                    self._schedule()
                    return
            # Freed meanwhile, or damaged: the machine decides what that means for the call; its other inputs are still
            # read.
            except (KeyError, StoreDamagedError):
                job.unreadable.append(key)
            job.keys.popleft()
        self._finish(job, "")
        self._schedule()

    def _bring(self, job: _Job, key: Key, attempt: int) -> bool:
        """Do a step for one input; whether it is in memory now, and stays there."""
        store = self._store
        needed = store.loading_needs(key, attempt)
        # Each time anew: between two steps somebody else may have brought it back, or freed it.
        if needed:
            if not store.is_loading(key, attempt):
                self._ask(key, attempt, needed)
                return False
            if not store.load_some(key, attempt):
                return False
        # Pinned from here to the dispatch: else the second input's arrival could send the first back to disk.
        job.blocks.append(store.pin(key, attempt))
        return True

    def _ask(self, key: Key, attempt: int, needed: int) -> None:
        def granted(offset: int, length: int) -> None:
            self._waiting = None
            try:
                # Asked again: room may come seconds later.
                is_needed = self._store.loading_needs(key, attempt)
            except KeyError:
                is_needed = 0
            if is_needed:
                self._store.begin_loading(key, attempt, offset, length)
            else:  # it was freed, or a reader brought it back
                self._store.hand_back(OVERFLOW, [(offset, length)])
            self._schedule()

        def refused(error: StoreFullError) -> None:
            self._waiting = None
            self._finish(self._jobs[0], str(error))
            self._schedule()

        call = self._jobs[0].key
        # `granted` may be called before this returns; it sets `_waiting` to None, and so does the answer of ask() then.
        self._waiting = self._room.ask(OVERFLOW, needed, granted, refused, what=call, is_load=True)

    def _finish(self, job: _Job, problem: str) -> None:
        self._jobs.remove(job)
        # Refused, too: what it pinned so far is let go by unload().
        self._loaded[job.key, job.attempt] = job
        self._feed(InputsLoaded(job.key, job.attempt, job.unreadable, problem))
