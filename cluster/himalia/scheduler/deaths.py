"""What becomes of calls and data when a worker or a host dies, or a result is lost: nothing is recomputed without need.

A result whose last holder is gone is computed again if somebody needs it; a call that ran on a host that left runs
again without blame; a call that was running when its worker process died gets a strike, and ``settings.strikes`` of
them end it.  A death by a signal from outside is much less than a strike (:func:`weigh`).

What hosts say of the results that they have, got and lost is judged here, too: it is how losses are found.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from himalia.bounds import TEXT_LENGTH
from himalia.errors import killed_text
from himalia.messages.client import ReportMissing, ResultPending
from himalia.messages.nanny import (
    DataAdded,
    DataLost,
    InputMissing,
    Inventory,
    RegisterNanny,
    ReportInventory,
    Withdraw,
    WorkerDied,
)
from himalia.messages.parts import TaskError
from himalia.names import HostId, Key, PeerId, WorkerName
from himalia.scheduler.freeing import settle
from himalia.scheduler.held import add_held, drop_holder
from himalia.scheduler.placement import abandon, assign, bury, leave_host, refill, refill_all, update_room
from himalia.scheduler.state import (
    ASSIGNED,
    FINISHED,
    QUEUED,
    RELEASED,
    WAITING,
    HostState,
    SchedulerState,
    SchedulerTask,
    WorkerState,
    move,
)
from himalia.scheduler.transitions import (
    err,
    lost_error,
    need,
    place_if_ready,
    start_again,
    tell_status,
    wait_for_inputs,
)

PATIENCE: Final = 20
"""Complaints about the only copy of placed data before it is given up.  Guess: so many that a host which is
dead was noticed before (its lease ends), and so few that a host which never delivers doesn't hold up a call for
good."""
OUTSIDE_AND_NOBODY_ELSE: Final = 1 / 3
"""Strikes for a death by a signal from outside that strikes whatever runs this call, and nothing else: nine of them are
enough.  Guess: less than 1, or a person who kills workers would end calls; more than :data:`OUTSIDE_AS_OTHERS`, for a
call may have its process killed by other means than our watched ones (``worker/self_signals.py``)."""
OUTSIDE_AS_OTHERS: Final = 0.01
"""Strikes for a death from outside while others die like that too.  A call of 2 s, while one of two workers is killed
every 0.3 s, gets through one time in 28; 300 deaths in a row happen to one in 50,000 of those."""
OUTSIDE_MEMORY: Final = 60.0
"""Seconds for which deaths of others are remembered.  Guess: longer than a nanny pauses before it starts a worker
again, so that kills which go on are seen as one series, and shorter than a session at a notebook."""


def recover(state: SchedulerState, lost: Iterable[SchedulerTask]) -> None:
    """Compute results again that are FINISHED without a holder, as far as they are needed."""
    # It is walked twice. First every lost result loses its status, then what is needed is started: otherwise the first
    # one to be computed again would find its input, lost as well, still FINISHED without a holder.
    lost = list(lost)
    for task in lost:
        task.group.memory -= task.nbytes
        state.events.add(state.now, "lost", task.key, f"its result ({task.nbytes} bytes) was on no other host")
        move(task, RELEASED)
        for dependent in task.dependents or ():
            # Its entry in the queue becomes void by that; it gets a new one when the input is back.
            if dependent.status is QUEUED:
                move(dependent, WAITING)
                dependent.waiting_on = 1  # it had all its inputs, so this is the only one it lacks
            # ASSIGNED ones are left alone: their host has fetched the input, is fetching it, or will say that it
            # couldn't.
            elif dependent.status is WAITING:
                dependent.waiting_on += 1
    needed = []
    for task in lost:
        if task.placed:
            if task.wanted_by or task.waiters:
                err(state, task, lost_error(task))
        elif task.wanted_by or task.waiters:
            for client in task.wanted_by:
                # A client that believes it finished would ask hosts for it that don't have it.
                state.tell(client, task.key, ResultPending(task.key))
            needed.append(task)
        # What nobody needs is forgotten here, unless dependents keep it known.
        settle(state, task)
    need(state, needed)


def lose_host(state: SchedulerState, host: HostState) -> None:
    """Move everything that a host that left was doing or holding elsewhere."""
    # First of all: nothing that follows may choose it.
    del state.hosts[host.id]
    state.membership += 1
    # Those who hold this object (a task's record, the caller) see a host that takes nothing.
    host.nthreads = 0
    host.paused = True
    for name, worker in host.workers.items():
        forget_name(state, name, worker)
    # A dict that is keyed by hosts would keep the dead one, and tell it at the end of the event.
    state.to_free.pop(host, None)
    for zombie in host.zombies.values():
        # They are gone with their host, whatever they did; nobody will confirm them.
        zombie.group.stopping -= 1
        zombie.group.changed = True
    host.zombies.clear()
    running = list(host.assigned)
    for task in running:
        leave_host(state, task)
    update_room(state, host)
    state.surplus.pop(host, None)
    # A list first: drop_holder() takes the entries out of what is walked.
    lost = [task for task in list(host.held) if drop_holder(task, host)]
    # Those that ran there first lose their place, then their inputs may turn out to be lost as well.
    for task in running:
        wait_for_inputs(task)
    recover(state, lost)
    for task in running:
        place_if_ready(state, task)
    refill_all(state)


def lose_worker(state: SchedulerState, message: WorkerDied, source: PeerId) -> None:
    """Take in that a worker process died: blame what was running on it, if anything is to blame."""
    host = state.host(source)
    worker = remove_worker(state, host, message.name)
    state.events.add(state.now, "worker-died", message.name, message.exit)
    # Once for all that ran in it: they died of one thing.
    weight = weigh(state, message)
    for key, attempt in message.running:
        task = state.tasks.get(key)
        if task is None or task.attempt != attempt or task.status is not ASSIGNED or task.host is not host:
            # It was taken back before the death, so it can't be blamed, but its thread is free now.
            bury(state, host, attempt)
            continue
        leave_host(state, task)
        task.strikes += weight
        # Nine thirds add up to 3.0 or to a little less, by what was added between them; without rounding the ninth
        # death from outside would sometimes not count.
        if round(task.strikes, 6) < state.settings.strikes:
            state.events.add(state.now, "retried", key, f"it ran on {message.name}, which ended with {message.exit}")
            start_again(state, task)
            continue
        text = killed_text(key, message.name, task.tries, message.exit, message.log)
        # err() ends what is RELEASED or ACTIVE at no host; the inputs' counts have to be those of a WAITING task.
        wait_for_inputs(task)
        error = TaskError(kind="killed", key=key, text=text[:TEXT_LENGTH], worker=message.name, attempts=task.tries)
        state.count_error(task, error)
        err(state, task, error)
    if worker is not None:
        # After the running ones: they have left the host already and aren't sent twice.
        unbind(state, host, worker)
    refill(state, host)


def weigh(state: SchedulerState, message: WorkerDied) -> float:
    """Return for how many strikes a worker's death counts against what it was running."""
    if not message.blamed:
        return 0.0
    if message.cause != "outside":
        return 1.0
    # Only what is common to all recent deaths is suspicious: in a batch system that kills whole nodes each death hits
    # other calls.
    running = frozenset(key for key, _ in message.running)
    deaths = state.outside_deaths
    while deaths and deaths[0][0] < state.now - OUTSIDE_MEMORY:
        deaths.popleft()
    # Including this one, so that a first death is always alone in it.
    deaths.append((state.now, running))
    is_alone_in_it = all(running & others for _, others in deaths)
    return OUTSIDE_AND_NOBODY_ELSE if is_alone_in_it else OUTSIDE_AS_OTHERS


