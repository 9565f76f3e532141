"""The invariants of a nanny's state, checked by tests after every event."""

from __future__ import annotations

from functools import reduce
from operator import xor

from himalia.nanny.state import NannyState
from himalia.nanny.tasks import DISPATCHED, GONE, HAVE_RUN, INTERRUPTING, LOADING, READY, WAITING, WITHDRAWING
from himalia.nanny.workers import WorkerStatus


def check(state: NannyState) -> None:
    """Raise AssertionError if anything contradicts anything."""
    check_tasks(state)
    check_runs(state)
    check_data(state)
    check_workers(state)


def check_tasks(state: NannyState) -> None:
    """Check that every task is where its status says."""
    heaps = [state.ready, state.alone, *[worker.ready for worker in state.workers.values()]]
    queued = {id(task) for heap in heaps for _, _, task in heap}
    for key, task in state.tasks.items():
        assert task.key == key, task
        assert task.status is not GONE, task
        # A heap may have entries of tasks that are gone; a READY task without an entry would wait for ever.
        assert task.status is not READY or id(task) in queued or state.closing is not None, task
        assert (task.status is WAITING) == (task.missing > 0), task
        assert (task.status in HAVE_RUN) == (task.run != 0), task
        assert (task.status is LOADING) == (state.loading.get(key) is task), task
        # Answered attempts leave the table, though their run may go on.
        assert not task.answered, task
        waits = [fetch.key for fetch in state.fetches.values() if fetch.waiters.get(key) is task]
        assert len(waits) == task.missing, task
    assert state.tasks_tally == reduce(xor, [task.digest for task in state.tasks.values()], 0)


def check_runs(state: NannyState) -> None:
    """Check that runs and tasks know each other."""
    for run, task in state.runs.items():
        assert task.run == run <= state.last_run, task
        assert task.status in HAVE_RUN, task
        assert task.answered or state.tasks.get(task.key) is task, task
        assert (task.status is WITHDRAWING) == (run in state.withdrawing), task
        assert (task.status is INTERRUPTING) == (run in state.interrupting), task
        assert task.status is not DISPATCHED or not task.answered, task
    assert set(state.withdrawing) <= set(state.runs)
    assert set(state.interrupting) <= set(state.runs)
    state.reserved.check([*state.runs.values(), *state.loading.values()])


def check_data(state: NannyState) -> None:
    """Check the books of what is held, and that every fetch is under way."""
    state.held.check()
    for key, fetch in state.fetches.items():
        assert fetch.key == key
        # No fetch is at rest: it has been asked of somebody, or it was given up in the same event.
        assert fetch.host is not None, key
        for task in fetch.waiters.values():
            assert task.status is WAITING, task
            assert state.tasks.get(task.key) is task, task
    assert not state.fetch_batches or state.closing is not None


def check_workers(state: NannyState) -> None:
    """Check the counts that workers keep."""
    up = [worker for worker in state.workers.values() if worker.status is WorkerStatus.UP]
    assert state.threads == state.nthreads * len(up)
    assert len({worker.index for worker in state.workers.values()}) == len(state.workers)
    for worker in state.workers.values():
        mine = [task for task in state.runs.values() if task.worker == worker.name]
        assert worker.targeted == len(mine), worker
        assert worker.alone is None or worker.alone in mine, worker
        # Who isn't planned any more is on its way out, and takes no new calls.
        assert not (worker.status is WorkerStatus.UP and not worker.planned), worker
        assert worker.planned or not worker.ready, worker
