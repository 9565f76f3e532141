"""One ordered, acknowledged, resumable stream of messages per pair of peers.  Pure: bytes in, bytes out.

Each side numbers the messages it sends from 1.  A frame carries the number of its first message and acknowledges what
its sender has received.  A frame is kept until the peer acknowledged its last message; when a connection breaks, both
sides tell each other how far they got and send the kept frames again.  So

- nothing is lost: a frame is forgotten only when the peer has it;
- nothing comes twice: a frame whose number was seen is dropped (frames never change, so it was seen whole);
- nothing is overtaken: a frame that leaves a gap can only come from a broken peer and ends the session.

Acknowledgements ride on frames that go the other way; one goes alone only when a lot is owed or a timer asks for it.
A failure poisons the session: everything after it raises the same error.  When a connection is dialled again, and when
the lease of a silent peer is over, is decided in ``endpoint.py``.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Final

from himalia.comm.codec import decode_body, decoder, encode_frame
from himalia.comm.framing import HEADER, Frame, FrameError, control_frame

ACK_FRAMES: Final = 64
"""Frames received after which an acknowledgement goes alone.  One costs as much as a small frame, 7 µs (measured), so
here a hundredth of it, and a sender keeps some 5 kB of small frames; acknowledging every fourth would cost a fifth
more."""
ACK_BYTES: Final = 1024 * 1024
"""The same in bytes: what a sender keeps for one peer stays near this."""


class Session:
    """One side of a session.

    Parameters
    ----------
    union : Any
        Union of the messages that the peer may send; anything else ends the session.
    """

    __slots__ = (
        "_acked", "_decode", "_error", "_kept", "_outbox", "_owed_bytes", "_owed_frames",
        "ack_due", "goodbye", "kept_bytes", "received", "rejected", "sent",
    )  # fmt: skip

    def __init__(self, union: object) -> None:
        self._decode = decoder(union)
        self._outbox: list[object] = []
        self._kept: deque[tuple[int, Frame]] = deque()
        """(number of its last message, frame), oldest first; numbers are > ``_acked`` and <= ``sent``."""
        self._acked = 0
        self._owed_frames = 0
        self._owed_bytes = 0
        self._error: FrameError | None = None
        self.sent = 0
        """Number of the last message that was put into a frame."""
        self.received = 0
        """Number of the last message that came from the peer: how many there were."""
        self.kept_bytes = 0
        """Bytes of frames that the peer has not acknowledged."""
        self.ack_due = False
        """So much is owed that :meth:`take_frames` shall be called even if nothing was sent."""
        self.goodbye: str | None = None
        """Why the peer ended the session, once it did."""
        self.rejected: list[tuple[object, str]] = []
        """Messages that could not be encoded, and why; whoever runs the session answers for them and clears this."""

    def send(self, message: object) -> None:
        """Queue a message; it is encoded by :meth:`take_frames`."""
        self._outbox.append(message)

    @property
    def has_queued(self) -> bool:
        """Whether there are messages that were not put into a frame yet."""
        return bool(self._outbox)

    @property
    def pending(self) -> int:
        """Messages that the peer hasn't acknowledged, whether they were sent or not."""
        return len(self._outbox) + self.sent - self._acked

    def take_frames(self, limit: int = sys.maxsize) -> list[Frame]:
        """Encode what is queued, in one frame if it is not too long; the caller must send the frames, in order.

        Parameters
        ----------
        limit : int
            Bytes after which no further frame is begun; the rest stays queued.
        """
        outbox = self._outbox
        frames: list[Frame] = []
        taken, end = 0, len(outbox)
        while taken < end and limit > 0:
            frame, taken, count = encode_frame(outbox, taken, self.sent + 1, self.received, self.rejected)
            if count:
                self.sent += count
                # Kept before anybody writes it: whether it arrived is known by an acknowledgement alone.
                self._kept.append((self.sent, frame))
                self.kept_bytes += len(frame)
                limit -= len(frame)
                frames.append(frame)
        # Not clear(), though all were taken: another thread may have queued one since they were counted.
        del outbox[:taken]
        # Each of them acknowledged all that was received.
        if frames:
            self._settle()
        elif self.ack_due:
            frames.append(self._ack_frame())
        return frames

    def receive(self, frame: Frame) -> list[object]:
        """Take one whole frame and return its messages if they are new.

        Raises
        ------
        FrameError
            If the frame is not valid here; the session is useless from then on.
        """
        if self._error is not None:
            raise self._error
        try:
            _, seq, ack = HEADER.unpack_from(frame)
            # Less is no fault: a frame that is sent again says what it said the first time.
            if ack > self._acked:
                self._acknowledge(ack)
            if seq == 0:
                return self._receive_control(frame)
            if seq <= self.received:  # sent again over a new connection: our acknowledgement was lost with the old one
                return []
            # TCP keeps the order and a new connection begins where the old one ended, so a gap is no loss: the peer is
            # broken, or not the one it says it is.
            if seq != self.received + 1:
                raise FrameError(f"message {seq} came after message {self.received}")
            messages = decode_body(self._decode, frame)
        except FrameError as error:
            # From now on the two sides don't agree on what was received; going on would run a call twice or lose one.
            self._error = error
            raise
        self.received += len(messages)
        self._owed_frames += 1
        self._owed_bytes += len(frame)
        # Owed without end, it would let the peer's kept frames grow without end: its traffic may all go one way.
        if self._owed_frames >= ACK_FRAMES or self._owed_bytes >= ACK_BYTES:
            self.ack_due = True
        return messages

    def resume(self, peer_received: int) -> list[Frame]:
        """Return the frames to be sent first on a new connection.

        Parameters
        ----------
        peer_received : int
            The peer's ``received``, as its handshake says.

        Raises
        ------
        FrameError
            If the peer can't have got that: it is not the other side of this session.
        """
        # Less: it forgot what it acknowledged. More: it heard of messages that were never sent.
        if not self._acked <= peer_received <= self.sent:
            raise FrameError(f"the peer has seen {peer_received} messages; {self._acked} to {self.sent} are possible")
        if peer_received > self._acked:
            self._acknowledge(peer_received)
        # Unchanged, with the acknowledgements of then: the numbers and borders must be those that the peer may have
        # seen.
        return [frame for _, frame in self._kept]

    def take_ack(self) -> Frame | None:
        """A bare acknowledgement if any is owed: for a timer."""
        return self._ack_frame() if self._owed_frames else None

    def keepalive_frame(self) -> Frame:
        """A bare acknowledgement in any case: to be heard."""
        return self._ack_frame()

    def goodbye_frame(self, reason: str) -> Frame:
        """The frame that ends the session cleanly; to be sent after everything else, as the last."""
        # Never empty: with an empty body it would be an acknowledgement.
        return control_frame(self.received, reason.encode(errors="replace")[:4096] or b"closed")

    def _ack_frame(self) -> Frame:
        self._settle()
        return control_frame(self.received)

    def _settle(self) -> None:
        """Note that an acknowledgement of all that was received is under way."""
        self._owed_frames = self._owed_bytes = 0
        self.ack_due = False

    def _acknowledge(self, number: int) -> None:
        """Forget the frames that the peer has."""
        # Believed, it would drop frames that are still to be sent.
        if number > self.sent:
            raise FrameError(f"message {number} was acknowledged, {self.sent} were sent")
        self._acked = number
        kept = self._kept
        while kept and kept[0][0] <= number:
            self.kept_bytes -= len(kept.popleft()[1])

    def _receive_control(self, frame: Frame) -> list[object]:
        """Note a goodbye; a bare acknowledgement has done its work already."""
        body = bytes(memoryview(frame)[HEADER.size :])
        if body:
            self.goodbye = body[:4096].decode(errors="replace")
        return []
