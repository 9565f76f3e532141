r"""The format of a recording: what a cluster's telemetry told, in a file that can be cut off anywhere.

The bytes of a ``.himalia`` file, written and read.  No file is opened here, no clock read: ``follow/recorder.py``
records, ``himalia_widgets/replay`` shows.

The file (numbers little-endian)::

    magic    18 bytes   b"himalia recording\n"
    block*   each: length u32 │ crc32 u32 │ first f64 │ last f64 │ records u32 │ starts u8 │ body

``body`` has ``length`` bytes: zlib of a MessagePack array of frames ``[time, kind, payload]``.  ``crc32`` is that of
all that follows it in the block, so a block that was half written when its host died is noticed, and the recording
ends before it.  ``first`` and ``last`` are the times of its first and last frame (epoch seconds of whoever recorded),
``records`` counts the finished calls in it.  They make an index that is read without unpacking anything.

The first block has nothing but the header's frame.  A block with ``starts`` begins with a ``base`` frame, which says
all that pushes before it added up to: reading may begin there, and a recording that grew too large loses what is
before one.  So the first one says what had been counted before the recording, and when that begins: its time is that
of the first call in it, or of the recording's start.

=========== ==================================================== ===========================================
kind        payload                                              when
=========== ==================================================== ===========================================
header      :class:`Header`                                      once, first
base        :class:`himalia.messages.client.Telemetry` without records  first, and about every MiB
telemetry   :class:`himalia.messages.client.Telemetry`                  every push
info        :class:`himalia.messages.answers.ClusterInfo`        at the start, when hosts or workers change,
                                                                 and after each ``base``
logs        ``{process: [LogLine, …]}``, only new ones           every few seconds
profile     :class:`himalia.messages.answers.ProfileSamples`     at the end
end         why the recording ended, a text                      last, if nothing died
=========== ==================================================== ===========================================

Formats 1, in which answers were dicts (``old_recording.py``), and 2, in which a ``base`` told of the push after it too,
are read as well: what those count goes back to the cluster's start.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from himalia.decoders import decoder_of
from himalia.errors import RecordingError
from himalia.messages.answers import ClusterInfo, ProfileSamples
from himalia.messages.client import Telemetry
from himalia.messages.parts import PROTOCOL
from himalia.messages.telemetry import LogLine
from himalia.telemetry.baseline import Baseline
from himalia.telemetry.old_recording import is_map, read_info, read_profile
from himalia.version import __version__

MAGIC: Final = b"himalia recording\n"
FORMAT: Final = 3
"""Number of this format; rises when an older reader would misunderstand."""
READ: Final = frozenset({(1, 3), (2, 4), (3, 4)})
"""Formats that are read, with the protocol of the messages in them: telemetry is the same in all of these."""
COUNTS_FROM_BASE: Final = 3
"""First format whose first ``base`` has nothing of what the recording tells."""
# "<": without padding, and the same on every machine.
HEAD: Final = struct.Struct("<IIddIB")
LEVEL: Final = 3
"""Of zlib: about 90 MB/s of telemetry on one core, to a fifth of its size."""

_encode = msgspec.msgpack.Encoder().encode


class Header(msgspec.Struct):
    """What a recording says of itself."""

    format: int
    protocol: int
    """Of the messages in it (``messages.PROTOCOL``)."""
    himalia: str
    """Version that wrote it."""
    cluster: str
    started: float
    """Epoch seconds."""


class RecordedFrame(msgspec.Struct, array_like=True):
    """One thing that was told at ``time``, epoch seconds."""

    time: float
    kind: str
    # Left packed: whoever looks for one kind of frame passes over the others.
    payload: msgspec.Raw

    def telemetry(self) -> Telemetry:
        """Return the payload of ``base`` and ``telemetry``."""
        return decoder_of(Telemetry).decode(self.payload)

    def logs(self) -> dict[str, list[LogLine]]:
        """Return the payload of ``logs``."""
        return decoder_of(dict[str, list[LogLine]]).decode(self.payload)

    def info(self) -> ClusterInfo:
        """Return the payload of ``info``."""
        if is_map(self.payload):
            return read_info(decoder_of(dict[str, object]).decode(self.payload))
        return decoder_of(ClusterInfo).decode(self.payload)

    def profile(self) -> ProfileSamples:
        """Return the payload of ``profile``."""
        if is_map(self.payload):
            return read_profile(decoder_of(dict[str, object]).decode(self.payload))
        return decoder_of(ProfileSamples).decode(self.payload)

    def reason(self) -> str:
        """Return the payload of ``end``."""
        return decoder_of(str).decode(self.payload)


class RecordedBlock(NamedTuple):
    """A whole block, and where it is in its file."""

    offset: int
    size: int
    """With its head."""
    first: float
    last: float
    records: int
    starts: bool


class Packer:
    """Collects frames, and makes blocks of them."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._frames: list[RecordedFrame] = []
        self._records = 0
        self._starts = False
        self.nbytes = 0
        """Bytes collected, before they are compressed."""

    @property
    def first(self) -> float:
        """Time of the oldest frame collected; 0 if there is none."""
        return self._frames[0].time if self._frames else 0.0

    def add(self, time: float, kind: str, payload: object, *, records: int = 0) -> None:
        """Collect one frame; one of kind ``base`` has to be the first of its block."""
        raw = _encode(payload)
        # So the writer has to empty the packer before a base (follow/recording_contents.py).
        self._starts = self._starts or kind == "base"
        # Packed at once: the payload may be a table that changes before the block is written.
        self._frames.append(RecordedFrame(time, kind, msgspec.Raw(raw)))
        self._records += records
        self.nbytes += len(raw)

    def take(self, offset: int) -> tuple[RecordedBlock, bytes] | None:
        """Return what was collected as a block that stands at ``offset``, or None if that is nothing."""
        if not self._frames:
            return None
        body = zlib.compress(_encode(self._frames), LEVEL)
        first, last = self._frames[0].time, self._frames[-1].time
        # Length and sum stand before what they are of, so the head is packed without them first.
        rest = HEAD.pack(len(body), 0, first, last, self._records, self._starts)[8:]
        head = struct.pack("<II", len(body), zlib.crc32(body, zlib.crc32(rest))) + rest
        # The writer's index, as a reader would find it: it serves to cut the file.
        block = RecordedBlock(offset, len(head) + len(body), first, last, self._records, self._starts)
        self._clear()
        return block, head + body


