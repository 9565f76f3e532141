"""What a recording says, and in which order.

Each call is told once; now and then everything is said again, so that replay may begin there.  It has no file
(``recording_file.py``), knows no bytes (``telemetry/recording_format.py``), asks nobody and reads no clock
(``recorder.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Final

import msgspec

from himalia.decoders import decoder_of
from himalia.messages.answers import ClusterInfo, ProcessLogs, ProfileSamples, TelemetryReport
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import LogLine, TaskRecord
from himalia.telemetry.baseline import before
from himalia.telemetry.recording_format import Packer
from himalia.telemetry.snapshot import Snapshot

PACK_BYTES: Final = 256 * 2**10
"""Bytes that are packed into one block at most; larger ones compress no better."""
PACK_SECONDS: Final = 1.0
"""Seconds that a death of this process may cost."""
BASE_BYTES: Final = 2**20
"""Bytes, not yet compressed, after which everything is said again: replay needn't begin at the start."""
LOGS_LINES: Final = 2_000
"""Lines recorded of one answer; a loud program must not push the telemetry out of the file."""

_decode = decoder_of(list[TaskRecord]).decode


class RecordingContents:
    """Turns what is told of a cluster into the frames of its recording.

    Times are epoch seconds.

    Parameters
    ----------
    write : callable
        Takes from the packer what makes a block.
    started : float
        When the recording began.
    """

    def __init__(self, write: Callable[[Packer], None], started: float) -> None:
        self._write = write
        self._started = started
        self._packer = Packer()
        self._snapshot = Snapshot()
        self._told = 0
        """Bytes packed so far."""
        self._base_due = 0
        """Value of ``_told`` at which everything is said again."""
        self._early: list[tuple[float, Telemetry]] | None = []
        """Pushes that came before the answer about the past; None once that is written."""
        self._known = 0
        """Calls that are in that answer, of all that ever ended."""

    def add_push(self, telemetry: Telemetry, now: float) -> None:
        """Take a push; before :meth:`add_past` it waits."""
        # The answer about the past says which calls it has, and so which of these are told already.
        if self._early is not None:
            self._early.append((now, telemetry))
            return
        self._tell_push(telemetry, now)
        if self._packer.nbytes >= PACK_BYTES or now - self._packer.first >= PACK_SECONDS:
            self._write(self._packer)

    def add_info(self, info: ClusterInfo, now: float) -> None:
        """Take an answer about hosts and workers."""
        # Kept, if it comes early: the first base is followed by it.
        self._snapshot.take_info(info)
        if self._early is None:
            self._add(now, "info", info)

    def add_past(self, report: TelemetryReport | None) -> None:
        """Take what the scheduler remembers of before, or None if it can't say; pushes that waited follow it."""
        if report is not None:
            self._tell_past(report)
            # What happened before is what a recording is begun for, often by somebody whose process is about to end.
            self._write(self._packer)
        self._tell_early()

    def add_logs(self, lines: dict[str, list[LogLine]], now: float) -> None:
        """Take new lines of processes."""
        self._add(now, "logs", lines)

    def add_profile(self, samples: ProfileSamples, now: float) -> None:
        """Take what profilers saw."""
        self._add(now, "profile", samples)

    def end(self, reason: str, now: float) -> None:
        """Write the rest."""
        # The answer about the past may never have come.
        self._tell_early()
        self._add(now, "end", reason)
        self._write(self._packer)

    def _add(self, now: float, kind: str, payload: object, *, records: int = 0) -> None:
        before = self._packer.nbytes
        self._packer.add(now, kind, payload, records=records)
        # Measured by what was packed: payloads come as structs, and only the packer knows their size.
        self._told += self._packer.nbytes - before

    def _tell_push(self, telemetry: Telemetry, now: float) -> None:
        telemetry = without_known(telemetry, self._known)
        # Before the push is taken in: the first one says what there was before all that the recording tells.
        if self._told >= self._base_due:
            self._tell_base(now)
        self._snapshot.take(telemetry)
        self._add(now, "telemetry", telemetry, records=count_records(telemetry))

    def _tell_base(self, now: float) -> None:
        """Say everything, at the beginning of a block."""
        # An index of blocks says where reading may begin, so a base can't be in the middle of one.
        self._write(self._packer)
        before = self._told
        self._add(now, "base", self._snapshot.telemetry())
        # Four times its size at least: bases of a cluster of many groups are a fifth of the file, and not all of it.
        self._base_due = self._told + max(BASE_BYTES, 4 * (self._told - before))
        if self._snapshot.info is not None:
            # Pushes name hosts by ids; who they are is in no base.
            self._add(now, "info", self._snapshot.info)

    def _tell_past(self, report: TelemetryReport) -> None:
        """Say what the scheduler remembers as if it had been followed, a second at a time."""
        # All that ended, of which the answer may have less: calls before ``last`` were not asked for.
        self._known = report.total
        self._snapshot.take(before(report))
        self._tell_base(min([record.timing.start for record in report.records], default=self._started))
        for second, some in groupby(sorted(report.records, key=end_of), key=lambda record: int(end_of(record)) + 1):
            records = list(some)
            # The end of the second, when all of these were over; but never later than what really came later.
            now = min(float(second), self._started)
            # Without a time of the scheduler's clock, which nobody knows of then.
            self._add(now, "telemetry", Telemetry(0.0, [], records, 0, {}), records=len(records))

    def _tell_early(self) -> None:
        early, self._early = self._early, None
        for now, telemetry in early or ():
            self._tell_push(telemetry, now)


def end_of(record: TaskRecord) -> float:
    """Return when a call ended, epoch seconds."""
    timing = record.timing
    return timing.start + timing.deserialize + timing.compute + timing.serialize


def count_records(telemetry: Telemetry) -> int:
    """Return the number of calls that a push tells of."""
    return len(telemetry.records) + sum(map(length_of_array, telemetry.blocks))


def without_known(telemetry: Telemetry, known: int) -> Telemetry:
    """Return a push without those of the first ``known`` calls ever, which were written before."""
    # A full follower is sent every record, so the newest number and their count say which these are.
    first = telemetry.status.total - count_records(telemetry)
    # Of those that were left out, too: who begins to follow late is told how many ended before.
    skipped = min(telemetry.skipped, max(0, first - known))
    if skipped < telemetry.skipped:
        telemetry = msgspec.structs.replace(telemetry, skipped=skipped)
    if first >= known:
        return telemetry
    # Unpacked only here, for the one or two pushes that overlap with the past.
    records = [record for block in telemetry.blocks for record in _decode(block)] + telemetry.records
    return msgspec.structs.replace(telemetry, blocks=[], records=records[known - first :])


def length_of_array(packed: bytes) -> int:
    """Return the length of a packed array, which its first bytes tell (``fixarray``, ``array 16``, ``array 32``)."""
    kind = packed[0]
    if kind & 0xF0 == 0x90:
        return kind & 0x0F
    return int.from_bytes(packed[1 : 3 if kind == 0xDC else 5], "big")


def newest_lines(logs: ProcessLogs, limit: int = LOGS_LINES) -> dict[str, list[LogLine]]:
    """Return the lines of an answer; of too many the newest."""
    lines = {name: some for name, some in logs.lines.items() if some}
    # Each process the same: a loud one must not push out what another said once.
    share = max(1, limit // max(1, len(lines)))
    return {name: some[-share:] for name, some in lines.items()}
