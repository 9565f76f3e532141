"""A nanny's session with its scheduler, its clock, and its end: what concerns all of it at once."""

from __future__ import annotations

from himalia.machine import PeerJoined, PeerLeft, Ticked
from himalia.messages.nanny import RegisterNanny, RestartWorkers
from himalia.messages.parts import Close
from himalia.names import SCHEDULER, PeerId
from himalia.nanny import heartbeat, holding, requests, withdrawing, workforce
from himalia.nanny.events import Exit
from himalia.nanny.state import UNREAD, NannyState


def scheduler_joined(state: NannyState, event: PeerJoined, source: PeerId) -> None:
    """Register: the first message of every session."""
    # A nanny has this one peer; data connections have no sessions.
    if event.peer == SCHEDULER:
        state.registered = True
        # Both sides count anew in each session; the heartbeat below compares.
        state.seen = 0
        # One at once: until then the scheduler knows no measurement of this host.
        state.next_heartbeat = state.now
        workers = [state.worker_info(worker) for worker in state.workers_up()]
        state.send(RegisterNanny(state.info, workers, state.held.inventory(), state.attempts()))


def scheduler_left(state: NannyState, event: PeerLeft, source: PeerId) -> None:
    """End: without a scheduler nobody can want anything of this host."""
    if event.peer == SCHEDULER:
        state.registered = False
        workforce.begin_closing(state, f"the scheduler is gone: {event.reason}")


def close(state: NannyState, message: Close, source: PeerId) -> None:
    """End because somebody wants it."""
    workforce.begin_closing(state, message.reason)


def ticked(state: NannyState, event: Ticked, source: PeerId) -> None:
    """Do what is due."""
    state.scheduler_reads = event.pending.get(SCHEDULER, 0) <= UNREAD
    # Before anything of this tick is reported: what a call wrote is never later than its end.
    if state.output.pending:
        state.output.flush()
    if state.closing is not None:
        workforce.kill_remaining(state)
        return
    workforce.start_due(state)
    workforce.end_slow_starts(state)
    withdrawing.kill_deaf_workers(state)
    if state.suspects or state.withdrawing:
        state.read_slots()
    # At ticks, and not at the end of each task: it walks all of them.
    requests.sweep_functions(state)
    if state.held.placed:
        holding.announce_placed(state)
    # Last, so that it tells of what this tick did.
    heartbeat.beat(state)


def restart(state: NannyState, message: RestartWorkers, source: PeerId) -> None:
    """Replace workers; if all of them, forget every task and all data first."""
    if message.workers is None:
        # The scheduler has forgotten all of them already; what is kept here would be found to be too much by the next
        # tally.
        for task in list(state.tasks.values()):
            withdrawing.drop(state, task)
        for fetch in state.fetches.values():
            # The bytes under way can't be called back; what arrives is announced, and freed by the scheduler.
            fetch.waiters.clear()
            fetch.holders.clear()
        for key, attempt, _, _ in state.held.all():
            holding.drop(state, key, attempt)
    workforce.restart_workers(state, message)


def finish_closing(state: NannyState) -> None:
    """Say that the nanny can end, once, when the last worker is gone."""
    if not state.workers and not state.exited:
        state.exited = True
        state.out.append(Exit(state.closing or "", state.exit_code))