def remove_worker(state: SchedulerState, host: HostState, name: WorkerName) -> WorkerState | None:
    """Strike a worker off a host's books; what was bound to it is the caller's concern."""
    worker = host.workers.pop(name, None)
    if worker is not None:
        forget_name(state, name, worker)
        state.membership += 1
        host.nthreads -= worker.info.nthreads
        update_room(state, host)
    return worker


def forget_name(state: SchedulerState, name: WorkerName, worker: WorkerState) -> None:
    """Forget who is called so, unless a worker of another host has the name too and came later."""
    # Names are given by people, and two nannies may be started under one; the later one keeps the entry.
    if state.workers.get(name) is worker:
        del state.workers[name]


def unbind(state: SchedulerState, host: HostState, worker: WorkerState) -> None:
    """Place calls anew that were bound to a worker that is gone."""
    # A copy again, and abandon(), not leave_host(): the nanny may still have them and has to say so.
    for task in [task for task in host.assigned if task.worker is worker]:
        abandon(state, task, interrupt=False)
        start_again(state, task)


def miss_inputs(state: SchedulerState, message: InputMissing, source: PeerId) -> None:
    """Take in that a host couldn't get inputs of an attempt: their holders are struck off, the call goes elsewhere."""
    host = state.host(source)
    task = state.tasks.get(message.key)
    is_there = task is not None and task.attempt == message.attempt and task.status is ASSIGNED and task.host is host
    # A host that lies, or is confused, must not make us forget results of others by naming them.
    inputs = {dependency.key for dependency in task.dependencies} if task is not None and is_there else set()
    # a host may say so of what it was told to fetch, or of what it has itself, and of nothing else
    missing = [entry for entry in message.missing if entry[0] in inputs or entry[2] == host.id]
    lost = strike_holders(state, missing, host)
    if task is not None and is_there:
        # It gave the attempt back by itself, so there is no zombie to wait for.
        leave_host(state, task)
        wait_for_inputs(task)
        recover(state, lost)
        # After recover(): if the input had no other holder the task now waits for it, and isn't placed at all.
        place_beside(state, task, missing)
    else:
        recover(state, lost)
        bury(state, host, message.attempt)
    refill(state, host)


