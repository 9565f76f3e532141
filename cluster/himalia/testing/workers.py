"""Simulated worker processes: they take calls from queues as real ones do, and return, raise, hang on or die.

Decides only how long things take.  What a call does is written in its script (``calls.py``); that a worker dies for
another reason is decided by ``faults.py``.  Inputs are read from the host's memory when a call begins and again when
it ends, results are written to what the nanny granted: whoever's range is given to somebody else sees it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from himalia.comm.data.layout import range_length
from himalia.decoders import decoder_of
from himalia.messages.parts import FunctionBody, TaskError, Timing
from himalia.messages.telemetry import LogLine
from himalia.messages.worker import (
    CallFunction,
    CallReturned,
    GrantSpace,
    InterruptRun,
    NeedFunction,
    NeedSpace,
    Place,
    Printed,
    Raised,
    RetireWorker,
    Returned,
    Run,
    Stored,
    TrimHeap,
    Unmapped,
    WorkerReady,
)
from himalia.names import Digest, Key, WorkerName
from himalia.testing import calls
from himalia.testing.calls import SimulatedCall
from himalia.testing.world import SimulationError

if TYPE_CHECKING:
    from himalia.testing.nannies import NannyProcess

BEGIN = 20e-6
"""Seconds from taking a call to saying so in the slot.  What counts is that it isn't 0: a look at the slots may come
first."""
SLOW_BEGIN = 0.3
"""The same at most where the machine is out of breath: three ticks, in which a nanny looks at slots and
finds nothing."""
LOOK = 10e-6
"""Seconds at most from there to looking at the table of recalled calls; likewise."""
REPLY = 30e-6
"""Seconds a datagram takes between nanny and worker.  One takes 8 µs by itself (measured), and whoever gets it wakes
up."""
KEEP = 1.0
"""Seconds at most that user code keeps an input after its call: twice :data:`REPORT`, so that it is sometimes
reported as kept."""
ENDLESS_LOOK = 0.5
"""Seconds between two looks whether an endless call may end by itself: nobody waits for it, and nobody cancelled it."""
REPORT = 0.5
"""Seconds at most until a worker that does nothing else says what it no longer maps."""

_decode_run = decoder_of(Run).decode


class Input:
    """An input as a call has it: bytes of its own, or a range that it maps."""

    __slots__ = ("key", "memory", "offset", "value")

    def __init__(self, key: Key, memory: bytes | memoryview, offset: int = -1) -> None:
        self.key = key
        self.memory = memory
        self.offset = offset
        """Of a range that is mapped; -1 if it isn't."""
        self.value = calls.read_value(memory)

    def check(self, who: object) -> None:
        """See whether it is still what it was."""
        if calls.read_value(self.memory) != self.value or not self.value:
            raise SimulationError(f"{who} maps {self.key}, which was overwritten: {bytes(self.memory[:80])!r}")


class Running:
    """A call in a worker's thread."""

    __slots__ = ("call", "has_begun", "inputs", "run", "unread")

    def __init__(self, run: Run, call: SimulatedCall) -> None:
        self.run = run
        self.call = call
        self.has_begun = False
        self.inputs: dict[Key, Input] = {}
        self.unread = [place.offset for _, place in run.inputs if place.inline is None]
        """Offsets of inputs that it hasn't read."""


