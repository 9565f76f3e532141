"""Connections of the simulated network as a process has them: bytes that take their time, and an end that comes late.

A stream joins two processes, with a kernel in between.  What is written arrives later, in order, in pieces that end
anywhere; a reader that stands still, or is slow, fills the kernel's buffer and then the writer's own.  What was under
way when a stream is cut may arrive or not, at a side that still believes in it, and each side learns of it in its own
time.  Decides how bytes travel, never what they mean.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from himalia.comm.link import Wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from himalia.testing.process_loop import ProcessLoop
    from himalia.testing.real_network import RealLine

SPLIT: Final = 0.1
"""Probability that what is written at once arrives in two pieces."""
ARRIVES: Final = 0.5
"""Probability that what was under way arrives, though its stream was cut."""
UNREAD: Final = 0.5
"""Probability that a reset leaves what had arrived to be read; systems differ."""
KERNEL: Final = 2 * 1024, 64 * 1024, 1024 * 1024
"""Bytes that are taken for a reader that doesn't read."""
HIGH: Final = 1024, 64 * 1024, 1 << 60
"""Bytes of a process's own buffer at which its protocol is told at the latest."""


class ByteStream:
    """One connection.

    Parameters
    ----------
    line : RealLine
        Whose weather it has.
    dialer, listener : ProcessLoop
    """

    def __init__(self, line: RealLine, dialer: ProcessLoop, listener: ProcessLoop) -> None:
        self.line = line
        self.is_cut = False
        """Whether nothing more gets through."""
        self.is_lost = False
        """Whether what is under way is lost, too."""
        self.lower, self.upper = StreamEnd(self, dialer), StreamEnd(self, listener)
        self.lower.other, self.upper.other = self.upper, self.lower

    @property
    def is_over(self) -> bool:
        """Whether both sides know that it ended, or are no more."""
        return all(end.is_gone or end.loop.is_over for end in (self.lower, self.upper))

    def cut(self, *, is_silent: bool) -> None:
        """Let nothing through any more; with ``is_silent`` nobody is told."""
        if not self.is_cut:
            self.is_cut = True
            # Some of what is under way arrives after the next connection is up, at whoever still believes in this one.
            self.is_lost = self.line.random.random() > ARRIVES
            for end in () if is_silent else (self.lower, self.upper):
                notice = self.line.random.uniform(0.0, self.line.network.weather.notice)
                self.line.world.call_later(notice, end.reset)

    def died(self, end: StreamEnd) -> None:
        """Let the other side learn, after what was under way, that a process is no more."""
        self.carry(end.other, b"")

    def send(self, end: StreamEnd, data: bytes) -> None:
        """Let bytes arrive at ``end``."""
        if not self.is_cut:
            self.line.network.frames += 1
            random = self.line.random
            if len(data) > 1 and random.random() < SPLIT:
                # Anywhere, in the middle of a length too.
                middle = random.randrange(1, len(data))
                self.carry(end, data[:middle])
                data = data[middle:]
            self.carry(end, data)

    def carry(self, end: StreamEnd, data: bytes) -> None:
        """Let something arrive after all that is under way; nothing stands for the end."""
        if not self.is_cut:
            # Bytes keep their order, the end behind them.
            end.not_before = max(end.not_before, self.line.world.now + self.line.network.delay())
            self.line.world.call_at(end.not_before, self._land, end, data)

    def _land(self, end: StreamEnd, data: bytes) -> None:
        if not self.is_lost and not end.loop.is_over:
            end.arrive(data)


