"""Sessions over memory wires, at times that the test decides: cuts, silence, leases."""

from __future__ import annotations

import random
from typing import Any

import pytest

from himalia.comm.link import LINGER
from himalia.comm.security import Credentials
from himalia.errors import HandshakeError, UnreachableError, UsageError
from himalia.messages.answers import Reply
from himalia.messages.client import ReleaseKeys
from himalia.names import SCHEDULER, Key, PeerId
from himalia.settings import DEFAULT
from himalia.testing.builders import make_reply
from himalia.testing.clock import HandLoop
from himalia.testing.wire import MemoryWires
from tests.unit.comm.stage import CREDENTIALS, Node, impatient

LOOPBACK = "tcp://127.0.0.1:1"
ELSEWHERE = "tls://scheduler.example:1"


def release(number: int) -> ReleaseKeys:
    return ReleaseKeys([Key(str(number))])


class Pair:
    """A scheduler and a peer that has a session with it."""

    def __init__(self, role: str, address: str, *, chance: random.Random | None = None, **lease: float) -> None:
        self.loop = HandLoop()
        chunk = (lambda: chance.randrange(1, 3000)) if chance is not None else (lambda: 65536)
        self.wires = MemoryWires(self.loop, chunk=chunk)
        shared: dict[str, Any] = {"clock": self.loop, "wires": self.wires}
        self.scheduler = Node("scheduler", settings=impatient(**lease), **shared)
        self.peer = Node(role, **shared)
        self.loop.run(self.scheduler.listen(address))
        self.loop.run(self.peer.connect(address))
        self.loop.settle()
        assert self.scheduler.joined == [(self.peer.me, role)]

    def close(self) -> None:
        for node in (self.peer, self.scheduler):
            self.loop.run(node.endpoint.close())


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_lost_wherever_the_connection_breaks(seed: int) -> None:
    chance = random.Random(seed)
    pair = Pair("client", LOOPBACK, chance=chance)
    count = 2000
    for number in range(count):
        pair.peer.endpoint.send(SCHEDULER, release(number))
        pair.scheduler.endpoint.send(pair.peer.me, make_reply(number, chance.randrange(200)))
        if number % 100 == 0:
            pair.wires.budget = chance.randrange(20_000)
            pair.loop.advance(chance.random() * 0.2)
    pair.wires.budget = 10**12
    pair.loop.advance(1.0)
    assert pair.scheduler.got == [release(number) for number in range(count)]
    assert [reply.request for reply in pair.peer.got] == list(range(count))
    assert pair.wires.connections > 3
    assert (pair.scheduler.left, pair.peer.left) == ([], [])
    assert len(pair.scheduler.joined) == len(pair.peer.joined) == 1
    pair.close()


def test_how_a_session_stands_is_known_when_its_peer_is_silent_and_when_it_is_cut_off() -> None:
    pair = Pair("client", LOOPBACK)
    pair.loop.advance(0.3)
    contact = pair.peer.endpoint.contact(SCHEDULER)
    assert contact is not None
    assert contact.silent == pytest.approx(0.3)
    assert (contact.lost, contact.lease) == (-1.0, DEFAULT.client_lease)
    pair.wires.reachable = False
    pair.wires.cut()
    pair.loop.advance(7.0)
    contact = pair.peer.endpoint.contact(SCHEDULER)
    assert contact is not None
    assert contact.silent == pytest.approx(7.3)
    assert contact.lost == pytest.approx(7.0)
    assert contact.why
    pair.close()
    assert Node("client").endpoint.contact(SCHEDULER) is None


@pytest.mark.parametrize(
    ("role", "address", "lease"),
    [
        ("client", LOOPBACK, DEFAULT.client_lease),
        ("client", ELSEWHERE, DEFAULT.client_lease),
        ("nanny", LOOPBACK, DEFAULT.loopback_lease),
        ("nanny", ELSEWHERE, DEFAULT.host_lease),
        ("nanny", "unix:///run/s", DEFAULT.local_lease),
    ],
)
def test_both_sides_give_up_when_the_lease_is_over_and_not_before(role: str, address: str, lease: float) -> None:
    pair = Pair(role, address)
    pair.wires.reachable = False
    pair.wires.cut()
    pair.loop.advance(lease - 0.1)
    assert (pair.scheduler.left, pair.peer.left) == ([], [])
    pair.loop.advance(1.0)
    ((peer, why),) = pair.scheduler.left
    assert peer == pair.peer.me
    assert why.startswith(f"no connection for {lease:g} s: ")
    ((peer, why),) = pair.peer.left
    assert peer == SCHEDULER
    assert f"did not come back: nobody answered at {address}" in why
    pair.close()