class SimulatedSpace:
    """Where a worker writes large results, as ``worker/space.py`` does it; one thread at a time."""

    def __init__(self, worker: SimulatedWorker) -> None:
        self._worker = worker
        self._offset = 0
        self._end = 0
        self._request = 0
        self._is_asking = False
        self._late: list[GrantSpace] = []
        self._waiting: deque[tuple[Running, int, Callable[[int, str], None]]] = deque()

    @property
    def granted_bytes(self) -> int:
        """What the worker has and used for nothing yet."""
        return self._end - self._offset + sum(late.length for late in self._late)

    def take(self, running: Running, length: int, then: Callable[[int, str], None]) -> None:
        """Call ``then`` with an offset, or with why there is none, once there is room."""
        self._waiting.append((running, length, then))
        self.go_on()

    def go_on(self) -> None:
        """Serve who waits; to be called when one of them was interrupted, too."""
        while self._waiting:
            running, length, then = self._waiting[0]
            # Interrupted while it waited: what it asked for comes late, and is kept for the next question.
            if not self._worker.runs(running):
                self._waiting.popleft()
                self._is_asking = False
            elif self._offset + length <= self._end:
                self._waiting.popleft()
                offset = self._offset
                self._offset += length
                then(offset, "")
            elif self._is_asking:
                return
            else:
                self._ask(length)
                return

    def granted(self, message: GrantSpace) -> None:
        """Take the nanny's answer; that to somebody who was interrupted goes back with the next question."""
        if not self._is_asking or message.request != self._request:
            self._late.append(message)
            return
        self._is_asking = False
        _running, length, then = self._waiting[0]
        if message.length < length:
            self._waiting.popleft()
            then(0, message.error)
        else:
            self._offset = message.offset
            self._end = message.offset + message.length
        self.go_on()

    def _ask(self, length: int) -> None:
        unused = [(self._offset, self._end - self._offset)] if self._end > self._offset else []
        unused += [(late.offset, late.length) for late in self._late if late.length]
        # Late grants go back with the next question, as in worker/space.py.
        self._late.clear()
        self._offset = self._end = 0
        self._request += 1
        self._is_asking = True
        nursery = self._worker.nanny.cluster.settings.nursery
        self._worker.send(NeedSpace(self._request, max(length, nursery), length, unused))


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
        self.owner = f"{name}/{pid}"
        self.nthreads = nthreads
        self.is_alive = True
        self.is_up = False
        self.is_retiring = False
        self.is_stopped = False
        self.held: list[tuple[Callable[..., None], tuple[object, ...]]] = []
        """What it would have done while it was stopped."""
        self.own: deque[Run] = deque()
        self.running: dict[int, Running] = {}
        self.alone: Run | None = None
        self.functions: set[bytes] = set()
        self.stalled: dict[bytes, list[Running]] = {}
        self.space = SimulatedSpace(self)
        self.kept: list[Input] = []
        """Inputs of calls that are over, which user code keeps."""
        self.unmapped: list[int] = []
        """Offsets that it maps no more and hasn't told the nanny."""
        self.not_before = 0.0
        """What it sends keeps its order, its exit included."""
        self.after(nanny.behaviour.worker_start * self.random.uniform(0.5, 1.5), self._come_up)

    def __repr__(self) -> str:
        return str(self.owner)

    def after(self, delay: float, function: Callable[..., None], *arguments: object) -> None:
        """Call ``function`` in ``delay`` seconds if the process lives then."""
        self.world.call_later(delay, self._if_alive, function, arguments)

    def _if_alive(self, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if self.is_stopped:
            # Kept in its order: time goes on for others, and all of it is due at once afterwards.
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

    def send(self, message: object) -> None:
        """Send the nanny a datagram; once sent it arrives even if this process dies."""
        self.not_before = max(self.not_before, self.world.now + REPLY)
        # Not by after(): what is in a socket outlives its sender.
        self.world.call_at(self.not_before, self._arrive, message)

    def _arrive(self, message: object) -> None:
        if self.nanny.is_alive:
            self.nanny.exchange.worker_said(self.name, [message])

    def runs(self, running: Running) -> bool:
        """Whether a call is still under way."""
        return self.running.get(running.run.run) is running

    def begun(self) -> list[int]:
        """The runs in its slots."""
        return [number for number, running in self.running.items() if running.has_begun]

    # Taking calls

    def look(self) -> None:
        """Take calls while there are free threads."""
        if self.is_stopped:
            return
        queue = self.nanny.pool.queue
        while self.is_up and self.is_alive and len(self.running) < self.nthreads and not self._is_gated():
            if self.own:
                run = self.own.popleft()
            # Those in the queue are for others to take; its own it finishes.
            elif queue and not self.is_retiring:
                run = self._open(queue.popleft())
            else:
                break
            if run.alone and self.running:
                self.alone = run  # no other thread starts anything until this one could run
                break
            self._take(run)
        if self.alone is not None and not self.running:
            self._take(self.alone)
        if self.is_retiring and not self.running and not self.own and self.alone is None:
            self.exit("exit code 0")

    def _open(self, message: object) -> Any:
        """A message that may have been too large for a datagram."""
        if not isinstance(message, Stored):
            return message
        # A copy, and the range is told as unmapped: the message lies in the arena for this reader alone.
        data = bytes(self._memory(message.place))
        self.unmapped.append(message.place.offset)
        return _decode_run(data)

    def _memory(self, place: Place) -> memoryview:
        return self.nanny.memory.map(place.offset, place.sizes[0])

    def _is_gated(self) -> bool:
        return self.alone is not None or any(running.run.alone for running in self.running.values())

    def _take(self, run: Run) -> None:
        if run is self.alone:
            self.alone = None
        script = calls.unpack(run.call) if run.call else self.nanny.cluster.plan.tasks[run.key].call
        running = self.running[run.run] = Running(run, script)
        # Between taking and saying so a run is in no slot: a nanny must not take it for lost too soon.
        is_slow = self.random.random() < self.nanny.behaviour.slow_begin
        self.after(self.random.random() * SLOW_BEGIN if is_slow else BEGIN, self._mark, running)

    def _mark(self, running: Running) -> None:
        """Say in the slot that the call runs; after that, look whether it was recalled."""
        running.has_begun = True
        self.after(LOOK * self.random.random(), self._begin, running)

    def _begin(self, running: Running) -> None:
        run = running.run
        # Looked at after the slot was written; the nanny marks first and reads the slots then, so one sees the other.
        if run.run in self.nanny.pool.recalled:
            del self.running[run.run]
            self.unmapped += running.unread
            self._answer(Raised(run.run, TaskError("refused", run.key, "withdrawn"), Timing(0.0, 0.0, 0.0, 0.0)))
            return
        self.nanny.cluster.witness.began(run.key)
        if run.function and run.function not in self.functions:
            waiting = self.stalled.setdefault(run.function, [])
            waiting.append(running)
            # Threads that need the same function ask once.
            if len(waiting) == 1:
                self.send(NeedFunction(Digest(run.function)))
            return
        self._run(running)

    def _run(self, running: Running) -> None:
        """Read the inputs, and take some time."""
        for key, place in running.run.inputs:
            running.inputs[key] = self._read(key, place)
        # From here they count as mapped by the call itself, and are told when it ends.
        running.unread.clear()
        duration = running.call.duration * self.random.uniform(0.5, 2.0)
        self.after(duration, self._end, running)

    def _read(self, key: Key, place: Place) -> Input:
        """An input: a copy if it is small or the nanny says so, else a mapping."""
        if place.inline is not None:
            found = Input(key, place.inline)
        elif place.is_copied or place.sizes[0] <= self.nanny.cluster.settings.copy_limit:
            found = Input(key, bytes(self._memory(place)))
            self.unmapped.append(place.offset)
        else:
            found = Input(key, self._memory(place), place.offset)
        self.nanny.cluster.witness.passed(self, key, found.value)
        return found

    # How calls end

    def _end(self, running: Running) -> None:
        run, call = running.run, running.call
        if not self.runs(running):
            return  # interrupted meanwhile
        if call.nature == calls.ENDLESS and self.nanny.cluster.is_wanted(*self.nanny.attempts[run.run]):
            self.after(ENDLESS_LOOK, self._end, running)
            return
        # Counted over all hosts: it fails the first times, wherever those are.
        nature, executions = call.nature, self.nanny.cluster.witness.executions[run.key]
        if nature == calls.RAISES or (nature == calls.FLAKY and executions <= call.times):
            self._raise(running, f"ValueError: {run.key} raises")
        elif nature == calls.POISON and (call.times == 0 or executions <= call.times):
            self.nanny.cluster.witness.poisoned(self, run.key)
            self.exit("signal SIGSEGV")
        elif nature == calls.UNWRITABLE:
            self._raise(running, f"TypeError: the result of {run.key} can't be pickled")
        else:
            self._return(running)

    def _return(self, running: Running) -> None:
        call = running.call
        for one in running.inputs.values():
            one.check(self)
        # Of what was read at the beginning; that it is still the same was just looked at.
        value = calls.value_of(call, [running.inputs[key].value for key in call.inputs])
        data = calls.write_value(value, call.nbytes)
        if call.nbytes <= self.nanny.cluster.settings.inline_limit:
            self._returned(running, Place(data))
            return

        def has_room(offset: int, error: str) -> None:
            if error:
                self._raise(running, f"StoreFullError: {error}")
            else:
                self.nanny.store.writable(self.owner, offset, length)[: len(data)] = data
                self._returned(running, Place(None, offset, (len(data),)))

        length = range_length([len(data)])
        self.space.take(running, length, has_room)

    def _returned(self, running: Running, place: Place) -> None:
        run = running.run
        nbytes = len(place.inline) if place.inline is not None else sum(place.sizes)
        self._leave(running)
        self._answer(
            Returned(run.run, nbytes, "bytes", place, Timing(self.world.now, 1e-5, running.call.duration, 1e-5))
        )

    def _raise(self, running: Running, text: str) -> None:
        run = running.run
        self._leave(running)
        error = TaskError("exception", run.key, text, worker=self.name)
        self._answer(Raised(run.run, error, Timing(self.world.now, 1e-5, running.call.duration, 0.0)))

    def _leave(self, running: Running) -> None:
        """Let go of a call's inputs, or keep some, as user code may."""
        del self.running[running.run.run]
        self.unmapped += running.unread
        for one in running.inputs.values():
            if one.offset < 0:
                continue
            if self.random.random() < self.nanny.behaviour.keeps_inputs:
                self.kept.append(one)
                self.after(KEEP * self.random.random(), self._let_go, one)
            else:
                self.unmapped.append(one.offset)

    def _let_go(self, one: Input) -> None:
        one.check(self)
        # Looked at before: until now user code could read it.
        self.kept.remove(one)
        self.unmapped.append(one.offset)
        self.after(REPORT * self.random.random(), self._report_unmapped)

    def _report_unmapped(self) -> None:
        if self.unmapped:
            self.send(Unmapped(self.unmapped))
            self.unmapped = []

    def _answer(self, message: Returned | Raised) -> None:
        """Send how a call ended; it has printed a line before, and mappings that ended are told first."""
        self._report_unmapped()
        self.send(Printed(message.run, [LogLine(self.world.now, "stdout", "a line")]))
        self.send(message)
        # Whoever waits for room may be the one that just ended.
        self.space.go_on()
        self.look()

    def exit(self, how: str) -> None:
        """End the process."""
        if not self.is_alive:
            return
        self.is_alive = False
        self.nanny.pool.lost(self)
        # Now, and not when it is reaped: slots keep what was in them.
        begun = self.begun()
        self.nanny.cluster.witness.worker_ended(self, [self.running[run].run.key for run in begun])
        # Behind all that it had sent, which arrives although it is dead.
        self.not_before = max(self.not_before, self.world.now + self.nanny.behaviour.notice_exit * self.random.random())
        self.world.call_at(self.not_before, self._reaped, how, begun)

    def _reaped(self, how: str, begun: list[int]) -> None:
        if self.nanny.is_alive:
            self.nanny.pool.gone(self, how, begun)

    # What the nanny says

    def receive(self, message: object) -> None:
        """Take a message of the nanny."""
        match self._open(message):
            case Run() as run:
                self.own.append(run)
                self.look()
            case FunctionBody(digest=digest, body=body):
                # A real worker makes an error of it, for the user; here it is the nanny's bug.
                if not body:
                    raise SimulationError(f"{self.name} was sent a call whose function its nanny doesn't know")
                self.functions.add(digest)
                for running in self.stalled.pop(digest, []):
                    if self.runs(running):
                        self._run(running)
            case GrantSpace() as grant:
                self.space.granted(grant)
            case InterruptRun(run=number):
                self._interrupt(number)
            case CallFunction(request=request):
                self.after(0.001, self.send, CallReturned(request, b"done"))
            case TrimHeap():
                pass
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
        if self.runs(running):
            self._raise(running, "KeyboardInterrupt")
