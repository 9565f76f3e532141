"""The data plane's stream is cut in the right places, however it arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himalia.comm.data.wire import BUFFER, LENGTH, MAX_MESSAGE, DataReader, WireError, encode, nowhere
from himalia.messages.data import DataFollows, DataReply, PutStored
from himalia.messages.worker import Place
from himalia.names import Key


def feed(reader: DataReader, stream: bytes, cuts: list[int]) -> None:
    """Give a stream to a reader in pieces of these lengths, and no more at once than it has room for."""
    position = 0
    lengths = iter(cuts)
    while position < len(stream):
        buffer = reader.get_buffer()
        assert len(buffer) > 0
        size = min(len(buffer), next(lengths, 1 << 30), len(stream) - position)
        buffer[:size] = stream[position : position + size]
        reader.updated(size)
        position += size


@given(
    st.lists(st.one_of(st.integers(0, 100), st.integers(65_000, 150_000), st.just(-1)), max_size=8),
    st.lists(st.one_of(st.integers(1, 20), st.integers(1, 100_000)), max_size=50),
)
def test_messages_and_raw_bytes_are_told_apart(sizes: list[int], cuts: list[int]) -> None:
    received: list[tuple[str, bytes]] = []
    reader: DataReader

    def handle(message: DataReply) -> None:
        assert isinstance(message, DataFollows)
        if not message.sizes:
            received.append((message.key, b"-"))
            return
        memory = bytearray(sum(message.sizes))
        half = message.sizes[0]
        targets = [memoryview(memory)[:half], memoryview(memory)[half:]]
        reader.expect(iter(targets), lambda: received.append((message.key, bytes(memory))))

    reader = DataReader(DataReply, handle)
    stream = b""
    expected: list[tuple[str, bytes]] = []
    for number, size in enumerate(sizes):
        key, raw = Key(f"k{number}"), bytes([number]) * max(size, 0)
        if size < 0:
            stream += encode(DataFollows(1, key, 1, False))
            expected.append((key, b"-"))
        else:
            stream += encode(DataFollows(1, key, 1, True, None, (size // 2, size - size // 2))) + raw
            expected.append((key, raw))

    feed(reader, stream, cuts)

    assert received == expected


def test_a_message_longer_than_the_buffer_arrives() -> None:
    seen: list[object] = []
    reader = DataReader(DataReply, seen.append)
    large = [DataFollows(1, Key("k"), 1, True, Place(bytes(size))) for size in (1_000_000, 70_000)]
    messages = [large[0], PutStored(3, 4), large[1]]

    feed(reader, b"".join(map(bytes, map(encode, messages))), [1] * 10)

    assert seen == messages
    assert len(reader.get_buffer()) <= 2 * 70_020


def test_memory_grows_with_what_has_come_not_with_what_was_announced() -> None:
    reader = DataReader(DataReply, lambda _: None)
    feed(reader, LENGTH.pack(MAX_MESSAGE), [])
    assert len(reader.get_buffer()) <= BUFFER
    feed(reader, bytes(1_000_000), [])
    assert len(reader.get_buffer()) <= 1_000_000 + LENGTH.size


def test_unwanted_bytes_go_nowhere() -> None:
    seen: list[object] = []
    reader = DataReader(DataReply, lambda message: reader.expect(nowhere(1_000_000), lambda: seen.append(message)))

    feed(reader, bytes(encode(PutStored(1, 2))) + bytes(1_000_000) + bytes(encode(PutStored(3, 4))), [])

    assert seen == [PutStored(1, 2)]


@pytest.mark.parametrize(
    "stream", [b"\xff\xff\xff\xff", LENGTH.pack(MAX_MESSAGE + 1), LENGTH.pack(3) + b"abc", LENGTH.pack(0) + b"\0\0\0\0"]
)
def test_what_is_no_message_ends_the_stream(stream: bytes) -> None:
    reader = DataReader(DataReply, lambda _: None)

    with pytest.raises(WireError):
        feed(reader, stream, [])
