"""Handshakes, both sides in one process without a socket."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from himalia.comm.handshake import (
    HANDSHAKE_TIMEOUT,
    DialerHandshake,
    Greeting,
    ListenerHandshake,
    Peer,
    Refused,
)
from himalia.comm.introduction import (
    MAGIC,
    MAX_HANDSHAKE,
    Challenge,
    Hello,
    Proof,
    Refusal,
    Welcome,
    frame,
)
from himalia.comm.security import Credentials
from himalia.errors import HandshakeError
from himalia.messages.parts import PROTOCOL
from himalia.names import PeerId

CREDENTIALS = Credentials("c1", b"s" * 32)
CLIENT = Greeting(role="client", incarnation=PeerId("client-1"), version="1.0", session="s1", resume=True, received=7)
SCHEDULER = Greeting(role="scheduler", incarnation=PeerId("scheduler-1"), version="1.1")


def dialer(
    greeting: Greeting = CLIENT, credentials: Credentials = CREDENTIALS, fingerprint: str = "", role: str = "scheduler"
) -> DialerHandshake:
    return DialerHandshake(greeting, credentials, (role,), "tcp://here:1", fingerprint)


def listener(
    greeting: Greeting = SCHEDULER,
    credentials: Credentials = CREDENTIALS,
    fingerprint: str = "",
    welcome: Callable[[Peer], Welcome] = lambda _: Welcome(42),
) -> ListenerHandshake:
    return ListenerHandshake(greeting, credentials, ("client", "nanny"), "10.0.0.9:5", fingerprint, welcome)


def converse(d: DialerHandshake, a: ListenerHandshake, step: int = 10_000) -> None:
    """Let the two speak until nothing is left to say, ``step`` bytes at a time."""
    to_listener, to_dialer = d.start(), b""
    while to_listener or to_dialer:
        part, to_listener = to_listener[:step], to_listener[step:]
        to_dialer += a.receive(part) if part else b""
        part, to_dialer = to_dialer[:step], to_dialer[step:]
        to_listener += d.receive(part) if part else b""


def refusals(d: DialerHandshake, a: ListenerHandshake) -> tuple[str, str]:
    """Return what (dialer, listener) raise when one of them refuses and the other hears of it."""
    side: Any = a
    other: Any = d
    data = d.start()
    while True:
        try:
            data = side.receive(data)
        except Refused as refused:
            with pytest.raises(HandshakeError) as told:
                other.receive(refused.reply)
            texts = str(refused), str(told.value)
            return texts if side is d else (texts[1], texts[0])
        assert data, "nobody refused"
        side, other = other, side


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_both_sides_know_each_other_afterwards(step: int) -> None:
    d, a = dialer(), listener()
    converse(d, a, step)
    assert a.peer == Peer(
        role="client", incarnation=PeerId("client-1"), version="1.0", session="s1", resume=True, received=7
    )
    assert d.peer == Peer(role="scheduler", incarnation=PeerId("scheduler-1"), version="1.1", session="s1", received=42)


def test_what_follows_the_welcome_is_kept_for_the_next_protocol() -> None:
    d, a = dialer(), listener()
    welcome = a.receive(d.receive(a.receive(d.start())))
    assert d.receive(welcome + b"first frame") == b""
    assert d.leftover == b"first frame"


def test_a_wrong_secret_is_refused_by_both_and_says_where_the_right_one_is() -> None:
    other = dataclasses.replace(CREDENTIALS, secret=b"t" * 32)
    for text in refusals(dialer(credentials=other), listener()):
        assert "has another secret than this cluster's" in text
        assert "--cluster-file or HIMALIA_CLUSTER_FILE" in text


def test_the_listener_does_not_trust_a_dialer_that_skips_its_own_check() -> None:
    d, a = dialer(credentials=dataclasses.replace(CREDENTIALS, secret=b"")), listener()
    with pytest.raises(Refused, match="the caller has another secret"):
        a.receive(d.receive(a.receive(d.start())))
    assert a.peer is None


def test_the_dialer_does_not_trust_a_listener_without_the_secret() -> None:
    d, a = dialer(), listener(credentials=dataclasses.replace(CREDENTIALS, secret=b""))
    with pytest.raises(Refused, match="the listener has another secret"):
        d.receive(a.receive(d.start()))
    assert d.peer is None


def test_without_secrets_on_both_sides_nothing_is_asked() -> None:
    nothing = Credentials("c1", b"")
    d, a = dialer(credentials=nothing), listener(credentials=nothing)
    converse(d, a)
    assert d.peer is not None
    assert a.peer is not None


def test_another_cluster_is_refused_with_both_ids() -> None:
    for text in refusals(dialer(credentials=Credentials("c2", b"s" * 32)), listener()):
        assert "wrong cluster: one side is of c1, the other of c2" in text


def test_another_protocol_is_refused_with_both_versions() -> None:
    hello = Hello(PROTOCOL + 1, "9.9", "client", "c1", "client-1", b"n" * 32, "", False, 0)
    with pytest.raises(
        Refused, match=rf"himalia 9.9 speaks protocol {PROTOCOL + 1}, himalia 1.1 speaks protocol {PROTOCOL};"
    ):
        listener().receive(frame(hello))


def test_a_listener_with_another_protocol_is_refused_too() -> None:
    d = dialer()
    d.start()
    with pytest.raises(Refused, match=r"himalia 0\.1 speaks protocol 0"):
        d.receive(frame(Challenge(0, "0.1", "scheduler", "c1", "s", b"n" * 32, b"")))


def test_a_role_that_has_no_business_there_is_refused() -> None:
    for text in refusals(dialer(dataclasses.replace(CLIENT, role="data-client")), listener()):
        assert "a data-client has no business here" in text


def test_a_listener_of_an_unexpected_role_is_refused() -> None:
    for text in refusals(dialer(role="nanny"), listener()):
        assert "a scheduler listens there, expected nanny" in text


def test_another_certificate_than_the_one_shown_breaks_the_proof() -> None:
    for text in refusals(dialer(fingerprint="aa"), listener(fingerprint="bb")):
        assert "has another secret" in text


def test_the_owner_of_a_listener_can_refuse() -> None:
    def refuse(_: Peer) -> Welcome:
        raise HandshakeError("the session is over")

    for text in refusals(dialer(), listener(welcome=refuse)):
        assert "the session is over" in text


def test_a_recorded_proof_is_worth_nothing_on_another_connection() -> None:
    d, a = dialer(), listener()
    hello = d.start()
    proof = d.receive(a.receive(hello))
    again = listener()
    again.receive(hello)
    with pytest.raises(Refused, match="the caller has another secret"):
        again.receive(proof)


def test_a_listener_s_proof_can_not_be_reflected() -> None:
    d, a = dialer(), listener()
    data = a.receive(d.start())
    challenge = msgspec.msgpack.decode(data[6:], type=Challenge)
    with pytest.raises(Refused, match="the caller has another secret"):
        a.receive(frame(Proof(challenge.proof)))


def test_messages_out_of_order_are_refused() -> None:
    for message in (Proof(b""), Welcome(0), Challenge(PROTOCOL, "", "scheduler", "c1", "s", b"n" * 32, b"")):
        with pytest.raises(Refused, match="out of order"):
            listener().receive(frame(message))
    d = dialer()
    with pytest.raises(Refused, match="out of order"):
        d.receive(frame(Welcome(0)))
    a = listener()
    hello = d.start()
    a.receive(hello)
    with pytest.raises(Refused, match="out of order"):
        a.receive(hello)


@pytest.mark.parametrize(
    ("garbage", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "something else than himalia is at"),
        (b"HTTP/1.1 400 Bad Request\r\n", "something else than himalia is at"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "something else than himalia is at"),
        (b"\x00" * 16, "something else than himalia is at"),
        (b"\x16\x03\x01\x02\x00\x01", "speaks TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "speaks TLS"),
        (MAGIC + b"\x00\x03abc", "unreadable handshake"),
        (MAGIC + b"\x00\x00", "unreadable handshake"),
        (MAGIC + b"\xff\xff", f"more than {MAX_HANDSHAKE} bytes"),
        (MAGIC + b"\x00\xff" + b"x" * 5000, f"more than {MAX_HANDSHAKE} bytes"),
    ],
)
def test_garbage_is_refused_at_its_first_bytes(garbage: bytes, text: str) -> None:
    with pytest.raises(Refused, match=text):
        listener().receive(garbage)


def test_a_stranger_can_make_neither_side_keep_more_than_the_limit() -> None:
    a = listener()
    hello = dialer().start()
    a.receive(hello)
    with pytest.raises(Refused, match=f"more than {MAX_HANDSHAKE} bytes"):
        a.receive(MAGIC + (MAX_HANDSHAKE - len(hello)).to_bytes(2, "big"))


def test_a_refusal_is_shown_without_control_characters_and_not_at_length() -> None:
    d = dialer()
    d.start()
    with pytest.raises(HandshakeError) as refused:
        d.receive(frame(Refusal("\x1b[31mred\n" + "x" * 3000)))
    assert "\x1b" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 700


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_let_anybody_in_or_raise_anything_else(data: bytes, magic: bool) -> None:
    if magic:
        data = MAGIC + len(data).to_bytes(2, "big") + data
    for side in (listener(), dialer()):
        try:
            side.receive(data)
        except HandshakeError:
            pass
        assert side.peer is None


@given(st.integers(0, 2), st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_noticed(message: int, position: int, change: int) -> None:
    d, a = dialer(), listener(welcome=lambda _: Welcome(0))
    try:
        data = d.start()
        for number in range(4):
            if number == message:
                position %= len(data)
                data = data[:position] + bytes([data[position] ^ change]) + data[position + 1 :]
            data = (a if number % 2 == 0 else d).receive(data)
    except HandshakeError:
        pass
    assert a.peer is None


def test_the_handshake_is_small() -> None:
    d, a = dialer(), listener()
    sizes = [len(d.start())]
    data = a.receive(d.start())
    sizes.append(len(data))
    assert max(sizes) < 250
    assert HANDSHAKE_TIMEOUT == 5.0
