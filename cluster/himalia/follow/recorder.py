"""The flight recorder: a follower of a cluster's whole telemetry that writes it to a file.

A recording begins with what the scheduler still remembers, so that one started after something went wrong shows it.
One that is stopped has all that the scheduler knew at that moment: it is asked for what wasn't pushed yet.
This module decides what the cluster is asked, and when a recording ends; ``recording_contents.py`` what it says,
``recording_file.py`` where the bytes go.  It costs the scheduler what any follower costs; packing and writing happen in
the thread that follows.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from himalia.errors import HimaliaError, RecordingError, UsageError
from himalia.follow.recording_contents import RecordingContents, newest_lines
from himalia.follow.recording_file import RecordingFile
from himalia.follow.source import Followable, Question, Source
from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ClusterInfo, ProcessLogs, ProfileSamples, TelemetryReport
from himalia.messages.client import Telemetry
from himalia.show.look import card, fact, facts
from himalia.show.units import format_bytes, parse_bytes, parse_duration
from himalia.telemetry.recording_format import new_header

T = TypeVar("T")

logger = logging.getLogger("himalia.recorder")

LEAST: Final = 64 * 2**10
"""Bytes below which a limit would keep nothing."""
LOGS_SECONDS: Final = 5.0
"""Seconds between two questions for new lines."""
ASK_TIMEOUT: Final = 3.0
"""Seconds that a question at the start or the end may take; without its answer the recording lacks just that."""


def record(
    target: Followable, path: str | os.PathLike[str], *, last: float | str, limit: int | str, logs: bool
) -> Recorder:
    """Record the cluster that a cluster object or a client stands for; see :meth:`Cluster.record`."""
    feed = ThreadFeed.of(target, full=True)
    seconds, nbytes = parse_duration(last), parse_bytes(limit)
    return Recorder(path, feed, target.cluster_name, last=seconds, limit=nbytes, logs=logs)


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
        started = time.time()
        self._stopped = math.inf
        """When it was stopped: what is still asked for tells of the time until then."""
        self._since = started - last
        self._lines_since = self._since
        # Never due: one comparison for both cases.
        self._logs_at = started if logs else math.inf
        self._file = RecordingFile(self.path, new_header(cluster, now=started), limit)
        self._contents = RecordingContents(lambda packer: self._file.write(packer), started)
        self._unsubscribe: Callable[[], None] = lambda: None  # it may end before subscribing has returned
        # Before the past is asked for: what happens in between is in a push or in the answer, if not in both.
        self._unsubscribe = feed.subscribe(self._take, self._take_info, self._finish, self._take_restart)
        feed.post(self._ask_past, self._take_past)

    def __repr__(self) -> str:
        state = "running" if self.is_running else f"ended: {self.reason}"
        return f"<Recorder: {str(self.path)!r}, {format_bytes(self._file.nbytes)}, {state}>"

    def _repr_html_(self) -> str:
        status, label = ("running", "recording") if self.is_running else ("closed", "ended")
        content = facts(
            fact("Size", format_bytes(self._file.nbytes)),
            fact("Open it with", escape(f"himalia replay {self.path.name}"), code=True),
            *([fact("Ended because", escape(self.reason))] if self.reason else []),
        )
        return card("Recording", str(self.path), status=status, label=label, content=content)

    def stop(self) -> None:
        """End the recording, with every call that the scheduler knows to have ended by now; a second time does nothing.

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
            # The block that is recorded ends here, not when everybody has answered.
            self._stopped = time.time()
            # Pushes come four times a second: calls whose results a user has by now may be in none of them yet.
            self._answer(self._ask_rest)
            # The last lines tell most, and nobody has asked for them for up to five seconds.
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
            # What the block raised matters more; the recording's own trouble was logged.
            if value is None:
                raise

    # Questions

    async def _ask_past(self, source: Source) -> TelemetryReport:
        return await source.telemetry(self._since)

    async def _ask_rest(self, source: Source) -> None:
        await source.catch_up()

    async def _ask_logs(self, source: Source) -> ProcessLogs:
        return await source.logs(self._lines_since)

    async def _ask_profile(self, source: Source) -> ProfileSamples:
        return await source.profile(self._since)

    def _answer(self, question: Question[T]) -> T | None:
        """Return an answer, or None if none can be had: the recording lacks just that."""
        try:
            return self._feed.ask(question, ASK_TIMEOUT)
        # The cluster may have just died, which is a reason to stop.
        except HimaliaError:
            return None

    # The feed's thread, or the one that stops

    def _now(self) -> float:
        return min(time.time(), self._stopped)

    def _take(self, telemetry: Telemetry) -> None:
        now = self._now()
        self._write(lambda: self._contents.add_push(telemetry, now))
        # With a push, since there is one four times a second: no timer of its own.
        if self.is_running and now >= self._logs_at + LOGS_SECONDS:
            self._logs_at = now
            self._feed.post(self._ask_logs, self._take_logs)

    def _take_info(self, info: ClusterInfo) -> None:
        self._write(lambda: self._contents.add_info(info, self._now()))

    def _take_restart(self) -> None:
        # A file whose times go back can't be replayed from any moment.
        self._finish("the time of what it records was moved back")

    def _take_past(self, report: TelemetryReport | None, failure: BaseException | None) -> None:
        # Without an answer, too (None): pushes that wait for it must be written.
        self._write(lambda: self._contents.add_past(report))

    def _take_logs(self, answer: ProcessLogs | None, failure: BaseException | None) -> None:
        lines = newest_lines(answer) if answer is not None else {}
        if lines:
            # By the lines' own clock, not ours: so none is told twice.
            self._lines_since = max(line.time for some in lines.values() for line in some)
            self._write(lambda: self._contents.add_logs(lines, self._now()))

    def _take_profile(self, answer: ProfileSamples | None) -> None:
        if answer is not None and (answer.samples or answer.problems):
            self._write(lambda: self._contents.add_profile(answer, self._now()))

    def _finish(self, reason: str) -> None:
        """Write the rest and close the file."""

        def end() -> None:
            self._contents.end(reason, self._now())
            self._end(reason)

        self._write(end)

    def _write(self, tell: Callable[[], None]) -> None:
        """Add something to the contents; if that can't be written, it is the end.  Nothing after the end."""
        with self._lock:
            # Looked at under the lock: who stops and who follows are two threads, and a closed file takes nothing.
            if self.is_running:
                try:
                    tell()
                except OSError as error:
                    self._failure = (
                        f"{self.path} could not be written any more: {error.strerror or error}. What is in it can be "
                        f"replayed; free some room, and record to another file."
                    )
                    logger.warning("%s", self._failure)
                    # Not raised: this may be the feed's thread, where nobody would catch it.
                    self._end(self._failure)
        if not self.is_running:
            self._unsubscribe()  # without the lock: this may wait for the feed's thread, which may wait for the lock

    def _end(self, reason: str) -> None:
        self.is_running = False
        self.reason = reason
        self._file.close()
