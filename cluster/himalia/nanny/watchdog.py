"""Worker processes that stand still: seen, said, and replaced where it is known that they won't go on by themselves.

What is known of a process from outside is its state and its CPU time.  A call may sleep, wait for a server or hold the
GIL for as long as it likes; none of that looks different from a deadlock, so none of it is judged.  What is:

- *stopped* by a signal (SIGSTOP): nothing in the process can go on before somebody continues it.  After
  ``STOPPED_LIMIT`` it is replaced, and what it ran is run again, without blame;
- *held* by a debugger: a person is there.  Said, and left alone;
- *waiting in the kernel* (a disk, a network file system): no signal ends that.  Said;
- *taking nothing* though calls wait for it and none of its threads runs any: after ``IDLE_LIMIT`` it is replaced, which
  costs nobody anything.

What a stopped worker has taken and not begun goes to others, once it has been stopped for ``TAKEN_LIMIT``; it will
refuse that when it goes on.  A call that somebody took from the queue and hasn't begun after ``LOST_LIMIT`` is looked
for, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from himalia.nanny.events import Measured
from himalia.nanny.state import NannyState
from himalia.nanny.tasks import DISPATCHED
from himalia.nanny.withdrawing import forget_recalled, lose_run
from himalia.nanny.workers import NannyWorker, WorkerStatus
from himalia.nanny.workforce import end_worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from himalia.names import WorkerName

STOPPED_LIMIT: Final = 45.0
"""Seconds a stopped process is waited for: a person may have stopped it and mean to continue it.
Kubernetes waits 40 s for a node that is silent (``node-monitor-grace-period``)."""
IDLE_LIMIT: Final = 30.0
"""Seconds after which a worker that takes nothing is replaced: gunicorn's ``timeout``, and far more than a busy host
ever needs."""
TAKEN_LIMIT: Final = 2.0
"""Seconds a worker has to be stopped for others to get what it hasn't begun.  A tool that slows processes down
by stopping them lets them go on much sooner: cpulimit ten times a second (``TIME_SLOT``)."""
LOST_LIMIT: Final = 15.0
"""Seconds between taking a call and beginning it, where nobody is stopped.  It takes microseconds."""
SAID_AFTER: Final = 1.0
"""Seconds that something stands still before it is worth a word."""
STEP_LIMIT: Final = 1.0
"""Seconds between two measurements that count at most: if this process stood still, that was no other's fault."""
ALIVE: Final = (WorkerStatus.STARTING, WorkerStatus.UP, WorkerStatus.RETIRING, WorkerStatus.STOPPING)
STATES: Final = {"T": "stopped", "t": "held", "D": "blocked"}
"""States of a process (``man proc``) in which it does nothing, and what they are called here."""


# Everything below sees processes from outside and at moments: the slots, the letter of a state, a CPU time. None of
# these proves that somebody is stuck; only that nothing changed between two looks, for long enough.
def look(state: NannyState, event: Measured) -> None:
    """Judge all workers after a measurement."""
    watch = state.watch
    # Time is counted in measurements that were made, not by the clock: a laptop that slept for an hour, or this process
    # when a debugger held it, must not condemn every worker on waking up.
    elapsed = min(state.now - watch.looked_at, STEP_LIMIT)
    watch.looked_at = state.now
    untaken = find_untaken(state, event.slots)
    for worker in state.workers.values():
        how = judge(state, worker, event, untaken)
        # Of one kind without a break: a process that waits for its disk a hundred times a minute is slow, not stuck.
        worker.still_for = worker.still_for + elapsed if how and how == worker.still else 0.0
        worker.still = how
        end_if_hopeless(state, worker)
    look_for_taken(state, untaken, elapsed)
    move_targeted(state, event.slots)
    watch.calm_for = 0.0 if any(worker.still for worker in state.workers.values()) else watch.calm_for + elapsed
    # Whoever took a datagram and was stopped has refused it by now.
    if watch.calm_for >= LOST_LIMIT:
        forget_recalled(state)


def find_untaken(state: NannyState, slots: Mapping[WorkerName, list[int]]) -> int:
    """Return the oldest run that no thread has begun, if there are fewer under way than there are threads; else 0."""
    # Of a measurement, so older than the newest dispatches: those aren't the oldest run, which alone is judged.
    begun = {run for runs in slots.values() for run in runs if run}
    # Every thread is busy: what waits in the queue waits for a good reason.
    if len(state.runs) <= len(begun) or len(begun) >= state.threads:
        return 0
    # The oldest: a dict keeps the order of dispatch, and the queue is read in that order.
    return next((run for run in state.runs if run not in begun), 0)