class StreamEnd(asyncio.Transport):
    """One side of a stream."""

    other: StreamEnd

    def __init__(self, stream: ByteStream, loop: ProcessLoop) -> None:
        super().__init__()
        self.stream = stream
        self.loop = loop
        self.not_before = 0.0
        """Nothing arrives here earlier: bytes keep their order."""
        self.is_gone = False
        """Whether this side's protocol was told of the end."""
        random = stream.line.random
        # Drawn for each side: what fits into one buffer and not into the other is another order of events.
        self._capacity = random.choice(KERNEL)
        self._highest = self._high = random.choice(HIGH)
        self._protocol: asyncio.Protocol | None = None
        self._unsent = bytearray()
        """What the kernel hasn't taken yet."""
        self._unread = 0
        """Bytes that it took and that the other process hasn't read."""
        self._arrived: deque[bytes] = deque()
        self._is_closing = self._is_ending = self._is_paused = self._is_waking = False

    # What a protocol asks for

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing or not data:
            return
        self._unsent += data
        self._send()
        if len(self._unsent) > self._high and not self._is_paused and self._protocol is not None:
            self._is_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        # At most what was drawn: the 2 MiB of a link are hardly ever reached here, and nothing would be paused.
        self._high = self._highest if high is None else min(high, self._highest)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """End after what was written."""
        if not self._is_closing:
            self._is_closing = True
            self._send()

    def abort(self) -> None:
        """End at once."""
        self._is_closing = True
        self._unsent.clear()
        if not self._is_ending:
            self.stream.line.reset_soon(self.other)
        self._end(None)

    # What the network does

    def arrive(self, data: bytes) -> None:
        """Keep what came until the process reads it; a process that has closed its side resets the other."""
        # Its kernel answers for it: nobody is there any more.
        if self._is_ending:
            if data:
                self.stream.line.reset_soon(self.other)
            return
        self._arrived.append(data)
        self._wake()

    def reset(self) -> None:
        """Learn that the stream is no more."""
        if not self._is_ending:
            if self.stream.line.random.random() > UNREAD:
                self._arrived.clear()
            self._is_closing = True
            self._unsent.clear()
            self._end(ConnectionResetError("connection reset by peer"))

    def _wake(self) -> None:
        if not self._is_waking:
            self._is_waking = True
            self.loop.call_soon(self._read)

    def _read(self) -> None:
        """Give the protocol what arrived."""
        self._is_waking = False
        if self.is_gone or not self._arrived or self._protocol is None:
            return
        # Nothing comes behind an end.
        has_ended = not self._arrived[-1]
        # All that came until the process looked, as a kernel gives it.
        data = b"".join(self._arrived)
        self._arrived.clear()
        # Before the protocol has it: the kernel's buffer is free once it was read, whatever becomes of the bytes.
        self.other.was_read(len(data))
        if data:
            line = self.stream.line
            # Handshakes contain nonces of real chance; of those only the length is the same in each run.
            line.world.absorb(data if isinstance(self._protocol, Wire) else str(len(data)).encode())
            self._protocol.data_received(data)
        if has_ended and not self._protocol.eof_received():
            self.close()

    def was_read(self, nbytes: int) -> None:
        """Go on sending: the other side has room again."""
        self._unread -= nbytes
        if self._unsent:
            self.loop.call_soon(self._send)

    def _send(self) -> None:
        """Have the kernel take what it has room for."""
        # What is under way takes room as well: it lies in one of the two kernels.
        room = self._capacity - self._unread
        if self._unsent and room > 0:
            piece = bytes(self._unsent[:room])
            del self._unsent[:room]
            self._unread += len(piece)
            self.stream.send(self.other, piece)
        if self._is_paused and len(self._unsent) <= self._high // 4 and self._protocol is not None:
            self._is_paused = False
            self._protocol.resume_writing()
        # Only when all has left: an end in front of it would cut it off.
        if self._is_closing and not self._unsent and not self._is_ending:
            self.stream.carry(self.other, b"")
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if not self._is_ending:
            self._is_ending = True
            # In a later tick, as asyncio does: whoever aborts isn't told within the call.
            self.loop.call_soon(self._tell, error)

    def _tell(self, error: Exception | None) -> None:
        self.is_gone = True
        if self._protocol is not None:
            self._protocol.connection_lost(error)
