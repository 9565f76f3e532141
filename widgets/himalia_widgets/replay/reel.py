"""A recording at one moment: the history that somebody who followed the cluster would have had then.

Decides where reading begins: far enough back that the history is full, at a place where everything is said, so that
moving to any moment costs the same, however long the run was.  It reads no clock and draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from himalia.messages.answers import ErrorView, ProcessLogs, ProfileSamples, TaskView
from himalia.messages.telemetry import LogLine
from himalia.names import Key
from himalia.telemetry.recording import RecordedFrame, Recording
from himalia_widgets.view.history import History

Sample = tuple[float, str, int]


class Reel:
    """A recording, and the moment that it is at; at first the end.

    Parameters
    ----------
    recording : Recording
    records, seconds
        What the history keeps, see :class:`History`.

    Attributes
    ----------
    history : History
        Another one after time went back, or far ahead.
    time : float
        The moment, epoch seconds of whoever recorded.
    """

    def __init__(self, recording: Recording, *, records: int = 100_000, seconds: float = 3600.0) -> None:
        self.recording = recording
        self.time = recording.started
        self._records = records
        self._seconds = seconds
        self._next: RecordedFrame | None
        self._begin(0)
        self.seek(recording.ended)

    @property
    def started(self) -> float:
        """The first moment."""
        return self.recording.started

    @property
    def ended(self) -> float:
        """The last moment."""
        return self.recording.ended

    def seek(self, time: float) -> None:
        """Move to a moment; beyond either end is that end."""
        time = min(max(time, self.started), self.ended)
        start = self._start_for(time)
        if time < self.time or (start and self.recording.blocks[start].first > self.time):
            self._begin(start)
        self.time = time
        while self._next is not None and self._next.time <= time:
            self._feed(self._next)
            self._next = next(self._frames, None)
        self.history.now = max(self.history.now, time)
        self.history.version += 1

    def lines(self) -> ProcessLogs:
        """Return what was printed until now, by process."""
        found: dict[str, list[LogLine]] = {}
        for frame in self._told("logs"):
            for name, lines in frame.logs().items():
                found.setdefault(name, []).extend(line for line in lines if line.time <= self.time)
        return ProcessLogs({name: lines for name, lines in found.items() if lines})

    def samples(self, since: float = 0.0) -> ProfileSamples:
        """Return what profilers saw after ``since`` and until now."""
        found: dict[str, list[Sample]] = {}
        for frame in self._told("profile"):
            for worker, samples in frame.profile().samples.items():
                found.setdefault(worker, []).extend(sample for sample in samples if since < sample[0] <= self.time)
        return ProfileSamples(found)

    def describe(self, key: str) -> TaskView:
        """Return what is known of a call: what telemetry tells of it."""
        calls = self.history.calls
        found = calls.of_key(key)
        if not found:
            why = "No call of that key had ended by then, or it is older than what the recording keeps at this moment."
            return TaskView(Key(key), why=why)
        row = {name: column[found[-1]] for name, column in calls.columns.items()}
        worker = calls.lanes[int(row["lane"])].worker
        times = ", ".join(
            f"{float(row[part]) * 1000:.3g} ms {word}"
            for part, word in (
                ("transfer", "to fetch inputs"),
                ("deserialize", "to read them"),
                ("compute", "to run"),
                ("serialize", "to write the result"),
            )
            if row[part] > 0
        )
        outcome = "failed" if row["failed"] else "finished"
        return TaskView(
            key=Key(key),
            group=calls.groups[int(row["group"])],
            status=outcome,
            why=f"It {outcome} on {worker}: {times or 'at once'}.",
            worker=worker,
            tries=len(found),
            nbytes=int(row["nbytes"]),
            error=self._error_of(key),
        )

    def _error_of(self, key: str) -> ErrorView | None:
        for summary in self.history.errors.values():
            error = summary.error
            if error.key == key:
                return ErrorView(error.key, error.kind, error.text, error.worker, error.attempts)
        return None

    def _told(self, kind: str) -> Iterator[RecordedFrame]:
        """Yield all frames of a kind; those that were said at the end tell of earlier times too."""
        return (frame for frame in self.recording.frames() if frame.kind == kind)

    def _start_for(self, time: float) -> int:
        """Return the block from which on everything is read that a full history at ``time`` holds."""
        blocks = self.recording.blocks
        index = max(0, sum(block.first <= time for block in blocks) - 1)
        records = 0
        while index > 0 and records < self._records and time - blocks[index].first < self._seconds:
            index -= 1
            records += blocks[index].records
        while index > 0 and not blocks[index].starts:
            index -= 1
        return index

    def _begin(self, block: int) -> None:
        """Forget everything, and read from there on."""
        self.history = History(records=self._records, seconds=self._seconds)
        self._frames = self.recording.frames(block)
        self._next = next(self._frames, None)
        self._is_fresh = True

    def _feed(self, frame: RecordedFrame) -> None:
        history = self.history
        if frame.kind == "telemetry" or (frame.kind == "base" and self._is_fresh):
            history.take(frame.telemetry(), now=frame.time)
            self._is_fresh = False
        elif frame.kind == "info":
            info = frame.info()
            if info != history.info:
                history.take_info(info)