def test_a_peer_that_comes_back_within_its_lease_was_never_away() -> None:
    pair = Pair("nanny", ELSEWHERE)
    pair.wires.reachable = False
    pair.wires.cut()
    pair.loop.settle()
    pair.peer.endpoint.send(SCHEDULER, Reply(1))
    pair.loop.advance(DEFAULT.host_lease - 1.0)
    pair.wires.reachable = True
    pair.loop.advance(5.0)
    assert pair.scheduler.got == [Reply(1)]
    assert (pair.scheduler.left, pair.peer.left) == ([], [])
    pair.close()


def test_a_dialer_learns_that_the_listener_forgot_it() -> None:
    pair = Pair("client", LOOPBACK, client_lease=30.0)
    pair.wires.reachable = False
    pair.wires.cut()
    pair.loop.advance(31.0)
    assert pair.scheduler.left
    assert not pair.peer.left
    pair.wires.reachable = True
    pair.loop.advance(1.0)
    assert "the session is over" in pair.peer.left[0][1]
    pair.close()


def test_a_silent_connection_is_cut_and_comes_back() -> None:
    pair = Pair("nanny", ELSEWHERE)
    pair.loop.advance(10 * DEFAULT.host_lease)  # keepalives keep it
    assert pair.wires.connections == 1
    pair.wires.stall()
    pair.loop.advance(DEFAULT.host_lease / 2 - 6.0)
    assert pair.peer.endpoint.is_connected(SCHEDULER)
    pair.loop.advance(7.0)
    assert not pair.peer.endpoint.is_connected(SCHEDULER)
    assert not pair.scheduler.endpoint.is_connected(pair.peer.me)
    pair.wires.flow()
    pair.peer.endpoint.send(SCHEDULER, Reply(7))
    pair.loop.advance(1.0)
    assert pair.scheduler.got == [Reply(7)]
    assert pair.wires.connections == 2
    assert (pair.scheduler.left, pair.peer.left) == ([], [])
    pair.close()


def test_on_loopback_and_for_a_client_silence_says_nothing() -> None:
    for pair in (Pair("nanny", LOOPBACK), Pair("client", ELSEWHERE)):
        pair.wires.stall()
        pair.loop.advance(600.0)
        assert pair.peer.endpoint.is_connected(SCHEDULER)
        assert (pair.scheduler.left, pair.peer.left) == ([], [])
        pair.wires.flow()
        pair.close()


def test_time_during_which_this_process_stood_still_counts_against_nobody() -> None:
    pair = Pair("nanny", ELSEWHERE)
    pair.loop.now += 1000.0  # and no timer ran meanwhile
    pair.loop.advance(1.0)
    assert pair.wires.connections == 1
    pair.wires.reachable = False
    pair.wires.cut()
    pair.loop.settle()
    pair.loop.now += 1000.0
    pair.wires.reachable = True
    pair.loop.advance(1.0)
    assert pair.scheduler.left == []
    pair.close()


def test_time_during_which_this_process_stood_still_excuses_no_silence_afterwards() -> None:
    pair = Pair("nanny", ELSEWHERE)
    pair.peer.endpoint.send(SCHEDULER, Reply(1))
    pair.loop.settle()
    assert pair.scheduler.got == [Reply(1)]
    pair.wires.stall()
    pair.loop.now += 1000.0
    pair.loop.advance(DEFAULT.host_lease / 2 + 1.0)
    assert not pair.scheduler.endpoint.is_connected(pair.peer.me)
    pair.wires.flow()
    pair.close()


def test_a_connection_that_broke_while_this_process_stood_still_gets_one_lease_from_now_on() -> None:
    pair = Pair("nanny", ELSEWHERE)
    pair.wires.reachable = False
    pair.loop.now += 1000.0
    pair.wires.cut()  # it learns of that first, and only then how late it is
    pair.loop.advance(DEFAULT.host_lease - 1.0)
    assert pair.scheduler.left == []
    pair.loop.advance(2.0)
    assert len(pair.scheduler.left) == 1
    pair.close()


