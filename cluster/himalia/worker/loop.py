"""The worker's threads: they take runs from two queues, answer on the channel, and wait when there is nothing.

Every thread that runs calls reads the host's shared queue by itself, so that no hand-over costs time.  A further thread
listens to the channel: control messages, and runs for this worker only.

A call that has to run *alone* closes a gate: no other thread begins anything until it is over.  Each thread marks its
slot first and looks at the gate afterwards, the one that closes it does the opposite, so one of the two sees the other.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
from collections import deque
from typing import Any, Final, NoReturn

import msgspec

from himalia.decoders import decoder_of
from himalia.messages.parts import FunctionBody
from himalia.messages.worker import (
    DATAGRAM_LIMIT,
    CallFunction,
    CallReturned,
    EndsItself,
    GrantSpace,
    InterruptRun,
    NannyToWorker,
    RetireWorker,
    Run,
    Stored,
    TrimHeap,
    Unmapped,
    WorkerReady,
)
from himalia.system import trim_heap
from himalia.worker.calls import Calls, refusal
from himalia.worker.interrupt import Interrupts
from himalia.worker.output import OutputSender
from himalia.worker.self_signals import watch_own_end
from himalia.worker.space import Space
from himalia.worker.wiring import ENTRIES, RECALLS, WorkerConfig, map_slots

PATIENCE: Final = 1.0
"""Seconds that an idle thread sleeps at most.  A wake-up is never lost on current kernels; this is for older ones."""
REPORT_INTERVAL: Final = 0.5
"""Seconds between two looks for mappings that are gone, once there were any."""
PARTING: Final = 2.0
"""Seconds that a retired worker takes to end in order: less than the nanny of a host that leaves gives it (``FAREWELL``
of ``nanny/shell.py``), so that it ends by itself.  Jupyter has 5 for a kernel (``shutdown_wait_time``)."""
GATE_POLL: Final = 0.002
"""Seconds between two looks whether the other threads are done, for a call that runs alone."""

LANE_EVERY: Final = 16
"""Runs of the shared queue that a thread takes without a break before it looks into the lane: a look costs 1.5 µs."""

encode = msgspec.msgpack.Encoder().encode


class Worker:
    """One worker process.

    Parameters
    ----------
    config : WorkerConfig
        From the nanny.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.queue = socket.socket(fileno=config.queue)
        self.channel = socket.socket(fileno=config.channel)
        self.lane = socket.socket(fileno=config.lane) if config.lane >= 0 else None
        self.slots = map_slots(config.slots)
        self.page = (1 + config.index) * ENTRIES
        self.interrupts = Interrupts(config.nthreads)
        self.space = Space(config.arena, config.nursery, self.send)
        self.calls = Calls(
            config.name,
            config.arena,
            self.space,
            self.interrupts,
            self.send,
            inline_limit=config.inline_limit,
            copy_limit=config.copy_limit,
            function_cache=config.function_cache,
        )
        self.output = OutputSender(self.current_run, self.send, config.output_rate)
        self.targeted: deque[Run] = deque()
        self.attention = False
        """Whether threads have to look at more than the queue: targeted runs, a closed gate, the end."""
        self.is_retiring = False
        self.has_worked = False
        """Whether something ran since freed memory was given back."""
        self.gate = threading.Condition()
        self.alone = 0
        """Run that keeps the gate closed; 0: it is open."""
        self.waker, self.alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else _pipe()
        # A user's code may fork (multiprocessing does), and the child must not take runs from the queue.
        os.register_at_fork(after_in_child=self._forget_sockets)

    def run(self) -> None:
        """Serve until the nanny retires us; main thread only."""
        # Before the threads: signals are the main thread's, and a call could be cancelled as soon as one can run.
        self.interrupts.install()
        self.output.install()
        watch_own_end(lambda number: self.send(EndsItself(number)))
        threads = [
            threading.Thread(target=self.serve, args=(thread,), name=f"himalia-call-{thread}", daemon=True)
            for thread in range(1, self.config.nthreads)
        ]
        threading.Thread(target=self.listen, name="himalia-control", daemon=True).start()
        for thread in threads:
            thread.start()
        # Last: the nanny sends what is for this worker alone as soon as it hears this.
        self.send(WorkerReady(os.getpid()))
        self.serve(0)
        for thread in threads:
            thread.join()
        end = threading.Timer(PARTING, os._exit, (0,))  # a user's thread may never end
        end.daemon = True
        end.start()

    def send(self, message: object) -> None:
        """Send the nanny a message; without a nanny there is nothing left to do."""
        data = encode(message)
        if len(data) > DATAGRAM_LIMIT:
            # Too large for a datagram: the message itself goes through the arena.
            data = encode(Stored(self.space.write([data])))
        try:
            self.channel.send(data)
        except OSError:
            self._end()

    def current_run(self) -> int:
        """The run that the calling thread executes; 0 if none."""
        thread = self.interrupts.thread()
        return 0 if thread is None else self.slots[self.page + thread]

    # Threads that run calls

    def serve(self, thread: int) -> None:
        """Take runs and answer them, until we are retired."""
        self.interrupts.register(thread)
        wait = self._waiter()
        buffer = bytearray(2 * DATAGRAM_LIMIT)
        view = memoryview(buffer)
        receive = self.queue.recv_into
        receive_own = None if self.lane is None else self.lane.recv_into
        until_look = 0
        leaves = False
        decode = decoder_of(Run | Stored).decode
        while True:
            run: Run | Stored | None = None
            size = -1
            if self.attention:
                run = self._attend()
                until_look = 0
                # Runs in the queue are others' to take; those that were given to this worker it finishes first.
                leaves = self.is_retiring
            if receive_own is not None and run is None:
                # The lane first, now and then: its runs are for an idle worker, but a look costs something
                # (:data:`LANE_EVERY`).
                until_look -= 1
                if until_look < 0:
                    until_look = LANE_EVERY
                    try:
                        size = receive_own(buffer, 0, socket.MSG_DONTWAIT)
                    except BlockingIOError:
                        pass
            if run is None and size < 0:
                if leaves:
                    return
                try:
                    size = receive(buffer, 0, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    if wait():
                        until_look = 0
                    continue
            if run is None:
                if not size:
                    self._end()
                # The message is copied out of the buffer, which the next datagram overwrites.
                run = decode(view[:size])
            if type(run) is Stored:
                run = decode(self.calls.read(run.place)[0])
            assert type(run) is Run
            try:
                self.answer(run, thread)
            except KeyboardInterrupt:  # raised between two calls; the nanny judges by runs, and there is none
                pass

    def answer(self, run: Run, thread: int) -> None:
        """Run a call unless it was recalled, and send the answer."""
        slots, slot = self.slots, self.page + thread
        # Before the look at what was recalled: the nanny writes there first and reads the slots then, so that one of
        # the two sees the other.
        slots[slot] = run.run
        self.has_worked = True
        if self.alone or run.alone:
            self._pass_gate(run, slot)
        if slots[0] and run.run in slots[1 : 1 + min(slots[0], RECALLS)]:
            self.calls.skip(run.inputs)
            data = encode(refusal(run))
        else:
            data = encode(self.calls.perform(run, thread))
            # Ahead of the answer: nobody shall hear of a result before what was written on the way to it.
            if self.output.pending:
                self.output.finish(run.run)
        reader = self.calls.reader
        if reader is not None and reader.unmapped:
            self._report_unmapped()  # first: what is mapped after the answer is what user code keeps
        try:
            self.channel.send(data)
        except OSError:
            self._end()
        # After the answer is sent: a death in between would leave a run that nobody ran, and nobody answered.
        slots[slot] = 0
        if run.alone:
            self._open_gate()
        if self.interrupts.is_tainted:
            self._retire()

    def _attend(self) -> Run | None:
        """Return a targeted run, or ``None``; waits while the gate is closed."""
        with self.gate:
            while self.alone:
                self.gate.wait()
            if self.targeted:
                return self.targeted.popleft()
            # Under the lock, so that a run which comes now sets it again afterwards.
            self.attention = self.is_retiring
            return None

    def _waiter(self) -> Any:
        """What a thread waits with for the queue, the lane or the alarm; it says whether the lane has a run."""
        if sys.platform != "linux":
            poll = select.poll()
            poll.register(self.queue, select.POLLIN)
            poll.register(self.waker, select.POLLIN)
            if self.lane is not None:
                poll.register(self.lane, select.POLLIN)
            return lambda: self._woken(poll.poll(PATIENCE * 1000))
        epoll = select.epoll()
        # Of all threads that wait, in all workers, one is woken for a run and not each; the alarm may be for several.
        epoll.register(self.queue, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        epoll.register(self.waker, select.EPOLLIN)
        if self.lane is not None:
            epoll.register(self.lane, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        return lambda: self._woken(epoll.poll(PATIENCE))

    def _woken(self, events: list[tuple[int, int]]) -> bool:
        has_run = False
        if not events and self.has_worked:
            # Nothing to do for PATIENCE: what calls freed and the heap keeps is others' now.
            self.has_worked = False
            trim_heap()
        for fd, _ in events:
            if fd == self.config.lane:
                has_run = True
            # Not read any more then: readable, it wakes every thread that is still to end.
            elif fd == self.waker and not self.is_retiring:
                try:
                    os.read(self.waker, 1)
                except BlockingIOError:  # another thread was faster
                    pass
        return has_run

    # The gate

    def _pass_gate(self, run: Run, slot: int) -> None:
        """Wait until nobody else runs alone; close the gate if this one does, and wait until nobody runs anything."""
        slots = self.slots
        with self.gate:
            while self.alone:
                slots[slot] = 0  # it hasn't begun: if we die now, it is not to blame
                self.gate.wait()
                slots[slot] = run.run
            if not run.alone:
                return
            self.alone = run.run
            self.attention = True
        slots[slot] = 0
        # Ours is empty by now, or we would wait for ourselves.
        first, last = self.page, self.page + self.config.nthreads
        # Polled: a slot is cleared by a plain store into shared memory, which tells nobody. This happens after a crash
        # only.
        while any(slots[first:last]):
            time.sleep(GATE_POLL)
        slots[slot] = run.run

    def _open_gate(self) -> None:
        with self.gate:
            self.alone = 0
            self.gate.notify_all()

    # The thread that listens

    def listen(self) -> None:
        """Take what the nanny says to this worker alone."""
        buffer = bytearray(2 * DATAGRAM_LIMIT)
        view = memoryview(buffer)
        decode = decoder_of(Run | NannyToWorker).decode
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        parent = os.getppid()
        while True:
            # A worker that never mapped anything sleeps until it is spoken to.
            watching = self.calls.reader is not None or sys.platform != "linux"
            if not poll.poll(REPORT_INTERVAL * 1000 if watching else None):
                # Not `== 1`: a subreaper may have adopted us.
                if os.getppid() != parent:  # macOS: its datagram sockets don't say that their other end is gone
                    self._end()
                if self.calls.reader is not None and self.calls.reader.unmapped:
                    self._report_unmapped()
                continue
            try:
                size = self.channel.recv_into(buffer)
            except OSError:
                size = 0
            if not size:
                self._end()
            message = decode(view[:size])
            if type(message) is Stored:
                message = decode(self.calls.read(message.place)[0])
            self.take(message)

    def take(self, message: object) -> None:
        """Do what the nanny wants."""
        match message:
            case Run():
                with self.gate:
                    self.targeted.append(message)
                    self.attention = True
                self._wake(1)
            case FunctionBody():
                self.calls.learn(message)
            case GrantSpace():
                self.space.granted(message)
            # Here, in the thread that listens: the one that runs the call reads nothing meanwhile.
            case InterruptRun(run=run):
                self.interrupts.request(run)
            case CallFunction(request=request, call=call):
                target = self._call_beside
                # In a thread of its own: this one has to hear of interrupts and grants meanwhile, for which the call
                # itself may wait.
                threading.Thread(target=target, args=(request, call), name="himalia-beside", daemon=True).start()
            case TrimHeap():
                trim_heap()
            case RetireWorker():
                self._retire()
            case _:
                raise TypeError(f"a worker can't take {type(message).__name__}")

    def _retire(self) -> None:
        """Let all threads finish what they run, and end."""
        with self.gate:
            self.is_retiring = True
            self.attention = True
        self._wake(self.config.nthreads)

    def _call_beside(self, request: int, call: bytes) -> None:
        reply: CallReturned = self.calls.call_beside(request, call)
        try:
            self.send(reply)
        except Exception as error:  # no room in the arena
            self.send(CallReturned(request, b"", self.calls.unsendable(error)))

    def _wake(self, count: int) -> None:
        try:
            os.write(self.alarm, bytes(count))
        except BlockingIOError:  # thousands of wake-ups are waiting already
            pass

    def _report_unmapped(self) -> None:
        assert self.calls.reader is not None
        unmapped = self.calls.reader.unmapped
        offsets: list[int] = []
        try:
            while len(offsets) < UNMAPPED_AT_ONCE:
                offsets.append(unmapped.popleft())
        except IndexError:
            pass
        if offsets:
            self.send(Unmapped(offsets))

    def _forget_sockets(self) -> None:
        """In a child that user code forked: it must not answer for us, nor take runs, nor write where we do."""
        self.space.forget()
        self.queue.close()
        self.channel.close()
        if self.lane is not None:
            self.lane.close()

    def _end(self) -> NoReturn:
        """End at once: the nanny is gone, and with it everybody who could want anything of us."""
        # No cleaning up: a user's atexit or finalizer may wait for ever, and nobody is left to end it.
        os._exit(1)


UNMAPPED_AT_ONCE: Final = 5000
"""Offsets in one message, so that it fits into a datagram."""


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends
