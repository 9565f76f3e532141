"""Getting inputs from other hosts: whom to ask, whom to ask next, and when to give up.

A key is fetched once however many tasks wait for it.  What arrives is kept and announced, wanted or not: the scheduler
frees what nobody needs.  When no holder is left to be asked, the tasks that wait are given back with the list of those
that did not have it.
"""

from __future__ import annotations

from himalia.messages.parts import Dependency, HostsChanged
from himalia.names import PeerId, is_good_for
from himalia.nanny.events import DataFetched, Fetch
from himalia.nanny.holding import keep
from himalia.nanny.runs import fail, give_back, make_ready
from himalia.nanny.state import NannyFetch, NannyState
from himalia.nanny.tasks import WAITING, NannyTask, move


def fetch_inputs(state: NannyState, task: NannyTask) -> None:
    """Ask for the inputs of a new task that aren't here; it becomes WAITING if there are such."""
    data = state.held.newest
    # All that is missing first, then the questions: a first question may end at once in "nobody has it", and the task
    # is given back, with the rest never asked for.
    missing = []
    for dependency in task.compute.dependencies:
        held = data.get(dependency.key)
        if held is None or held[0] != dependency.attempt:  # mostly it is the one in front
            if state.held.find_good(dependency.key, dependency.attempt) is None:
                missing.append(dependency)
    if not missing:
        return
    move(task, WAITING)
    task.waiting_since = state.now
    for dependency in missing:
        fetch = fetch_of(state, dependency)
        if task.key not in fetch.waiters:
            fetch.waiters[task.key] = task
            task.missing += 1
    for dependency in missing:
        asked = state.fetches.get(dependency.key)
        if asked is None or asked.host is not None:
            continue
        if task.status is WAITING:
            ask_next(state, asked)
        elif not asked.waiters:  # another input can't be had, so this one isn't needed
            del state.fetches[dependency.key]


def fetch_of(state: NannyState, dependency: Dependency) -> NannyFetch:
    """Return the fetch of a key, with the holders that ``dependency`` names added to it."""
    # By key, not by attempt: of two attempts of a pure call either will do, and the store keeps one in front.
    fetch = state.fetches.get(dependency.key)
    if fetch is None:
        fetch = state.fetches[dependency.key] = NannyFetch(dependency.key, dependency.attempt)
    # The newer need wins: what is good for it is good for the older one, too.
    if fetch.attempt != dependency.attempt and not is_good_for(fetch.attempt, dependency.attempt):
        fetch.attempt = dependency.attempt
    for host in dependency.holders:
        # One that failed before may be asked again: it is named again because the scheduler heard that it has the
        # value.
        if host != fetch.host and host not in fetch.holders:
            fetch.holders.append(host)
    return fetch


def ask_next(state: NannyState, fetch: NannyFetch) -> None:
    """Ask the next holder, or give up."""
    if fetch.host is not None:
        # Who was asked and is no longer waited for has failed us, whatever it says later.
        fetch.tried.append(fetch.host)
        fetch.host = None
    while fetch.holders:
        host = fetch.holders.pop(0)
        # The scheduler may name a host that we haven't been introduced to, or that left; and ourselves, when it
        # believes in a copy that is gone.
        if host in state.hosts and host != state.info.host:
            fetch.host = host
            fetch.asked_at = state.now
            # Asked at the end of the event: a call with a thousand inputs at one host is one request.
            state.fetch_batches.setdefault(host, []).append(fetch.key)
            return
        fetch.tried.append(host)
    give_up(state, fetch)


def give_up(state: NannyState, fetch: NannyFetch) -> None:
    """Give back all tasks that wait for a key that could not be had."""
    del state.fetches[fetch.key]
    tried = fetch.tried or [state.info.host]  # no holder was named: the scheduler believes that it is here
    missing = [(fetch.key, fetch.attempt, host) for host in tried]
    # forget_waiter() takes them out of what is walked.
    for task in list(fetch.waiters.values()):
        forget_waiter(state, task)
        give_back(state, task, missing)


def ask_hosts(state: NannyState) -> None:
    """Turn what an event asks for into one request per host."""
    batches, state.fetch_batches = state.fetch_batches, {}
    for host, keys in batches.items():
        info = state.hosts.get(host)
        if info is not None:
            state.out.append(Fetch(info, [(key, state.fetches[key].attempt) for key in keys if key in state.fetches]))


def data_fetched(state: NannyState, event: DataFetched, source: PeerId) -> None:
    """Keep and announce what arrived, or ask somebody else."""
    fetch = state.fetches.get(event.key)
    held = event.held
    if held is not None:
        # Even if nobody waits any more: it is in the store now, and only what the scheduler knows of is ever freed.
        keep(state, held.key, held.attempt, held.nbytes)
    if fetch is None:
        return
    if event.is_full and event.host == fetch.host:  # it is this host that has no room: no other holder could help
        fail_waiters(state, fetch, event.reason)
        return
    if held is None or not is_good_for(held.attempt, fetch.attempt):
        if event.host == fetch.host:  # else it is late word of a host that was given up: the next one is asked already
            ask_next(state, fetch)
        return
    del state.fetches[event.key]
    for task in fetch.waiters.values():
        task.moved += held.nbytes
        input_arrived(state, task)


def fail_waiters(state: NannyState, fetch: NannyFetch, reason: str) -> None:
    """Fail all tasks that wait for a key for which there will be no room; its holders still have it."""
    del state.fetches[fetch.key]
    for task in list(fetch.waiters.values()):
        forget_waiter(state, task)
        fail(state, task, reason)


def input_arrived(state: NannyState, task: NannyTask) -> None:
    """Count an input that is here now."""
    task.missing -= 1
    if task.missing == 0:
        task.transfer += state.now - task.waiting_since
        task.waiting_since = 0.0
        make_ready(state, task)


def forget_waiter(state: NannyState, task: NannyTask) -> None:
    """Let no fetch call a task any more that isn't WAITING from now on."""
    for dependency in task.compute.dependencies:
        fetch = state.fetches.get(dependency.key)
        if fetch is not None and fetch.waiters.get(task.key) is task:
            del fetch.waiters[task.key]
    task.missing = 0


def hosts_changed(state: NannyState, message: HostsChanged, source: PeerId) -> None:
    """Note who can be asked; whoever was asked and left is not waited for."""
    # Joined before left: a host that restarted is both, under two ids.
    for info in message.joined:
        state.hosts[info.host] = info
    for host in message.left:
        state.hosts.pop(host, None)
    left = frozenset(message.left)
    if left:
        # Its connection may hang for minutes before it breaks; the scheduler's word comes first.
        for fetch in [fetch for fetch in state.fetches.values() if fetch.host in left]:
            ask_next(state, fetch)