def test_what_is_owed_is_acknowledged_although_nothing_else_is_said() -> None:
    pair = Pair("client", LOOPBACK)
    pair.peer.endpoint.send(SCHEDULER, release(1))
    pair.loop.settle()
    assert pair.peer.endpoint.backlog(SCHEDULER) > 0
    pair.loop.advance(0.5)
    assert pair.peer.endpoint.backlog(SCHEDULER) == 0
    pair.close()


def test_a_goodbye_that_nobody_takes_is_waited_for_a_short_while() -> None:
    pair = Pair("client", LOOPBACK)
    pair.wires.stall()
    before = pair.loop.now
    pair.loop.run(pair.peer.endpoint.close())
    assert LINGER <= pair.loop.now - before < LINGER + 1.0
    assert not pair.scheduler.left
    pair.wires.flow()
    pair.loop.run(pair.scheduler.endpoint.close())


def test_a_peer_that_does_not_read_keeps_messages_waiting_unencoded() -> None:
    pair = Pair("client", LOOPBACK)
    pair.wires.stall()
    for number in range(300):
        pair.scheduler.endpoint.send(PeerId("client-1"), make_reply(number, 100_000))
    pair.loop.settle()
    assert pair.scheduler.endpoint.backlog(PeerId("client-1")) < 15_000_000
    pair.wires.flow()
    pair.loop.settle()
    assert [reply.request for reply in pair.peer.got] == list(range(300))
    pair.close()


class Choice:
    """A peer, and listeners at ``tcp://127.0.0.1:1``, ``:2`` …: each lets it in, refuses it, or isn't there."""

    def __init__(self, *listeners: str) -> None:
        self.loop = HandLoop()
        self.wires = MemoryWires(self.loop)
        shared: dict[str, Any] = {"clock": self.loop, "wires": self.wires}
        self.peer = Node("client", **shared)
        self.addresses = [f"tcp://127.0.0.1:{number}" for number in range(1, len(listeners) + 1)]
        for address, kind in zip(self.addresses, listeners, strict=True):
            if kind != "nobody":
                credentials = {"friend": CREDENTIALS, "stranger": Credentials("c1", b"x" * 32)}[kind]
                self.loop.run(Node("scheduler", credentials=credentials, **shared).listen(address))

    def connect(self, timeout: float = 6.0) -> str:
        return self.loop.run(self.peer.endpoint.connect_any(self.addresses, alias=SCHEDULER, timeout=timeout))


def test_the_first_address_that_answers_is_taken() -> None:
    assert Choice("friend", "friend").connect() == "tcp://127.0.0.1:1"
    assert Choice("nobody", "stranger", "friend").connect() == "tcp://127.0.0.1:3"


def test_addresses_share_the_time_and_leave_what_they_did_not_need() -> None:
    choice = Choice("stranger", "nobody", "nobody")
    with pytest.raises(HandshakeError):
        choice.connect(6.0)
    assert choice.loop.now == pytest.approx(6.0, abs=0.2)
    with pytest.raises(UnreachableError, match=r"127.0.0.1:1 within 0\.1 s.*127.0.0.1:2 within 0\.1 s"):
        Choice("nobody", "nobody").connect(0.0)


def test_if_no_address_leads_there_the_error_says_of_each_why() -> None:
    with pytest.raises(HandshakeError) as refused:
        Choice("nobody", "stranger").connect()
    assert str(refused.value).startswith("none of the 2 addresses of the scheduler lets us in: nobody answered at ")
    assert "; tcp://127.0.0.1:2 refused: the listener has another secret than this cluster's." in str(refused.value)
    with pytest.raises(UnreachableError, match=r"^nobody answered at tcp://127.0.0.1:1 within 6 s"):
        Choice("nobody").connect()
    with pytest.raises(UnreachableError, match="no address of the scheduler"):
        Choice().connect()


def test_an_address_that_can_t_be_used_is_no_reason_to_look_further() -> None:
    choice = Choice("friend")
    choice.addresses = ["tcp:/node7", *choice.addresses]
    with pytest.raises(UsageError, match="is no address"):
        choice.connect()
