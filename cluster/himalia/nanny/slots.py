"""The page of memory in which workers write what they run and read what is recalled, from the nanny's side.

Nothing here waits or is waited for: each side writes words of eight bytes that the other reads when it likes
(``worker/wiring.py`` says which is where, docs/notes/0001 why one of two always sees the other).
"""

from __future__ import annotations

from himalia.worker.wiring import ENTRIES, RECALLS, create_slots, map_slots


class Slots:
    """The page of one host.

    Parameters
    ----------
    nthreads : int
        Threads of each worker.

    Attributes
    ----------
    fd : int
        Descriptor of the memory, for workers to inherit; whoever made this closes it.
    """

    def __init__(self, nthreads: int) -> None:
        self.fd = create_slots()
        self._page = map_slots(self.fd)
        self._nthreads = nthreads

    def recall(self, run: int) -> None:
        """Let workers refuse a run; more than the table holds run in vain, and their results are thrown away."""
        page, count = self._page, self._page[0]
        if count < RECALLS:
            # The entry before the count: a worker that reads between the two sees the table as it was.
            page[1 + count] = run
            page[0] = count + 1

    def unrecall(self, run: int) -> None:
        """End a :meth:`recall`."""
        page, count = self._page, self._page[0]
        for entry in range(1, count + 1):
            if page[entry] == run:
                # The last one moves into the gap before the count shrinks: a worker that reads meanwhile sees it twice
                # rather than not at all.
                page[entry] = page[count]
                page[0] = count - 1
                return

    def threads(self, index: int) -> list[int]:
        """Return the run in the slot of each thread of the worker with this index; 0: none."""
        first = (1 + index) * ENTRIES
        return self._page[first : first + self._nthreads].tolist()

    def running(self, index: int) -> list[int]:
        """Return the runs in a worker's slots."""
        return [run for run in self.threads(index) if run]

    def clear(self, index: int) -> None:
        """Empty a worker's slots."""
        first = (1 + index) * ENTRIES
        for entry in range(first, first + self._nthreads):
            self._page[entry] = 0
