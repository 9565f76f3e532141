"""How many workers a host shall have: a client's wish goes to one nanny, and is remembered for its successor.

Decides which host is meant, and when the wish is told again.  Who begins and ends processes for it: the nanny's
``workforce.py``; its answer is collected in ``forwarding.py``.
"""

from __future__ import annotations

from typing import Final

from himalia.messages.answers import Reply, Scaled
from himalia.messages.client import Scale
from himalia.scheduler.state import ClientState, HostState, SchedulerState

UNASKED: Final = 0
"""Number of a request of our own, whose answer nobody waits for; those of clients begin at 1."""


def scale(state: SchedulerState, client: ClientState, message: Scale) -> None:
    """Forward how many workers there shall be to the one host it is for, or keep it for one that is being replaced."""
    hosts = [host for host in state.hosts.values() if message.host in (None, host.id)]
    # The only nanny is being replaced, by a keeper that takes seconds: kept for the one that comes back under its name.
    if not state.hosts and message.host is None and state.last_left is not None and state.last_left[0]:
        state.scaled[state.last_left[0]] = message.workers
        state.send(client, Reply(message.request, Scaled()))
        return
    if len(hosts) != 1:
        why = f"{len(hosts)} hosts match; name the one to scale" if hosts else "that host is not on this cluster"
        state.send(client, Reply(message.request, error=why))
        return
    number, question = state.questions.open(client.id, message.request, Scaled([], {}))
    question.waiting[hosts[0].id] = []
    if hosts[0].info.name:
        state.scaled[hosts[0].info.name] = message.workers
    state.send(hosts[0], Scale(number, message.workers, hosts[0].id))


def scale_again(state: SchedulerState, host: HostState) -> None:
    """Tell a nanny that registers how many workers were wished for under its name."""
    # One that is started again begins with what its configuration says; how many workers there were to be since then
    # only the scheduler knows.
    count = state.scaled.get(host.info.name)
    if count is not None:
        state.send(host, Scale(UNASKED, count, host.id))
