"""Taking back what was dispatched: recalls, interrupts, and datagrams that died with the worker that took them.

Nobody can take a datagram out of the kernel's queue.  But every worker marks the run it begins in shared memory (its
*slot*) and, after that, looks at a table of recalled runs; the shell writes the table and, after that, reads the slots.
So a recalled run that is in no slot will be refused by whoever takes it, and the scheduler can be answered at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from himalia.messages.nanny import Withdraw, Withdrawn
from himalia.messages.parts import Timing
from himalia.messages.worker import InterruptRun
from himalia.names import PeerId, WorkerName, shorten
from himalia.nanny.events import Recall, RunLost, SendToWorker, SlotsRead, Unrecall
from himalia.nanny.fetching import forget_waiter
from himalia.nanny.runs import end_loading, end_run, make_ready
from himalia.nanny.state import NannyState
from himalia.nanny.tasks import (
    DISPATCHED,
    GONE,
    HAVE_RUN,
    INTERRUPTING,
    LOADING,
    RECALLED,
    WAITING,
    WITHDRAWING,
    NannyTask,
    move,
)
from himalia.nanny.workforce import end_worker

if TYPE_CHECKING:
    from collections.abc import Mapping


def withdraw(state: NannyState, message: Withdraw, source: PeerId) -> None:
    """Give an attempt back; of one that isn't here any more the scheduler was or is being told something else."""
    task = state.tasks.get(message.key)
    # It ended, or was replaced by a newer attempt: the message that says so is on its way, and a second answer would be
    # one too many.
    if task is None or task.attempt != message.attempt:
        return
    if task.status not in HAVE_RUN:
        leave(state, task)
        answer(state, task)
    elif task.status is DISPATCHED:
        take_back(state, task, interrupt=message.interrupt)
    # A second request for what is being withdrawn already: the first may have been a steal, this one wants it stopped.
    elif message.interrupt:
        task.interrupt = True


def drop(state: NannyState, task: NannyTask) -> None:
    """Give an attempt back at once, whatever it is doing; one that runs is stopped."""
    # Answered first: whoever drops an attempt doesn't wait to hear whether it had begun.
    answer(state, task)
    if task.status is DISPATCHED:
        take_back(state, task, interrupt=True)
    elif task.status in HAVE_RUN:
        task.interrupt = True
    else:
        leave(state, task)


def leave(state: NannyState, task: NannyTask) -> None:
    """Let go of what a task without a run waits for."""
    if task.status is WAITING:
        forget_waiter(state, task)
    elif task.status is LOADING:
        end_loading(state, task)
    move(task, GONE)


def take_back(state: NannyState, task: NannyTask, *, interrupt: bool) -> None:
    """Recall a run, and find out whether it had begun."""
    move(task, WITHDRAWING)
    task.interrupt = interrupt
    state.withdrawing[task.run] = task
    # In this order: a worker marks its slot and then reads the recalls, so one of the two sees the other (note 0001).
    state.out.append(Recall(task.run))
    state.read_slots()


def slots_read(state: NannyState, event: SlotsRead, source: PeerId) -> None:
    """Judge the runs that are being withdrawn, and those that a dead worker may have taken along."""
    # Read after the recall was written (take_back): what isn't in here will be refused by whoever takes it.
    where = {run: worker for worker, runs in event.running.items() for run in runs}
    # All that was recalled before this reading; what is withdrawn from now on needs another one.
    withdrawing, state.withdrawing = state.withdrawing, {}
    for run, task in withdrawing.items():
        worker = where.get(run)
        # Answered now, though the datagram is still in the queue: the scheduler may give the call to another host at
        # once.
        if worker is None:
            answer(state, task)
            move(task, RECALLED)
            continue
        # It had begun, so nobody can refuse it any more, and the table of recalls has few entries.
        state.out.append(Unrecall(run))
        if task.interrupt:
            interrupt(state, task, worker)
        else:
            # A steal that came too late: it goes on as if nothing had been asked.
            move(task, DISPATCHED)
            state.send(Withdrawn(task.key, task.attempt, started=True))
    if state.suspects:
        judge_suspects(state, where, event.head)


