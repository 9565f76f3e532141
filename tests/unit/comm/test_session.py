"""Sessions: any cut, any duplicate, nothing lost, nothing twice, in order."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from himalia.comm import codec, session
from himalia.comm.framing import HEADER, MAX_FRAME, Frame, FrameError
from himalia.comm.session import ACK_BYTES, ACK_FRAMES, Session
from himalia.messages.answers import ProcessLogs, Reply
from himalia.messages.client import Explain, ReleaseKeys
from himalia.messages.parts import Close
from himalia.names import Key
from himalia.testing.builders import make_reply

Known = Reply | ReleaseKeys | Close


def pair() -> tuple[Session, Session]:
    return Session(Known), Session(Known)


def deliver(frames: list[Frame], to: Session) -> list[object]:
    return [message for frame in frames for message in to.receive(bytes(frame))]


def test_messages_of_one_tick_travel_in_one_frame() -> None:
    here, there = pair()
    messages = [Reply(number) for number in range(100)]
    for message in messages:
        here.send(message)
    frames = here.take_frames()
    assert len(frames) == 1
    assert deliver(frames, there) == messages
    assert (here.sent, there.received) == (100, 100)
    assert here.take_frames() == []


def test_what_another_thread_queues_while_a_frame_is_made_goes_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = pair()
    encode = codec.encode_frame

    def encode_and_queue(*arguments: Any) -> Any:
        made = encode(*arguments)
        monkeypatch.setattr(session, "encode_frame", encode)
        here.send(Reply(2))
        return made

    monkeypatch.setattr(session, "encode_frame", encode_and_queue)
    here.send(Reply(1))
    assert deliver(here.take_frames(), there) == [Reply(1)]
    assert deliver(here.take_frames(), there) == [Reply(2)]


def test_a_long_tick_is_split_into_frames_near_the_limit() -> None:
    here, there = pair()
    messages = [make_reply(number, 100_000) for number in range(40)]
    for message in messages:
        here.send(message)
    frames = here.take_frames()
    assert all(len(frame) < codec.SPLIT + 200_000 for frame in frames)
    assert len(frames) == 4
    assert deliver(frames, there) == messages


def test_a_limit_leaves_the_rest_for_the_next_tick() -> None:
    here, there = pair()
    messages = [make_reply(number, 100_000) for number in range(40)]
    for message in messages:
        here.send(message)
    first = here.take_frames(limit=1)
    assert len(first) == 1
    assert here.has_queued
    assert deliver([*first, *here.take_frames()], there) == messages
    assert not here.has_queued


def test_an_acknowledgement_rides_on_what_goes_the_other_way() -> None:
    here, there = pair()
    here.send(Reply(1))
    deliver(here.take_frames(), there)
    assert here.kept_bytes > 0
    there.send(Reply(2))
    deliver(there.take_frames(), here)
    assert here.kept_bytes == 0


@pytest.mark.parametrize(("count", "size"), [(ACK_FRAMES, 1), (2, ACK_BYTES // 2)])
def test_an_acknowledgement_goes_alone_when_much_is_owed(count: int, size: int) -> None:
    here, there = pair()
    for number in range(count):
        assert not there.ack_due
        here.send(make_reply(number, size))
        deliver(here.take_frames(), there)
    assert there.ack_due
    (ack,) = there.take_frames()
    assert deliver([ack], here) == []
    assert here.kept_bytes == 0
    assert not there.ack_due
    assert there.take_ack() is None


def test_a_timer_can_ask_for_the_acknowledgement_of_a_single_message() -> None:
    here, there = pair()
    here.send(Reply(1))
    deliver(here.take_frames(), there)
    ack = there.take_ack()
    assert ack is not None
    assert here.receive(ack) == []
    assert here.kept_bytes == 0


def test_a_duplicate_is_dropped() -> None:
    here, there = pair()
    here.send(Reply(1))
    (frame,) = here.take_frames()
    assert deliver([frame, frame], there) == [Reply(1)]


def test_a_gap_ends_the_session_for_good() -> None:
    here, there = pair()
    frames = []
    for number in range(3):
        here.send(Reply(number))
        frames += here.take_frames()
    deliver(frames[:1], there)
    with pytest.raises(FrameError, match="message 3 came after message 1"):
        there.receive(frames[2])
    with pytest.raises(FrameError, match="message 3 came after message 1"):
        there.receive(frames[1])


def test_a_message_of_another_union_ends_the_session() -> None:
    here, there = pair()
    here.send(Explain(1, Key("x")))
    with pytest.raises(FrameError, match="doesn't understand"):
        deliver(here.take_frames(), there)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91", b"\x91" * 100_000, b"\x91\x92\x03\xa1x", b"\x90\x90"])
def test_a_body_that_is_no_array_of_messages_ends_the_session(body: bytes) -> None:
    _, there = pair()
    with pytest.raises(FrameError):
        there.receive(HEADER.pack(16 + len(body), 1, 0) + body)
    assert there.received == 0


def test_an_acknowledgement_of_what_was_never_sent_ends_the_session() -> None:
    here, _ = pair()
    with pytest.raises(FrameError, match="message 5 was acknowledged, 0 were sent"):
        here.receive(HEADER.pack(16, 0, 5))


def test_an_old_acknowledgement_changes_nothing() -> None:
    here, there = pair()
    early = there.keepalive_frame()
    here.send(Reply(1))
    deliver(here.take_frames(), there)
    here.receive(there.keepalive_frame())
    here.receive(early)
    assert here.resume(1) == []


def test_resuming_sends_what_the_peer_has_not() -> None:
    here, there = pair()
    frames = []
    for number in range(5):
        here.send(Reply(number))
        frames += here.take_frames()
    deliver(frames[:2], there)
    assert here.resume(there.received) == frames[2:]


@pytest.mark.parametrize("received", [0, 4])
def test_resuming_refuses_a_peer_that_can_not_be_the_other_side(received: int) -> None:
    here, there = pair()
    for number in range(3):
        here.send(Reply(number))
    deliver(here.take_frames(), there)
    here.receive(there.keepalive_frame())
    with pytest.raises(FrameError, match=f"the peer has seen {received}"):
        here.resume(received)


def test_a_goodbye_says_why() -> None:
    here, there = pair()
    assert there.receive(here.goodbye_frame("enough for today")) == []
    assert there.goodbye == "enough for today"


def test_a_goodbye_without_a_reason_is_one_too() -> None:
    here, there = pair()
    there.receive(here.goodbye_frame(""))
    assert there.goodbye == "closed"


def test_a_message_that_can_not_be_encoded_is_dropped_alone_and_reported() -> None:
    here, there = pair()
    here.send(Reply(1))
    here.send(Reply(2, object()))  # type: ignore[arg-type]
    here.send(Reply(3, ProcessLogs({"a": [object()]})))  # type: ignore[list-item]
    here.send(Reply(4))
    assert deliver(here.take_frames(), there) == [Reply(1), Reply(4)]
    assert [type(message) for message, _ in here.rejected] == [Reply, Reply]
    assert here.sent == there.received == 2


def test_a_message_too_large_for_any_frame_is_dropped_alone_and_reported() -> None:
    here, there = pair()
    here.send(Reply(1))
    here.send(make_reply(2, MAX_FRAME - 100))
    here.send(make_reply(3, MAX_FRAME))
    here.send(Reply(4))
    got = deliver(here.take_frames(), there)
    assert [message.request for message in got if isinstance(message, Reply)] == [1, 2, 4]
    ((message, text),) = here.rejected
    assert isinstance(message, Reply) and message.request == 3
    assert "more than" in text


def test_what_is_sent_while_there_is_no_connection_waits() -> None:
    here, there = pair()
    here.send(Reply(1))
    lost = here.take_frames()
    here.send(Reply(2))
    assert lost
    assert deliver([*here.resume(0), *here.take_frames()], there) == [Reply(1), Reply(2)]


class Side:
    """One side of the wire below, with what it sent and got."""

    def __init__(self) -> None:
        self.session = Session(Known)
        self.said: list[int] = []
        self.heard: list[int] = []
        self.wire: deque[bytes] = deque()
        """Frames on their way to this side."""


class AnyCut(RuleBasedStateMachine):
    """Two sessions over connections that break anywhere, with frames that come twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Side(), Side()
        self.number = 0

    def other(self, side: Side) -> Side:
        return self.b if side is self.a else self.a

    def side(self, first: bool) -> Side:
        return self.a if first else self.b

    @initialize()
    def small_frames(self) -> None:
        self.number = 0

    @rule(first=st.booleans(), count=st.integers(1, 5))
    def send(self, first: bool, count: int) -> None:
        side = self.side(first)
        for _ in range(count):
            self.number += 1
            side.said.append(self.number)
            side.session.send(Reply(self.number))

    @rule(first=st.booleans(), limit=st.sampled_from([1, 10_000]))
    def flush(self, first: bool, limit: int) -> None:
        side = self.side(first)
        self.other(side).wire.extend(bytes(frame) for frame in side.session.take_frames(limit))

    @rule(first=st.booleans())
    def acknowledge(self, first: bool) -> None:
        side = self.side(first)
        ack = side.session.take_ack()
        if ack is not None:
            self.other(side).wire.append(bytes(ack))

    @rule(first=st.booleans(), count=st.integers(1, 4), twice=st.booleans())
    def arrive(self, first: bool, count: int, twice: bool) -> None:
        side = self.side(first)
        for _ in range(min(count, len(side.wire))):
            frame = side.wire.popleft()
            for _ in range(1 + twice):
                self.hear(side, frame)

    @rule()
    def cut(self) -> None:
        """Lose all that is under way, then resume as the handshake does: the listener (b) reads the dialer's count."""
        self.a.wire.clear()
        self.b.wire.clear()
        to_a = self.b.session.resume(self.a.session.received)
        to_b = self.a.session.resume(self.b.session.received)
        self.a.wire.extend(bytes(frame) for frame in to_a)
        self.b.wire.extend(bytes(frame) for frame in to_b)

    def hear(self, side: Side, frame: bytes) -> None:
        for message in side.session.receive(frame):
            assert isinstance(message, Reply)
            side.heard.append(message.request)

    @invariant()
    def nothing_lost_nothing_twice_in_order(self) -> None:
        for side in (self.a, self.b):
            said = self.other(side).said
            assert side.heard == said[: len(side.heard)]
            assert side.session.received == len(side.heard)

    def teardown(self) -> None:
        self.cut()
        for _ in range(3):
            for first in (True, False):
                self.flush(first, 1_000_000)
                self.arrive(first, 1_000_000, False)
                self.acknowledge(first)
        assert self.a.heard == self.b.said
        assert self.b.heard == self.a.said
        assert self.a.session.kept_bytes == self.b.session.kept_bytes == 0


AnyCut.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyCut = AnyCut.TestCase


def test_a_frame_is_plain_messagepack_after_its_header() -> None:
    here, _ = pair()
    here.send(Close("x"))
    (frame,) = here.take_frames()
    assert HEADER.unpack_from(frame) == (len(frame) - 4, 1, 0)
    assert msgspec.msgpack.decode(bytes(frame)[HEADER.size :]) == [[5, "x"]]
