"""The flight recorder: a follower of a cluster's whole telemetry that writes it to a file.

Decides what is recorded and how often.  It begins with what the scheduler still remembers, so that a recording
started after something went wrong shows it.  It never decides the bytes (``telemetry/recording.py``), and costs the
scheduler what any follower costs; packing and writing happen in the thread that follows.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import msgspec

from himalia.client.telemetry import TelemetryReport
from himalia.deploy.tape import Tape
from himalia.deploy.units import format_bytes, parse_bytes, parse_duration
from himalia.errors import HimaliaError, RecordingError, UsageError
from himalia.look import card, fact, facts
from himalia.messages import LogLine, TaskRecord, Telemetry
from himalia.telemetry.recording import Packer, new_header
from himalia.telemetry.standing import Standing

if TYPE_CHECKING:
    from himalia.deploy.control import Control
    from himalia.deploy.feed import ThreadFeed

T = TypeVar("T")
Lines = Mapping[str, list[LogLine] | str]
"""New lines by process; a text says why there are none."""

logger = logging.getLogger("himalia.recorder")

LIMIT: Final = 256 * 2**20
"""Bytes of a recording, unless something else is said: some 10 million calls."""
LEAST: Final = 64 * 2**10
"""Bytes below which a limit would keep nothing."""
LAST: Final = 300.0
"""Seconds before its start that a recording begins with, as far as the scheduler's ring reaches."""
PACK_BYTES: Final = 256 * 2**10
"""Bytes that are packed into one block at most; larger ones compress no better."""
PACK_SECONDS: Final = 1.0
"""Seconds that a death of this process may cost."""
BASE_BYTES: Final = 2**20
"""Bytes, not yet compressed, after which everything is said again: replay needn't begin at the start."""
LOGS_SECONDS: Final = 5.0
"""Seconds between two questions for new lines."""
LOGS_LINES: Final = 2_000
"""Lines recorded of one answer; a loud program must not push the telemetry out of the file."""
ASK_TIMEOUT: Final = 3.0
"""Seconds that a question at the start or the end may take; without its answer the recording lacks just that."""

_decode = msgspec.msgpack.Decoder(list[TaskRecord]).decode


def record(target: Any, path: str | os.PathLike[str], *, last: float | str, limit: int | str, logs: bool) -> Recorder:
    """Record the cluster that a cluster object or a client stands for; see :meth:`Cluster.record`."""
    from himalia.deploy.feed import ThreadFeed

    name = getattr(getattr(target, "cluster", None), "name", None) or target.name
    return Recorder(
        path, ThreadFeed.of(target, full=True), name, last=parse_duration(last), limit=parse_bytes(limit), logs=logs
    )