def interrupt(state: NannyState, task: NannyTask, worker: WorkerName) -> None:
    """Tell a worker to stop a run, and note until when it may take its time."""
    move(task, INTERRUPTING)
    # Python can stop a thread only between two bytecodes, and a call may be in C for an hour.
    task.kill_at = state.now + state.settings.interrupt_grace
    state.interrupting[task.run] = (task, worker)
    state.out.append(SendToWorker(worker, InterruptRun(task.run)))


def answer(state: NannyState, task: NannyTask, seconds: float = 0.0) -> None:
    """Say that an attempt is gone, once, and how many seconds of a thread it took."""
    # Several ways lead here (withdrawn twice, replaced, its worker died); the scheduler counts each answer.
    if not task.answered:
        state.remove_task(task)
        task.answered = True
        # The seconds are told as wasted, so that a person sees what cancelling cost.
        state.send(Withdrawn(task.key, task.attempt, False, round(seconds, 6)))


def end_withdrawn(
    state: NannyState, task: NannyTask, timing: Timing | None = None, *, stays_recalled: bool = False
) -> None:
    """A run that was being withdrawn ended, in whatever way: nothing of it is kept.

    ``timing`` is its own word of how long it took; without it, it is as long as it was seen to run.  One that somebody
    may still have ``stays_recalled``.
    """
    run = task.run
    if task.status is INTERRUPTING:
        del state.interrupting[run]
    else:
        state.withdrawing.pop(run, None)
        # The number is never used again, but an entry of the table would be taken for good.
        if not stays_recalled:
            state.out.append(Unrecall(run))
    end_run(state, task)
    if timing is None:
        answer(state, task, state.activity.seconds(run))
    else:
        answer(state, task, timing.deserialize + timing.compute + timing.serialize)
    move(task, GONE)


def keep_after_all(state: NannyState, task: NannyTask) -> bool:
    """Whether a run that returned while the slots were being read still counts; if so it is no longer withdrawn."""
    # It was to be stolen and has finished while the slots were being read: the result is good, and cheaper than another
    # run.
    if task.status is not WITHDRAWING or task.interrupt:
        return False
    del state.withdrawing[task.run]
    state.out.append(Unrecall(task.run))
    move(task, DISPATCHED)
    return True


def kill_deaf_workers(state: NannyState) -> None:
    """Replace workers whose interrupted call did not react in time."""
    for task, name in list(state.interrupting.values()):
        if state.now >= task.kill_at and name in state.workers:
            grace = state.settings.interrupt_grace
            reason = f"the nanny stopped it: {shorten(task.key)} was cancelled and did not react within {grace:g} s"
            end_worker(state, state.workers[name], reason, blamed=False)


def judge_suspects(state: NannyState, where: Mapping[int, WorkerName], head: int) -> None:
    """Dispatch again what was taken from the queue and is in no slot, at two readings in a row.

    Once isn't enough: a worker that is alive may be between taking a datagram and marking it.
    """
    for run, misses in list(state.suspects.items()):
        # runs are queued by number: what isn't older than the first in the queue is still there
        if run not in state.runs or run in where or (head and run >= head):
            del state.suspects[run]
        elif misses == 0:
            state.suspects[run] = 1
        else:
            del state.suspects[run]
            lose_run(state, state.runs[run], is_sure=False)


def lose_run(state: NannyState, task: NannyTask, *, is_sure: bool) -> None:
    """Dispatch a task again whose run never began, or drop it if it was being withdrawn.

    Unless it ``is_sure`` that no process has the run, it stays recalled: a worker that was stopped right after it took
    it, or that the system let wait there, refuses it when it goes on.
    """
    run = task.run
    if task.status is DISPATCHED:
        if not is_sure:
            state.out.append(Recall(run))
        end_run(state, task)
        make_ready(state, task)
    else:
        end_withdrawn(state, task, stays_recalled=not is_sure)
    if is_sure:
        state.out.append(RunLost(run))
    else:
        state.recalled[run] = None
        state.watch.calm_for = 0.0


def refused(state: NannyState, run: int) -> None:
    """Take in that a worker refused a run that was given up: nobody else can have it."""
    # `None` is the value of an entry, 0 says that there is none.
    if state.recalled.pop(run, 0) is None:
        state.out += (Unrecall(run), RunLost(run))


def forget_recalled(state: NannyState) -> None:
    """Nobody can have a run that was given up: for long enough no worker stood still."""
    for run in list(state.recalled):
        refused(state, run)
