"""Simulated worker processes: they take calls from queues as real ones do, and return, raise, hang on or die.

Decides only how long things take.  What a call does is written in its script (``calls.py``); that a worker dies for
another reason is decided by ``faults.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from himalia.messages import (
    CallFunction,
    CallReturned,
    FunctionBody,
    InterruptRun,
    NeedFunction,
    Place,
    Raised,
    RetireWorker,
    Returned,
    Run,
    TaskError,
    Timing,
    WorkerReady,
)
from himalia.names import Digest, Key, WorkerName
from himalia.testing import calls
from himalia.testing.calls import SimulatedCall
from himalia.testing.world import SimulationError

if TYPE_CHECKING:
    from himalia.testing.nannies import NannyProcess

BEGIN = 20e-6
"""Seconds from taking a call to saying so in the slot.  Guess."""
LOOK = 10e-6
"""Seconds at most from there to looking at the table of recalled calls.  Guess."""
REPLY = 30e-6
"""Seconds a datagram takes between nanny and worker.  Guess."""


class Queue:
    """A kernel's queue of datagrams, read by one worker or by all of a host."""

    def __init__(self) -> None:
        self.runs: deque[Run] = deque()


class Running:
    """A call in a worker's thread."""

    __slots__ = ("call", "has_begun", "is_interrupted", "run")

    def __init__(self, run: Run, call: SimulatedCall) -> None:
        self.run = run
        self.call = call
        self.has_begun = False
        self.is_interrupted = False


