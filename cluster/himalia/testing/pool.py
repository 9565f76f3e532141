"""The worker processes of a simulated nanny: who lives, the queue they share, and the table of recalled runs.

Takes from ``nanny/exchange.py`` the same datagrams as ``nanny/processes.py``.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from himalia.decoders import decoder_of
from himalia.messages.worker import NannyToWorker, Run, Stored
from himalia.names import WorkerName
from himalia.testing.workers import REPLY, SimulatedWorker

if TYPE_CHECKING:
    from himalia.nanny.events import StartWorker, StopWorker
    from himalia.testing.nannies import NannyProcess


class SimulatedPool:
    """All workers of a host.

    Parameters
    ----------
    nanny : NannyProcess
    """

    def __init__(self, nanny: NannyProcess) -> None:
        self.workers: dict[WorkerName, SimulatedWorker] = {}
        # Decoded when it is put in: every datagram passes the real codec.
        self.queue: deque[Run | Stored] = deque()
        self.recalled: set[int] = set()
        self._nanny = nanny
        self._next_pid = 100
        self._decode = decoder_of(Run | NannyToWorker).decode

    # Processes

    def start(self, instruction: StartWorker) -> None:
        """Start a process; if that fails it counts as one that ended at once."""
        nanny, name = self._nanny, instruction.name
        self._next_pid += 1
        if nanny.random.random() < nanny.behaviour.failed_start:
            # Pid 0, since it never told one; a real start fails a moment later, too.
            nanny.after(0.01, nanny.exchange.worker_gone, name, 0, "could not be started", [], [], None)
        else:
            nthreads = nanny.cluster.plan.hosts[nanny.number].threads
            self.workers[name] = SimulatedWorker(nanny, name, self._next_pid, nthreads)

    def stop(self, instruction: StopWorker) -> None:
        """Ask a worker to end."""
        worker = self.workers.get(instruction.name)
        if worker is not None and worker.random.random() < 0.8:  # others mask SIGTERM
            worker.after(worker.random.uniform(0.0, 0.1), worker.exit, "signal SIGTERM")

    def kill(self, name: WorkerName) -> None:
        """End a worker."""
        worker = self.workers.get(name)
        if worker is not None:
            worker.exit("signal SIGKILL")

    def gone(self, worker: SimulatedWorker, how: str, begun: list[int]) -> None:
        """Reap a process."""
        # Before it is told: a successor with the same name may be started in this very call.
        del self.workers[worker.name]
        self._nanny.exchange.worker_gone(worker.name, worker.pid, how, begun, ["its last line"], None)

    def lost(self, worker: SimulatedWorker) -> None:
        """Lose the call that a dying worker may have taken and not yet begun."""
        if self.queue and worker.random.random() < self._nanny.behaviour.lost_datagram:
            # As the kernel does it: what a thread has read is gone, whether or not it came to write its slot.
            self.queue.popleft()

    # What the exchange asks for: see ``nanny/exchange.Pool``

    def owner(self, name: WorkerName) -> str:
        """How the store knows the process that has this name now."""
        return self.workers[name].owner

    def dispatch(self, data: bytes) -> None:
        """Put a run into the shared queue; free threads race for it."""
        self.queue.append(self._decode(data))
        self._nanny.after(REPLY, self._wake)

    def dispatch_to(self, name: WorkerName, data: bytes) -> None:
        """Give a run to an idle worker."""
        # A lane is one more socket: it takes as long, and only that worker reads it.
        self.send(name, data)

    def send(self, name: WorkerName, data: bytes) -> None:
        """Send a datagram to one worker; dropped if that is gone."""
        # Whoever has the name now; what was sent to its predecessor went with that.
        worker = self.workers.get(name)
        if worker is not None:
            worker.after(REPLY, worker.receive, self._decode(data))

    def all_running(self) -> dict[WorkerName, list[int]]:
        """The runs in the slots of all workers."""
        return {worker.name: worker.begun() for worker in self.workers.values()}

    def head(self) -> Run | Stored | None:
        """The oldest run of the shared queue."""
        return self.queue[0] if self.queue else None

    def _wake(self) -> None:
        workers = list(self.workers.values())
        # The kernel wakes whom it likes.
        self._nanny.random.shuffle(workers)
        for worker in workers:
            worker.look()

    def metrics(self, usual: int, memory: dict[WorkerName, int]) -> dict[str, tuple[float, int, int]]:
        """CPU, memory and busy threads of each worker, as they are measured."""
        return {
            # No CPU time goes to a stopped process; the watchdog looks at that.
            str(name): (0.0 if worker.is_stopped else 0.5, memory.get(name, usual), len(worker.running))
            for name, worker in self.workers.items()
        }

    def leftovers(self) -> dict[str, object]:
        """What must be empty when nobody wants anything."""
        return {
            "queue": list(self.queue),
            "recalled": sorted(self.recalled),
            "workers' inputs": [held for worker in self.workers.values() for held in worker.kept],
        }