def judge(state: NannyState, worker: NannyWorker, event: Measured, untaken: int) -> str:
    """Say in a word how a worker stands still, or nothing if it doesn't, or that can't be known."""
    if worker.status not in ALIVE:
        return ""
    cpu = event.metrics.workers.get(str(worker.name), (0.0, 0, 0))[0]
    how = STATES.get(event.states.get(worker.name, ""), "")
    if how:
        # State and CPU time are read at different moments; who used any since the last look isn't standing still.
        return how if not cpu else ""
    if worker.status is not WorkerStatus.UP or not untaken or any(event.slots.get(worker.name, ())):
        return ""
    # A run in somebody else's own queue is none of its business.
    wanted = state.runs[untaken].worker
    return "idle" if wanted in (None, worker.name) else ""


def end_if_hopeless(state: NannyState, worker: NannyWorker) -> None:
    """Replace a worker that has stood still for too long in a way that ends by nothing else."""
    limit = {"stopped": STOPPED_LIMIT, "idle": IDLE_LIMIT}.get(worker.still)
    if limit is None or worker.still_for < limit:
        return
    why = "something had stopped it (SIGSTOP)" if worker.still == "stopped" else "it took nothing though calls waited"
    # Without blame: what it runs did nothing, and gets no strike.
    end_worker(state, worker, f"the nanny stopped it: {why} for {worker.still_for:.0f} s", blamed=False)


def look_for_taken(state: NannyState, untaken: int, elapsed: float) -> None:
    """Look for a run of the shared queue that nobody begins: whoever took it may have been stopped right then."""
    watch = state.watch
    watch.untaken_for = watch.untaken_for + elapsed if untaken and untaken == watch.untaken else 0.0
    watch.untaken = untaken
    limit = TAKEN_LIMIT if any(map(is_out, state.workers.values())) else LOST_LIMIT
    # Of its own queue a worker is the only reader, and that is looked at in move_targeted().
    if watch.untaken_for >= limit and state.runs[untaken].worker is None:
        watch.untaken_for = 0.0
        # Not lost yet: two readings of the slots have to miss it (withdrawing.judge_suspects).
        state.suspects.setdefault(untaken, 0)
        state.read_slots()


def is_out(worker: NannyWorker) -> bool:
    """Whether a worker has been stopped for so long that others shall do what it hasn't begun."""
    return worker.still == "stopped" and worker.still_for >= TAKEN_LIMIT


def move_targeted(state: NannyState, slots: Mapping[WorkerName, list[int]]) -> None:
    """Take from the own queues of workers that are out what they haven't begun and others may run as well."""
    for worker in [worker for worker in state.workers.values() if worker.targeted and is_out(worker)]:
        begun = slots.get(worker.name, ())
        for task in list(state.runs.values()):
            # What a person bound to this worker stays with it, and waits until it goes on or is replaced.
            bound = task.worker == worker.name and not task.compute.worker
            if bound and task.status is DISPATCHED and task.run not in begun:
                lose_run(state, task, is_sure=False)


def describe(state: NannyState) -> dict[str, str]:
    """Say of each worker that stands still how, since when, and what will be done."""
    return {
        str(worker.name): text
        for worker in state.workers.values()
        if worker.still and worker.still_for >= SAID_AFTER and (text := describe_one(worker))
    }


def describe_one(worker: NannyWorker) -> str:
    """Return the end of a sentence that begins with the worker's name."""
    since = f"{worker.still_for:.0f} s"
    process = f" (process {worker.pid})" if worker.pid else ""
    match worker.still:
        case "stopped":
            return (
                f"{process} doesn't answer: it was stopped (SIGSTOP) {since} ago. Unless somebody continues it, it is "
                f"replaced after {STOPPED_LIMIT:g} s, and what it runs is run again"
            ).lstrip()
        case "held":
            return f"{process} doesn't answer: a debugger has held it for {since}. Nothing is done about that".lstrip()
        case "blocked":
            return (
                f"{process} doesn't answer: it has waited in the kernel for {since}, for a disk or a network file "
                f"system. Nothing can end it before that answers"
            ).lstrip()
        case _:
            return (
                f"{process} doesn't answer: it has taken nothing for {since} though calls wait. It is replaced after "
                f"{IDLE_LIMIT:g} s"
            ).lstrip()