def place_beside(state: SchedulerState, task: SchedulerTask, missing: Iterable[tuple[Key, int, HostId]]) -> None:
    """Place a task whose inputs could not be fetched where one of them is, if that still has it; else as usual."""
    if task.status is WAITING and task.waiting_on == 0 and task.requirement is None:
        for key, _, host_id in missing:
            host = state.hosts.get(host_id)
            # Where the data are there is nothing to fetch. The two hosts may not reach each other at all, and placing
            # by cost would choose the same one again.
            if host is None or host.paused or not host.nthreads:
                continue
            if any(dependency.key == key and host in dependency.holders for dependency in task.dependencies):
                assign(state, task, host, None)
                return
    place_if_ready(state, task)


def strike_holders(
    state: SchedulerState, missing: Iterable[tuple[Key, int, HostId]], reporter: HostState | None = None
) -> list[SchedulerTask]:
    """Remove holders that didn't deliver (they are told to drop what they may have); return what has none left.

    The only copy of what can't be computed again is given up on its holder's own word, or after ``PATIENCE`` complaints
    of others: they may just not reach it.
    """
    lost = []
    for key, attempt, host_id in missing:
        task = state.tasks.get(key)
        host = state.hosts.get(host_id)
        if task is None or host is None or task.status is not FINISHED or task.attempt != attempt:
            continue
        # A computed result that is given up by mistake is computed again; a placed one is gone for good.
        if task.placed and task.holders == (host,) and host is not reporter:
            task.strikes += 1
            if task.strikes < PATIENCE:
                continue
        # Even if it has it: a copy that nobody is sent to would stay until the end.
        state.to_free.setdefault(host, []).append((key, attempt))
        if drop_holder(task, host):
            lost.append(task)
    return lost


def add_replica(state: SchedulerState, message: DataAdded, source: PeerId) -> None:
    """Take in that a host got a copy of a result."""
    host = state.host(source)
    task = state.tasks.get(message.key)
    if task is None or task.status is not FINISHED or task.attempt != message.attempt:
        state.to_free.setdefault(host, []).append((message.key, message.attempt))
    # It may be announced twice: by the client that placed it, and by the nanny that didn't hear whether the client
    # lived to do it.
    elif host not in task.holders:
        task.holders = (*task.holders, host)
        add_held(host, task)


