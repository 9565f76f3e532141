"""The simulated network keeps what a session promises, whatever the weather."""

from __future__ import annotations

from typing import Any

import pytest

from himalia.messages.answers import Reply
from himalia.names import PeerId
from himalia.testing.model_network import End, ModelNetwork
from himalia.testing.network import Weather
from himalia.testing.world import World


class Recorder:
    """An owner of links that writes down what it hears."""

    def __init__(self, me: str, role: str) -> None:
        self.me = PeerId(me)
        self.role = role
        self.is_alive = True
        self.heard: list[Any] = []

    def peer_joined(self, peer: PeerId, role: str) -> None:
        """Write it down."""
        self.heard.append(("joined", peer, role))

    def messages_received(self, peer: PeerId, messages: list[Any]) -> None:
        """Write them down."""
        self.heard += [message.request for message in messages]

    def peer_left(self, peer: PeerId, reason: str) -> None:
        """Write it down."""
        self.heard.append(("left", peer))


def connect(world: World, weather: Weather, lease: float = 5.0) -> tuple[Recorder, Recorder, End]:
    """Return two owners and the dialing end between them."""
    dialer, listener = Recorder("nanny-1", "nanny"), Recorder("scheduler", "scheduler")
    network = ModelNetwork(world, weather, {"nanny": (Reply, Reply)})
    network.enter(listener)
    comm = network.enter(dialer)
    comm.connect(PeerId("scheduler"), lease)
    return dialer, listener, comm.ends[PeerId("scheduler")]


@pytest.mark.parametrize("seed", range(100))
def test_all_messages_arrive_once_and_in_order_through_cuts_and_duplicates(seed: int) -> None:
    """Both directions."""
    world = World(seed)
    random = world.chance("test")
    dialer, listener, end = connect(world, Weather(slow=0.2, duplicate=0.3, notice=0.5))
    for number in range(200):
        world.call_at(random.uniform(0.0, 5.0), lambda: None)
        world.call_at(1.0 + number * 0.01, end.send, Reply(number))
        world.call_at(1.0 + number * 0.01, lambda n=number: end.other.send(Reply(n)))
    for _ in range(10):
        world.call_at(random.uniform(0.0, 4.0), end.line.cut, random.uniform(0.0, 0.5))
    world.run(until=30.0)
    assert listener.heard == [("joined", "nanny-1", "nanny"), *range(200)]
    assert dialer.heard == [("joined", "scheduler", "scheduler"), *range(200)]


def test_both_sides_learn_when_the_lease_runs_out() -> None:
    """And the dialing side is refused if it comes too late."""
    world = World(1)
    dialer, listener, end = connect(world, Weather(), lease=1.0)
    world.call_at(1.0, end.line.cut, 1.5)
    world.run(until=10.0)
    assert listener.heard[-1] == ("left", "nanny-1")
    assert dialer.heard[-1] == ("left", "scheduler")


def test_a_goodbye_comes_after_what_was_said_before() -> None:
    """The other side learns at once."""
    world = World(1)
    _, listener, end = connect(world, Weather())
    world.run(until=1.0)
    end.send(Reply(1))
    end.line.say_goodbye(end, "bye")
    world.run(until=1.1)
    assert listener.heard == [("joined", "nanny-1", "nanny"), 1, ("left", "nanny-1")]
