"""The plan of one simulated run: cluster, calls, what users do when, and what breaks when.

Plain data, so that it can be printed, replayed and shrunk; drawn by ``workload.py`` and ``faults.py``, or written
by hand.
"""

from __future__ import annotations

from typing import Final

import msgspec

from himalia.names import Key
from himalia.testing.calls import NORMAL, RAISES, UNWRITABLE, SimulatedCall
from himalia.testing.network import MODEL, REAL, Weather, Wires

SCHEDULER_NUMBER: Final = -1
"""Stands for the scheduler where others are hosts or clients."""


class HostPlan(msgspec.Struct, kw_only=True):
    """A host and its workers.  Its number in ``Plan.hosts`` is its name: ``host-<n>``."""

    workers: int = 1
    threads: int = 1
    resources: dict[str, float] = {}
    starts_at: float = 0.0
    machine: int = -1
    """Hosts (nannies) with one number share a machine; -1: alone on its own."""


class SimulatedTask(msgspec.Struct, kw_only=True):
    """One call and how its user submits it; inputs in ``call.inputs`` are the dependencies."""

    call: SimulatedCall
    group: str = "f"
    retries: int = 0
    priority: float = 0.0
    hosts: tuple[str, ...] = ()
    """Names of the hosts it is restricted to."""
    allow_other_workers: bool = False
    resources: dict[str, float] = {}
    has_large_call: bool = False
    """Its call is too large for a message: the client places it at a host first, and the task depends on it."""


class UserOp(msgspec.Struct, kw_only=True):
    """Something that a user does.

    ``submit`` the tasks of ``keys`` (whatever they depend on and this client holds no future of goes along), holding
    futures of those in ``held``; ``scatter`` each of ``keys``; ``reuse`` a name of one's own for another call or value
    (``count`` says what, ``force`` drops the future first), ``collide``: a name that all users use; ``release``,
    ``cancel`` (``force``), ``retry``, ``gather`` what it holds of ``keys``; ``hold`` futures of ``keys`` by name;
    ``forget`` functions; ``ask`` this and that (``count`` says what); ``run`` a function on all workers; ``restart``
    everything; ``replace`` one worker of host ``number`` (``count`` says which); ``scale`` host ``number`` to
    ``count`` workers; ``leave`` politely.
    """

    time: float
    client: int
    kind: str
    keys: tuple[Key, ...] = ()
    held: tuple[Key, ...] = ()
    force: bool = False
    number: int = 0
    count: int = 0


class Fault(msgspec.Struct, kw_only=True):
    """Something that breaks.

    ``kill_nanny`` (``back_after`` seconds a new incarnation starts), ``kill_worker``, ``kill_client``, ``cut`` and
    ``clog`` the link of a host or (``is_client``) client for ``seconds``, ``part`` two hosts from each other,
    ``spoil`` some data of a host on its disk, ``press``: its disk takes no more for ``seconds``, ``bloat`` a worker
    until its nanny ends it, ``leave``: a nanny is asked to end, ``stop_worker`` for ``seconds``, or for ever
    (``back_after`` 100), ``strand`` what a host that leaves is just giving to another, ``stall``: a process (the
    scheduler, if ``number`` is :data:`SCHEDULER_NUMBER`) neither reads nor writes for ``seconds``.
    """

    time: float
    kind: str
    number: int = 0
    other: int = 0
    seconds: float = 0.0
    is_client: bool = False
    back_after: float = 0.5


class Behaviour(msgspec.Struct, kw_only=True):
    """How simulated processes behave; seconds and probabilities."""

    worker_start: float = 0.05
    notice_exit: float = 0.01
    fetch: float = 0.005
    slow_fetch: float = 0.0
    """Probability that a fetch takes up to ``slow_fetch_seconds``."""
    slow_fetch_seconds: float = 1.0
    failed_fetch: float = 0.0
    """Probability that a fetch fails, though the other host is there."""
    failed_start: float = 0.0
    """Probability that a worker process can't be started."""
    lost_datagram: float = 0.0
    """Probability that a worker that dies had taken a call and not yet said so."""
    pieces: float = 0.0
    """Probability that a submission is sent in two pieces."""
    slow_begin: float = 0.0
    """Probability that a worker needs a while between taking a call and saying so."""
    keeps_inputs: float = 0.0
    """Probability that user code keeps an input after its call."""
    memory: int = 16_000_000
    """Bytes of results that a host may have in memory."""
    disk: int = 1_000_000_000
    """Bytes that fit on a host's disk."""
    clock_skew: float = 0.0
    """Seconds that the monotonic clocks of two processes may be apart."""


class Plan(msgspec.Struct, kw_only=True):
    """Everything that one seed decides, except the draws of delays while it runs."""

    seed: int
    hosts: list[HostPlan]
    clients: int = 1
    tasks: dict[Key, SimulatedTask] = {}
    """In submission order: dependencies before dependents."""
    placed: dict[Key, int] = {}
    """Scattered keys and their sizes."""
    ops: list[UserOp] = []
    faults: list[Fault] = []
    weather: Weather = msgspec.field(default_factory=Weather)
    behaviour: Behaviour = msgspec.field(default_factory=Behaviour)
    wires: Wires = MODEL
    """What carries messages: a model of it, or real endpoints."""
    settings: dict[str, float] = {}
    """What differs from :class:`himalia.settings.Settings`."""
    calm_at: float = 1.0
    """When the last fault strikes: from then on everything has to come to an end."""

    def is_peaceful(self) -> bool:
        """Whether there is nothing in it that could make a call run twice."""
        behaviour = self.behaviour
        return (
            # Each of these may run a call again, and rightly.
            not self.faults
            and not (behaviour.failed_fetch or behaviour.failed_start)
            and not (self.wires == REAL and self.weather.slow)  # then leases may end by themselves
            and all(task.call.nature in (NORMAL, RAISES, UNWRITABLE) for task in self.tasks.values())
            and all(op.kind not in ("cancel", "retry", "restart", "replace", "hold") for op in self.ops)
        )
