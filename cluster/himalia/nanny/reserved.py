"""What calls under way reserve of the store for their inputs; whether another one may is decided in ``admission``."""

from __future__ import annotations

from collections.abc import Iterable

from himalia.names import Key
from himalia.nanny.tasks import NannyTask


class Reservations:
    """Inputs that have to be in memory, each counted once however many calls read it.

    Attributes
    ----------
    inputs : dict
        By key, how many calls under way need it, and its bytes.
    nbytes : int
        Of all of them.
    is_barred : bool
        Whether a task that is bound to a worker waits for calls to end: no other may reserve anything.
    blocked : NannyTask or None
        The task that waited last for calls to end; it waits still if it is READY.
    """

    def __init__(self) -> None:
        self.inputs: dict[Key, tuple[int, int]] = {}
        self.nbytes = 0
        self.is_barred = False
        self.blocked: NannyTask | None = None

    def add(self, task: NannyTask, inputs: list[tuple[Key, int]]) -> None:
        """Count these inputs as a call's, until :meth:`remove`."""
        # Remembered by name: what is small or gone when the call ends was large when it began.
        task.reserved = [key for key, _ in inputs]
        for key, nbytes in inputs:
            known = self.inputs.get(key)
            if known is None:
                self.inputs[key] = (1, nbytes)
                self.nbytes += nbytes
            else:
                self.inputs[key] = (known[0] + 1, known[1])

    def remove(self, task: NannyTask) -> None:
        """Count a call's inputs no longer."""
        for key in task.reserved:
            count, nbytes = self.inputs[key]
            if count > 1:
                self.inputs[key] = (count - 1, nbytes)
            else:
                del self.inputs[key]
                self.nbytes -= nbytes
        task.reserved = []

    def of(self, task: NannyTask) -> int:
        """Return the bytes of the inputs that have to be in memory for a call."""
        return sum(self.inputs[key][1] for key in task.reserved)

    def check(self, tasks: Iterable[NannyTask]) -> None:
        """Check the counts against the calls under way; for tests."""
        counts: dict[Key, int] = {}
        for task in tasks:
            for key in task.reserved:
                counts[key] = counts.get(key, 0) + 1
        assert counts == {key: count for key, (count, _) in self.inputs.items()}
        assert self.nbytes == sum(nbytes for _, nbytes in self.inputs.values())
