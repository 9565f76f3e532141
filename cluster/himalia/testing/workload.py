"""Draw what users do: a random graph, who submits which part of it when, and how they change their minds.

Swarm style: each seed first draws which features exist at all and how often they occur, so that some seeds are nearly
pure and others a mess.  It never draws what breaks (``faults.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from himalia.names import Key
from himalia.testing import calls
from himalia.testing.calls import SimulatedCall
from himalia.testing.plan import HostPlan, SimulatedTask, UserOp

SIZES = (8, 100, 1_000, 8_000, 33_000, 60_000)
"""Bytes; results over ``settings.inline_limit`` stay where they are.  A host has room for seven of the largest, or for
many, as drawn (``Behaviour.memory``)."""
DURATIONS = (0.0001, 0.001, 0.01, 0.05, 0.2)
"""Seconds."""


def maybe(random: Random, probability: float, most: float) -> float:
    """Draw the rate of a feature: 0 unless the feature exists in this seed."""
    return random.uniform(0.02, most) if random.random() < probability else 0.0


def draw_hosts(random: Random) -> list[HostPlan]:
    """Draw one to five hosts; some come late, some have resources, some share a machine."""
    count = random.choice((1, 1, 2, 2, 3, 3, 4, 5))
    has_resources = random.random() < 0.3
    late = maybe(random, 0.3, 0.7)
    hosts = [
        HostPlan(
            workers=random.choice((1, 1, 2, 3)),
            threads=random.choice((1, 1, 2)),
            resources={"GPU": float(random.choice((1, 2)))}
            # The first host always, or nobody could run what asks for them.
            if has_resources and (not n or random.random() < 0.5)
            else {},
            # Never the first: somebody has to be there.
            starts_at=random.uniform(0.0, 2.0) if n and random.random() < late else 0.0,
            machine=random.choice((-1, 0)),
        )
        for n in range(count)
    ]
    return hosts


class Workload:
    """A draw of tasks and of the operations of their users.

    Parameters
    ----------
    random : Random
        The stream of chance.
    hosts : sequence of HostPlan
        The cluster that restrictions may name.
    clients : int
        How many users there are.
    span : float
        Seconds within which they act.
    """

    def __init__(self, random: Random, hosts: Sequence[HostPlan], clients: int, span: float) -> None:
        self.random = random
        self.hosts = hosts
        self.clients = clients
        self.span = span
        self.tasks: dict[Key, SimulatedTask] = {}
        self.placed: dict[Key, int] = {}
        self.ops: list[UserOp] = []
        self._draw_rates()
        self._draw_placed()
        self._draw_tasks()
        self._draw_submissions()
        self._draw_changes_of_mind()
        # Stable: what was drawn for one moment happens in the order in which it was drawn.
        self.ops.sort(key=lambda op: op.time)

    def _draw_rates(self) -> None:
        random = self.random
        self.raises = maybe(random, 0.35, 0.15)
        self.flaky = maybe(random, 0.35, 0.3)
        self.poison = maybe(random, 0.25, 0.12)
        self.unwritable = maybe(random, 0.1, 0.1)
        self.endless = maybe(random, 0.15, 0.1)
        self.restricted = maybe(random, 0.25, 0.4)
        self.priorities = maybe(random, 0.3, 0.8)
        self.held = random.choice((0.0, 0.2, 0.5, 1.0))
        self.most_inputs = random.choice((1, 2, 3, 6))
        self.reach = random.choice((2, 5, 100))
        self.sizes = random.sample(SIZES, random.randint(1, 3))
        self.durations = random.sample(DURATIONS, random.randint(1, 3))
        self.groups = random.randint(1, 4)
        self.large_calls = maybe(random, 0.15, 0.3)

    def _draw_placed(self) -> None:
        if self.random.random() < 0.3:
            for n in range(self.random.randint(1, 4)):
                self.placed[Key(f"data-{n}")] = self.random.choice(self.sizes)

    def _draw_tasks(self) -> None:
        random = self.random
        names = list(self.placed)
        for n in range(random.randint(5, 40)):
            group = f"f{random.randrange(self.groups)}"
            key = Key(f"{group}-{n}")
            # A short reach draws chains, a long one whatever there is.
            near = names[-self.reach :]
            inputs = random.sample(near, min(len(near), random.randint(0, self.most_inputs)))
            nature, times = self._draw_nature()
            call = SimulatedCall(
                key, tuple(inputs), random.choice(self.durations), random.choice(self.sizes), nature, times
            )
            self.tasks[key] = self._draw_options(call, group)
            self.tasks[key].has_large_call = random.random() < self.large_calls
            # Last, so that a task needs only what stands before it.
            names.append(key)

    def _draw_nature(self) -> tuple[str, int]:
        random = self.random
        if random.random() < self.raises:
            return calls.RAISES, 0
        if random.random() < self.flaky:
            return calls.FLAKY, random.randint(1, 3)
        if random.random() < self.poison:
            return calls.POISON, random.choice((0, 1))
        if random.random() < self.unwritable:
            return calls.UNWRITABLE, 0
        if random.random() < self.endless:
            return calls.ENDLESS, 0
        return calls.NORMAL, 0

    def _draw_options(self, call: SimulatedCall, group: str) -> SimulatedTask:
        random = self.random
        task = SimulatedTask(call=call, group=group)
        if call.nature == calls.FLAKY:
            # Just enough, one too few, one too many: where counting goes wrong.
            task.retries = random.choice((0, call.times - 1, call.times, call.times, call.times + 1))
        elif call.nature == calls.RAISES:
            task.retries = random.choice((0, 0, 1, 3))
        if random.random() < self.priorities:
            task.priority = float(random.randint(-2, 2))
        if random.random() < self.restricted:
            count = random.randint(1, len(self.hosts))
            task.hosts = tuple(f"host-{n}" for n in sorted(random.sample(range(len(self.hosts)), count)))
            task.allow_other_workers = random.random() < 0.2
        elif self.hosts[0].resources and random.random() < 0.3:
            task.resources = {"GPU": 1.0}
        return task

    def _draw_submissions(self) -> None:
        random = self.random
        keys = list(self.tasks)
        for client in range(self.clients):
            for key in self.placed:
                if random.random() < 0.7:
                    self._add(random.uniform(0.0, 0.3), client, "scatter", (key,))
        pieces = random.randint(1, 5)
        # In pieces, since a graph that is submitted at once never meets one that is under way.
        bounds = sorted(random.sample(range(1, len(keys)), min(pieces - 1, len(keys) - 1)))
        time = 0.0
        for begin, end in zip([0, *bounds], [*bounds, len(keys)], strict=True):
            self._submit(time, random.randrange(self.clients), keys[begin:end])
            # At times in the same moment, which is another order than a little later.
            time += random.choice((0.0, random.uniform(0.0, self.span / pieces)))

    def _submit(self, time: float, client: int, keys: Sequence[Key]) -> None:
        used = {name for key in keys for name in self.tasks[key].call.inputs}
        # What nothing else needs is held: nobody would ever see it otherwise.
        held = tuple(key for key in keys if key not in used or self.random.random() < self.held)
        self._add(time, client, "submit", tuple(keys), held)

    def _draw_changes_of_mind(self) -> None:
        random = self.random
        keys = list(self.tasks) + list(self.placed)
        tasks = list(self.tasks)
        for kind, probability, most in (
            ("release", 0.5, 10),
            ("cancel", 0.4, 4),
            ("submit", 0.5, 8),
            ("retry", 0.3, 5),
            ("gather", 0.5, 10),
            ("scale", 0.4, 5),
            ("hold", 0.2, 3),
            ("forget", 0.2, 3),
            ("ask", 0.3, 6),
            ("run", 0.1, 2),
            ("restart", 0.04, 2),
            ("replace", 0.2, 3),
            ("reuse", 0.4, 16),
            ("collide", 0.25, 16),
        ):
            for _ in range(random.randint(1, most) if random.random() < probability else 0):
                client, time = random.randrange(self.clients), random.uniform(0.0, self.span)
                some = tuple(random.sample(keys, random.randint(1, min(4, len(keys)))))
                if kind == "submit":
                    self._submit(time, client, [key for key in tasks if key in some] or [random.choice(tasks)])
                else:
                    self.ops.append(
                        UserOp(
                            time=time,
                            client=client,
                            kind=kind,
                            keys=some,
                            force=random.random() < {"cancel": 0.3, "reuse": 0.8, "collide": 0.5}.get(kind, 0.0),
                            number=random.randrange(len(self.hosts)),
                            count=random.randint(1, 3) if kind == "scale" else random.randrange(12),
                        )
                    )

    def _add(self, time: float, client: int, kind: str, keys: tuple[Key, ...], held: tuple[Key, ...] = ()) -> None:
        self.ops.append(UserOp(time=time, client=client, kind=kind, keys=keys, held=held))