def new_header(cluster: str, *, now: float) -> Header:
    """Return the header of a recording that begins now."""
    return Header(FORMAT, PROTOCOL, __version__, cluster, now)


def begin(header: Header) -> bytes:
    """Return the first bytes of a file."""
    packer = Packer()
    packer.add(header.started, "header", header)
    made = packer.take(len(MAGIC))
    assert made is not None
    return MAGIC + made[1]


def choose_cut(blocks: list[RecordedBlock], room: int) -> int:
    """Return how many of the oldest blocks have to go for the others to fit into ``room`` bytes.

    What is left begins with a block that ``starts``; all go if no such rest fits.
    """
    left = sum(block.size for block in blocks)
    for number, block in enumerate(blocks):
        # A rest that begins elsewhere would say what changed and not since when.
        if block.starts and left <= room:
            return number
        left -= block.size
    return len(blocks)


class Recording:
    """A file's content: its header, and an index of its whole blocks.

    Parameters
    ----------
    data : bytes
        All of the file, or something that can be sliced like it.
    name : str
        What errors call it.

    Attributes
    ----------
    header : Header
    blocks : list of RecordedBlock
    torn : bool
        Whether something stands behind the last whole block.

    Raises
    ------
    RecordingError
        If it isn't a recording, or one of a version that this one can't read.
    """

    def __init__(self, data: bytes, name: str = "The file") -> None:
        # A file may be a mapping of hundreds of megabytes; slices of a view copy nothing.
        self._data = memoryview(data)
        if bytes(self._data[: len(MAGIC)]) != MAGIC:
            raise RecordingError(f"{name} is not a recording; cluster.record(path) makes one.")
        found, self.torn = _scan(self._data)
        header = self._unpack(found[0])[0] if found else None
        if header is None or header.kind != "header":
            raise RecordingError(f"{name} ends before its header does: nothing was recorded.")
        self.header = _read_header(header, name)
        # Without the header's: its time is the recording's start, and calls before that come after it in the file.
        self.blocks = found[1:]

    @property
    def started(self) -> float:
        """Time of the first frame, epoch seconds; that of calls before the recording, if it has some."""
        return self.blocks[0].first if self.blocks else self.header.started

    @property
    def ended(self) -> float:
        """Time of the last frame."""
        return self.blocks[-1].last if self.blocks else self.header.started

    @property
    def length(self) -> float:
        """Seconds that it tells of."""
        return self.ended - self.started

    def baseline(self) -> Baseline:
        """Return what had been counted before it begins."""
        if self.header.format >= COUNTS_FROM_BASE:
            for block in self.blocks:
                # Unpacked only where there is one, which is the first block unless nobody could say how things stood.
                if block.starts:
                    return Baseline(self._unpack(block)[0].telemetry())
        return Baseline(Telemetry(0.0, [], [], 0, {}))

    def frames(self, first: int = 0) -> Iterator[RecordedFrame]:
        """Yield the frames of all blocks from that one on; blocks are unpacked when they are reached."""
        for block in self.blocks[first:]:
            yield from self._unpack(block)

    def _unpack(self, block: RecordedBlock) -> list[RecordedFrame]:
        # The checksum was looked at by _scan().
        body = self._data[block.offset + HEAD.size : block.offset + block.size]
        return decoder_of(list[RecordedFrame]).decode(zlib.decompress(body))


def _scan(data: memoryview) -> tuple[list[RecordedBlock], bool]:
    """Return the whole blocks, and whether something else is behind them."""
    blocks = []
    offset = len(MAGIC)
    while offset + HEAD.size <= len(data):
        length, crc, first, last, records, starts = HEAD.unpack_from(data, offset)
        end = offset + HEAD.size + length
        # What is behind a torn block can't be trusted either: there's no telling where the next one would begin.
        if end > len(data) or zlib.crc32(data[offset + 8 : end]) != crc:
            break
        blocks.append(RecordedBlock(offset, end - offset, first, last, records, bool(starts)))
        offset = end
    return blocks, offset < len(data)


def _read_header(frame: RecordedFrame, name: str) -> Header:
    # As a dict, for another version's header may have other fields, and the error has to name that version.
    plain = decoder_of(dict[str, object]).decode(frame.payload)
    version = plain.get("himalia", "an unknown version")
    # Both: the same format with other messages can't be read either.
    if (plain.get("format"), plain.get("protocol")) not in READ:
        raise RecordingError(
            f"{name} was recorded by himalia {version}, in a format that himalia {__version__} does not read. "
            f"Open it with the version that wrote it: pip install 'himalia=={version}'."
        )
    return decoder_of(Header).decode(frame.payload)