def lose_data(state: SchedulerState, message: DataLost, source: PeerId) -> None:
    """Take in that a host can't read a result any more."""
    host = state.host(source)
    recover(state, strike_holders(state, [(message.key, message.attempt, host.id)], host))


def report_missing(state: SchedulerState, message: ReportMissing, source: PeerId) -> None:
    """Take in that a client couldn't read a result at a host."""
    client = state.client(source)
    lost = strike_holders(state, [(message.key, message.attempt, message.host)])
    recover(state, lost)
    task = state.tasks.get(message.key)
    # It asks for the next holder; if there is none, recover() has told it that the key is pending again.
    if task is not None and not lost and client in task.wanted_by:
        tell_status(state, client, task)


def take_inventory(state: SchedulerState, host: HostState, message: RegisterNanny) -> None:
    """Compare what a nanny has from before with what is known: free unknown results, withdraw unknown attempts."""
    for data in message.data:
        task = state.tasks.get(data.key)
        if task is not None and task.status is FINISHED and task.attempt == data.attempt:
            if host not in task.holders:
                task.holders = (*task.holders, host)
                add_held(host, task)
        else:
            state.to_free.setdefault(host, []).append((data.key, data.attempt))
    for key, attempt in message.attempts:
        # A session begins anew only after the old one counted as lost: everything it ran was placed elsewhere then, so
        # what it still runs is a duplicate.
        state.send(host, Withdraw(key, attempt, True))


def compare_tallies(
    state: SchedulerState, host: HostState, attempts: tuple[int, int], data: tuple[int, int], seen: int
) -> None:
    """Ask for an inventory if a host's beliefs differ from ours while nothing is under way between us."""
    # Something we sent isn't reflected in its numbers yet. This is why a difference is a bug and no race: both sides
    # speak of the same point of the session.
    if seen != host.sent:
        return
    ours_attempts = (len(host.assigned) + len(host.zombies), host.attempts_tally)
    if ours_attempts != attempts or (host.data_count, host.data_tally) != data:
        # The simulator fails on any; in a real cluster it is repaired and shown, since a stuck call would be worse.
        state.drift_repaired += 1
        state.send(host, ReportInventory())


def reconcile(state: SchedulerState, message: Inventory, source: PeerId) -> None:
    """Make our books agree with what a host really has."""
    host = state.host(source)
    if message.seen != host.sent:
        return  # something crossed on the way; the next heartbeat asks again if it is still needed
    # First what it has and shouldn't, then what it should have and hasn't, then the same for attempts: results that are
    # lost are recovered last, when no book names this host for them.
    has = {(data.key, data.attempt) for data in message.data}
    for data in message.data:
        if data.attempt < 0:
            continue  # placed data are announced by clients, maybe later
        task = state.tasks.get(data.key)
        if task is None or task.status is not FINISHED or task.attempt != data.attempt or host not in task.holders:
            state.to_free.setdefault(host, []).append((data.key, data.attempt))
    gone = [task for task in host.held if not task.placed and (task.key, task.attempt) not in has]
    lost = [task for task in gone if drop_holder(task, host)]
    runs = {attempt for _, attempt in message.attempts}
    for key, attempt in message.attempts:
        known = state.tasks.get(key)
        # Zombies are known: their Withdraw is on its way or being worked on.
        if attempt not in host.zombies and (known is None or known.attempt != attempt or known.host is not host):
            state.send(host, Withdraw(key, attempt, True))
    for attempt in [attempt for attempt in host.zombies if attempt not in runs]:
        bury(state, host, attempt)
    dropped = [task for task in host.assigned if task.attempt not in runs]
    for task in dropped:
        leave_host(state, task)
        start_again(state, task)
    recover(state, lost)
    refill(state, host)
