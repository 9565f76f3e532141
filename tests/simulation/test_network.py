"""Both simulated networks keep what a session promises, whatever the weather."""

from __future__ import annotations

from typing import Any

import pytest

from himalia.messages.answers import Reply
from himalia.names import SCHEDULER, PeerId
from himalia.settings import Settings
from himalia.testing.model_network import ModelNetwork
from himalia.testing.network import MODEL, REAL, Comm, Network, Weather, Wires
from himalia.testing.real_network import RealNetwork
from himalia.testing.world import World

BOTH = pytest.mark.parametrize("wires", [MODEL, REAL])


class Recorder:
    """An owner of sessions that writes down what it hears."""

    comm: Comm

    def __init__(self, me: str, role: str) -> None:
        self.me = PeerId(me)
        self.role = role
        self.is_alive = True
        self.heard: list[Any] = []

    def peer_joined(self, peer: PeerId, role: str) -> None:
        self.heard.append(("joined", peer, role))

    def messages_received(self, peer: PeerId, messages: list[Any]) -> None:
        self.heard += [message.request for message in messages]

    def peer_left(self, peer: PeerId, reason: str) -> None:
        self.heard.append(("left", peer))


class Pair:
    """A scheduler and a nanny on a network."""

    def __init__(self, world: World, wires: Wires, weather: Weather, lease: float = 30.0) -> None:
        unions = {"nanny": (Reply, Reply)}
        settings = Settings(host_lease=lease, local_lease=lease, loopback_lease=lease)
        self.network: Network = (
            RealNetwork(world, weather, unions, settings) if wires == REAL else ModelNetwork(world, weather, unions)
        )
        self.scheduler, self.nanny = Recorder("scheduler", "scheduler"), Recorder("nanny-1", "nanny")
        for owner in (self.scheduler, self.nanny):
            owner.comm = self.network.enter(owner)
        self.nanny.comm.connect(SCHEDULER, lease)

    def cut(self, seconds: float) -> None:
        for line in self.network.lines(self.nanny):
            line.cut(seconds)


@BOTH
@pytest.mark.parametrize("seed", range(50))
def test_all_messages_arrive_once_and_in_order_through_cuts_and_duplicates(seed: int, wires: Wires) -> None:
    """Both directions."""
    world = World(seed)
    random = world.chance("test")
    pair = Pair(world, wires, Weather(slow=0.2, slow_latency=0.1, duplicate=0.3, notice=0.5))
    for number in range(200):
        world.call_at(1.0 + number * 0.01, pair.nanny.comm.send, SCHEDULER, Reply(number))
        world.call_at(1.0 + number * 0.01, pair.scheduler.comm.send, pair.nanny.me, Reply(number))
    for _ in range(10):
        world.call_at(random.uniform(1.0, 4.0), pair.cut, random.uniform(0.0, 0.3))
    world.run(until=60.0)
    assert pair.scheduler.heard == [("joined", "nanny-1", "nanny"), *range(200)]
    assert pair.nanny.heard == [("joined", "scheduler", "scheduler"), *range(200)]
    pair.network.end()


@BOTH
def test_both_sides_learn_when_the_lease_runs_out(wires: Wires) -> None:
    """And the dialing side is refused if it comes too late."""
    world = World(1)
    pair = Pair(world, wires, Weather(), lease=1.0)
    world.call_at(1.0, pair.cut, 2.5)
    world.run(until=10.0)
    assert pair.scheduler.heard[-1] == ("left", "nanny-1")
    assert pair.nanny.heard[-1] == ("left", "scheduler")
    pair.network.end()


@BOTH
def test_a_goodbye_comes_after_what_was_said_before(wires: Wires) -> None:
    """The other side learns at once."""
    world = World(1)
    pair = Pair(world, wires, Weather())
    world.run(until=1.0)
    pair.nanny.comm.send(SCHEDULER, Reply(1))
    pair.nanny.comm.disconnect(SCHEDULER, "bye")
    world.run(until=1.1)
    assert pair.scheduler.heard == [("joined", "nanny-1", "nanny"), 1, ("left", "nanny-1")]
    pair.network.end()