class SimulatedWorker:
    """One worker process of a host.

    Parameters
    ----------
    nanny : NannyProcess
        Who started it.
    name : WorkerName
    pid : int
    nthreads : int
    """

    def __init__(self, nanny: NannyProcess, name: WorkerName, pid: int, nthreads: int) -> None:
        self.nanny = nanny
        self.world = nanny.world
        self.random = nanny.random
        self.name = name
        self.pid = pid
        self.nthreads = nthreads
        self.is_alive = True
        self.is_up = False
        self.is_retiring = False
        self.is_stopped = False
        self.held: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        """What it would have done while it was stopped."""
        self.own = Queue()
        self.running: dict[int, Running] = {}
        self.alone: Run | None = None
        self.functions: set[bytes] = set()
        self.stalled: dict[bytes, list[Running]] = {}
        self.not_before = 0.0
        """What it sends keeps its order, its exit included."""
        self.after(nanny.behaviour.worker_start * self.random.uniform(0.5, 1.5), self._come_up)

    def after(self, delay: float, function: Callable[..., None], *arguments: Any) -> None:
        """Call ``function`` in ``delay`` seconds if the process lives then."""
        self.world.call_later(delay, self._if_alive, function, arguments)

    def _if_alive(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self.is_stopped:
            self.held.append((function, arguments))
        elif self.is_alive and self.nanny.is_alive:
            function(*arguments)

    def stop(self) -> None:
        """Stand still, as after SIGSTOP."""
        self.is_stopped = True

    def go_on(self) -> None:
        """Go on, as after SIGCONT."""
        self.is_stopped = False
        held, self.held = self.held, []
        for function, arguments in held:
            self._if_alive(function, arguments)
        if self.is_alive and self.nanny.is_alive:
            self.look()

    def _come_up(self) -> None:
        self.is_up = True
        self.send(WorkerReady(self.pid))
        self.look()

    def send(self, message: Any) -> None:
        """Send the nanny a datagram; once sent it arrives even if this process dies."""
        self.not_before = max(self.not_before, self.world.now + REPLY)
        self.world.call_at(self.not_before, self.nanny.worker_said, self, message)

    # Taking calls

    def look(self) -> None:
        """Take calls while there are free threads."""
        if self.is_stopped:
            return
        while self.is_up and self.is_alive and len(self.running) < self.nthreads and not self._is_gated():
            if self.own.runs:
                run = self.own.runs.popleft()
            elif self.nanny.queue.runs and not self.is_retiring:
                run = self.nanny.queue.runs.popleft()
            else:
                break
            if run.alone and self.running:
                self.alone = run  # no other thread starts anything until this one could run
                break
            self._take(run)
        if self.alone is not None and not self.running:
            self._take(self.alone)
        if self.is_retiring and not self.running and not self.own.runs and self.alone is None:
            self.exit("exit code 0")

    def _is_gated(self) -> bool:
        return self.alone is not None or any(running.run.alone for running in self.running.values())

    def _take(self, run: Run) -> None:
        if run is self.alone:
            self.alone = None
        script = calls.unpack(run.call) if run.call else self.nanny.cluster.plan.tasks[run.key].call
        running = self.running[run.run] = Running(run, script)
        self.after(BEGIN, self._mark, running)

    def _mark(self, running: Running) -> None:
        """Say in the slot that the call runs; after that, look whether it was recalled."""
        running.has_begun = True
        self.after(LOOK * self.random.random(), self._begin, running)

    def _begin(self, running: Running) -> None:
        run = running.run
        if run.run in self.nanny.recalled:
            self._raise(running, "refused", "withdrawn")
            return
        self.nanny.cluster.witness.began(run.key)
        if run.function and run.function not in self.functions:
            waiting = self.stalled.setdefault(run.function, [])
            waiting.append(running)
            if len(waiting) == 1:
                self.send(NeedFunction(Digest(run.function)))
            return
        self._run(running)

    def _run(self, running: Running) -> None:
        duration = running.call.duration * self.random.uniform(0.5, 2.0)
        self.after(duration, self._end, running)

    # How calls end

    def _end(self, running: Running) -> None:
        run, call = running.run, running.call
        if self.running.get(run.run) is not running:
            return  # interrupted meanwhile
        nature, executions = call.nature, self.nanny.cluster.witness.executions[run.key]
        if nature == calls.RAISES or (nature == calls.FLAKY and executions <= call.times):
            self._raise(running, "exception", f"ValueError: {run.key} raises")
        elif nature == calls.POISON and (call.times == 0 or executions <= call.times):
            self.nanny.cluster.witness.poisoned(self, run.key)
            self.exit("signal SIGSEGV")
        elif nature == calls.UNWRITABLE:
            self._raise(running, "exception", f"TypeError: the result of {run.key} can't be pickled")
        else:
            self._return(running)

    def _return(self, running: Running) -> None:
        run, call = running.run, running.call
        inputs = {key: calls.read_value(place.inline or b"") for key, place in run.inputs}
        if run.argument and inputs[Key(run.argument)] != calls.scattered_value(Key(run.argument)):
            raise SimulationError(f"{self.name} was given wrong arguments of {run.key}")
        value = calls.value_of(call, [inputs[key] for key in call.inputs])
        data = calls.write_value(value, call.nbytes)
        if call.nbytes <= self.nanny.cluster.settings.inline_limit:
            place = Place(data)
        else:
            place = Place(None, self.nanny.write(self.name, data), (call.nbytes,))
        del self.running[run.run]
        timing = Timing(self.world.now, 1e-5, call.duration, 1e-5)
        self.send(Returned(run.run, call.nbytes, "bytes", place, timing))
        self.look()

    def _raise(self, running: Running, kind: str, text: str) -> None:
        run = running.run
        del self.running[run.run]
        error = TaskError(kind, run.key, text, worker=self.name)
        self.send(Raised(run.run, error, Timing(self.world.now, 1e-5, running.call.duration, 0.0)))
        self.look()

    def exit(self, how: str) -> None:
        """End the process."""
        if not self.is_alive:
            return
        self.is_alive = False
        self.nanny.queue_lost(self)
        begun = [run for run, running in self.running.items() if running.has_begun]
        self.nanny.cluster.witness.worker_ended(self, [self.running[run].run.key for run in begun])
        self.not_before = max(self.not_before, self.world.now + self.nanny.behaviour.notice_exit * self.random.random())
        self.world.call_at(self.not_before, self.nanny.worker_gone, self, how, begun)

    # What the nanny says

    def receive(self, message: Any) -> None:
        """Take a message of the nanny."""
        match message:
            case FunctionBody(digest=digest, body=body):
                if not body:
                    raise SimulationError(f"{self.name} was sent a call whose function its nanny doesn't know")
                self.functions.add(digest)
                for running in self.stalled.pop(digest, []):
                    if running.run.run in self.running:
                        self._run(running)
            case InterruptRun(run=run):
                self._interrupt(run)
            case CallFunction(request=request):
                self.after(0.001, self.send, CallReturned(request, b"done"))
            case RetireWorker():
                self.is_retiring = True
                self.look()
            case _:
                raise AssertionError(f"a worker can't take {message!r}")

    def _interrupt(self, number: int) -> None:
        running = self.running.get(number)
        if running is not None and self.random.random() < 0.7:  # the others are deaf to it
            self.after(self.random.uniform(0.0, 0.1), self._stop_interrupted, running)

    def _stop_interrupted(self, running: Running) -> None:
        if self.running.get(running.run.run) is running:
            self._raise(running, "exception", "KeyboardInterrupt")


def make_run(number: int, compute: Any, inputs: list[tuple[Key, Place]]) -> Run:
    """Return the datagram that a nanny's shell makes of a dispatch."""
    return Run(number, compute.key, compute.function, compute.call, compute.argument, inputs, compute.alone)