class Recorder:
    """A recording under way; what ``cluster.record(path)`` and ``client.record(path)`` return.

    Usable as a context manager.  It ends by itself with its cluster.

    Attributes
    ----------
    path : Path
    is_running : bool
    reason : str
        Why it ended.
    """

    def __init__(
        self, path: str | os.PathLike[str], feed: ThreadFeed, cluster: str, *, last: float, limit: int, logs: bool
    ) -> None:
        if limit < LEAST:
            raise UsageError(f"limit={limit} is too small for a recording; {format_bytes(LEAST)} is the least.")
        self.path = Path(path).expanduser()
        self.is_running = True
        self.reason = ""
        self._failure = ""
        self._feed = feed
        self._lock = threading.Lock()
        """Held by whoever writes: the feed's thread, or the one that stops it."""
        self._packer = Packer()
        self._standing = Standing()
        self._told = 0
        """Bytes packed so far."""
        self._base_due = 0
        """Value of ``_told`` at which everything is said again."""
        self._early: list[tuple[float, Telemetry]] | None = []
        """Pushes that came before the answer about the past; None once that is written."""
        self._known = 0
        """Calls that are in that answer, of all that ever ended."""
        self._started = time.time()
        self._since = self._started - last
        self._lines_since = self._since
        self._logs_at = self._started if logs else math.inf
        self._tape = Tape(self.path, new_header(cluster, now=self._started), limit)
        self._unsubscribe = feed.subscribe(self._take, self._take_info, self._finish)
        feed.post(self._ask_past, self._take_past)

    def __repr__(self) -> str:
        state = "running" if self.is_running else f"ended: {self.reason}"
        return f"<Recorder: {str(self.path)!r}, {format_bytes(self._tape.nbytes)}, {state}>"

    def _repr_html_(self) -> str:
        status, label = ("running", "recording") if self.is_running else ("closed", "ended")
        content = facts(
            fact("Size", format_bytes(self._tape.nbytes)),
            fact("Open it with", escape(f"himalia replay {self.path.name}"), code=True),
            *([fact("Ended because", escape(self.reason))] if self.reason else []),
        )
        return card("Recording", str(self.path), status=status, label=label, content=content)

    def stop(self) -> None:
        """End the recording, with what profilers saw and what was printed last; a second time does nothing.

        Raises
        ------
        RecordingError
            If the file isn't complete because it could not be written.
        """
        self.finish()
        if self._failure:
            raise RecordingError(self._failure)

    def finish(self) -> None:
        """Do what :meth:`stop` does, and raise nothing."""
        if self.is_running:
            if math.isfinite(self._logs_at):
                self._take_logs(self._answer(self._ask_logs), None)
            self._take_profile(self._answer(self._ask_profile))
            self._finish("it was stopped")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except RecordingError:
            if value is None:
                raise

    # Questions

    async def _ask_past(self, control: Control) -> TelemetryReport:
        return await control.telemetry(self._since)

    async def _ask_logs(self, control: Control) -> Lines:
        return await control.logs(self._lines_since)

    async def _ask_profile(self, control: Control) -> dict[str, Any]:
        return await control.profile(self._since)

    def _answer(self, question: Callable[[Control], Coroutine[Any, Any, T]]) -> T | None:
        """Return an answer, or None if none can be had: the recording lacks just that."""
        try:
            return self._feed.ask(question, ASK_TIMEOUT)
        except HimaliaError:
            return None

    # The feed's thread, or the one that stops

    def _take(self, telemetry: Telemetry) -> None:
        now = time.time()
        with self._writing():
            if self._early is not None:
                self._early.append((now, telemetry))
            else:
                self._add_push(now, telemetry)
            self._write_if_due(now)
        if self.is_running and now >= self._logs_at + LOGS_SECONDS:
            self._logs_at = now
            self._feed.post(self._ask_logs, self._take_logs)

    def _take_info(self, info: dict[str, Any]) -> None:
        with self._writing():
            self._standing.take_info(info)
            if self._early is None:
                self._add(time.time(), "info", info)

    def _take_past(self, report: TelemetryReport | None, failure: BaseException | None) -> None:
        with self._writing():
            if report is not None:
                self._add_past(report)
            self._add_early()

    def _take_logs(self, answer: Lines | None, failure: BaseException | None) -> None:
        with self._writing():
            lines = newest_lines(answer or {})
            if lines:
                self._lines_since = max(line.time for some in lines.values() for line in some)
                self._add(time.time(), "logs", lines)

    def _take_profile(self, answer: dict[str, Any] | None) -> None:
        with self._writing():
            if answer:
                self._add(time.time(), "profile", answer)

    def _finish(self, reason: str) -> None:
        """Write the rest and close the file; called once by whoever is first."""
        with self._writing():
            if self.is_running:
                self._add_early()
                self._add(time.time(), "end", reason)
                self._tape.write(self._packer)
                self._end(reason)
        self._unsubscribe()

    # With the lock

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock; if something can't be written, that is the end of the recording."""
        with self._lock:
            try:
                yield
            except OSError as error:
                self._failure = (
                    f"{self.path} could not be written any more: {error.strerror or error}. What is in it can be "
                    f"replayed; free some room, and record to another file."
                )
                logger.warning("%s", self._failure)
                self._end(self._failure)

    def _end(self, reason: str) -> None:
        self.is_running = False
        self.reason = reason
        self._tape.close()

    def _add(self, now: float, kind: str, payload: Any, *, records: int = 0) -> None:
        if self.is_running:
            before = self._packer.nbytes
            self._packer.add(now, kind, payload, records=records)
            self._told += self._packer.nbytes - before

    def _add_push(self, now: float, telemetry: Telemetry) -> None:
        telemetry = without_known(telemetry, self._known)
        self._standing.take(telemetry)
        if self._told >= self._base_due:
            self._add_base(now)
        self._add(now, "telemetry", telemetry, records=count_records(telemetry))

    def _add_base(self, now: float) -> None:
        """Say everything, at the beginning of a block."""
        self._tape.write(self._packer)
        before = self._told
        self._add(now, "base", self._standing.telemetry())
        self._base_due = self._told + max(BASE_BYTES, 4 * (self._told - before))
        if self._standing.info:
            self._add(now, "info", self._standing.info)

    def _add_past(self, report: TelemetryReport) -> None:
        """Say what the scheduler remembers as if it had been followed, a second at a time."""
        self._known = report.total
        self._standing.take(Telemetry(self._started, report.groups, [], 0, {}))
        for second, some in groupby(sorted(report.records, key=end_of), key=lambda record: int(end_of(record)) + 1):
            records = list(some)
            now = min(float(second), self._started)
            self._add(now, "telemetry", Telemetry(now, [], records, 0, {}), records=len(records))

    def _add_early(self) -> None:
        early, self._early = self._early, None
        for now, telemetry in early or ():
            self._add_push(now, telemetry)

    def _write_if_due(self, now: float) -> None:
        if self._packer.nbytes >= PACK_BYTES or now - self._packer.first >= PACK_SECONDS:
            self._tape.write(self._packer)


def end_of(record: TaskRecord) -> float:
    """Return when a call ended, epoch seconds."""
    timing = record.timing
    return timing.start + timing.deserialize + timing.compute + timing.serialize


def count_records(telemetry: Telemetry) -> int:
    """Return the number of calls that a push tells of."""
    return len(telemetry.records) + sum(map(length_of_array, telemetry.blocks))


def without_known(telemetry: Telemetry, known: int) -> Telemetry:
    """Return a push without those of the first ``known`` calls ever, which were written before."""
    first = telemetry.status.total - count_records(telemetry)
    if first >= known:
        return telemetry
    records = [record for block in telemetry.blocks for record in _decode(block)] + telemetry.records
    return msgspec.structs.replace(telemetry, blocks=[], records=records[known - first :])


def length_of_array(packed: bytes) -> int:
    """Return the length of a packed array, which its first bytes tell (``fixarray``, ``array 16``, ``array 32``)."""
    kind = packed[0]
    if kind & 0xF0 == 0x90:
        return kind & 0x0F
    return int.from_bytes(packed[1 : 3 if kind == 0xDC else 5], "big")


def newest_lines(answer: Lines, limit: int = LOGS_LINES) -> dict[str, list[LogLine]]:
    """Return the lines of an answer, without those of processes that can't tell; of too many the newest."""
    lines = {name: some for name, some in answer.items() if some and not isinstance(some, str)}
    share = max(1, limit // max(1, len(lines)))
    return {name: some[-share:] for name, some in lines.items()}
