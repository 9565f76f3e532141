"""Cutting a stream into frames, whatever the reads look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himalia.comm.framing import HEADER, LENGTH, MAX_FRAME, FrameError, Splitter, control_frame, is_goodbye


def some_frame(seq: int, size: int) -> bytes:
    return HEADER.pack(HEADER.size - LENGTH.size + size, seq, 0) + bytes([seq % 256]) * size


@given(st.lists(st.integers(0, 300), max_size=20), st.lists(st.integers(1, 400)))
def test_any_cut_of_a_stream_gives_the_same_frames(sizes: list[int], cuts: list[int]) -> None:
    frames = [some_frame(number, size) for number, size in enumerate(sizes, 1)]
    stream = b"".join(frames)
    splitter = Splitter()
    got: list[bytes] = []
    position = 0
    for cut in [*cuts, len(stream)]:
        part = stream[position : position + cut]
        position += cut
        got += [bytes(frame) for frame in splitter.feed(part)]
    assert got == frames


def test_frames_stay_valid_while_later_ones_are_read() -> None:
    splitter = Splitter()
    stream = some_frame(1, 10) + some_frame(2, 100)
    (first,) = splitter.feed(stream[:50])
    (second,) = splitter.feed(stream[50:])
    splitter.feed(some_frame(3, 1000)[:77])
    assert (bytes(first), bytes(second)) == (some_frame(1, 10), some_frame(2, 100))


@pytest.mark.parametrize("length", [0, 1, HEADER.size - LENGTH.size - 1, MAX_FRAME + 1, 2**32 - 1])
def test_an_impossible_length_is_refused_before_anything_is_kept(length: int) -> None:
    with pytest.raises(FrameError, match=f"a frame of {length} bytes"):
        Splitter().feed(LENGTH.pack(length))


def test_the_largest_frame_fits() -> None:
    splitter = Splitter()
    frame = some_frame(1, MAX_FRAME - HEADER.size + LENGTH.size)
    assert splitter.feed(frame[:1000]) == []
    (got,) = splitter.feed(frame[1000:])
    assert len(got) == len(frame)


def test_only_a_control_frame_with_a_reason_is_a_goodbye() -> None:
    assert is_goodbye(control_frame(7, b"enough"))
    assert not is_goodbye(control_frame(7))
    assert not is_goodbye(some_frame(1, 10))
