"""A recording at one moment: it tells its audience what somebody who followed the cluster would have been told by then.

Decides where reading begins: far enough back that a history is full, at a place where everything is said, so that
moving to any moment costs the same, however long the run was.  It reads no clock and draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from himalia.follow.source import Subscriber
from himalia.messages.answers import ClusterInfo, ProcessLogs, ProfileSamples
from himalia.messages.telemetry import LogLine
from himalia.telemetry.recording import RecordedFrame, Recording

Sample = tuple[float, str, int]


class Reel:
    """A recording, and the moment that it is at; at first the beginning.

    Parameters
    ----------
    recording : Recording
    records, seconds
        What a history keeps, see :class:`~himalia_widgets.view.history.History`.

    Attributes
    ----------
    time : float
        The moment, epoch seconds of whoever recorded; while something is told, the time when that was told.
    """

    def __init__(self, recording: Recording, *, records: int = 100_000, seconds: float = 3600.0) -> None:
        self.recording = recording
        self.time = recording.started
        self._records = records
        self._seconds = seconds
        self._audience: dict[int, Spectator] = {}
        self._count = 0
        self._start = 0
        """The block from which on was told what the audience knows."""
        self._next: RecordedFrame | None
        self._begin(0)
        self.seek(recording.started)

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
        while self._next is not None and self._next.time <= time:
            self.time = self._next.time
            for spectator in list(self._audience.values()):
                spectator.take(self._next)
            self._next = next(self._frames, None)
        self.time = time

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell somebody what was known at this moment, and from now on what is told when time moves."""
        self._count = number = self._count + 1
        spectator = self._audience[number] = Spectator(subscriber)
        now = self.time
        for frame in self.recording.frames(self._start):
            if frame.time > now:
                break
            self.time = frame.time
            spectator.take(frame)
        self.time = now

        def leave() -> None:
            self._audience.pop(number, None)

        return leave

    def lines(self, since: float = 0.0) -> ProcessLogs:
        """Return what was printed after ``since`` and until now, by process."""
        found: dict[str, list[LogLine]] = {}
        for frame in self._told("logs"):
            for name, lines in frame.logs().items():
                found.setdefault(name, []).extend(line for line in lines if since < line.time <= self.time)
        return ProcessLogs({name: lines for name, lines in found.items() if lines})

    def samples(self, since: float = 0.0) -> ProfileSamples:
        """Return what profilers saw after ``since`` and until now."""
        found: dict[str, list[Sample]] = {}
        for frame in self._told("profile"):
            for worker, samples in frame.profile().samples.items():
                found.setdefault(worker, []).extend(sample for sample in samples if since < sample[0] <= self.time)
        return ProfileSamples(found)

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
        """Tell everything again, from there on."""
        self._start = block
        self._frames = self.recording.frames(block)
        self._next = next(self._frames, None)
        for spectator in list(self._audience.values()):
            spectator.restart()


class Spectator:
    """Hands frames to a subscriber as what they were when they were recorded."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._info: ClusterInfo | None = None
        self._is_fresh = True
        """Whether nothing was told yet, so that what everything added up to is news."""

    def restart(self) -> None:
        """Say that all is told again."""
        self._info = None
        self._is_fresh = True
        if self._subscriber.on_restart is not None:
            self._subscriber.on_restart()

    def take(self, frame: RecordedFrame) -> None:
        """Tell of a frame."""
        if frame.kind == "telemetry" or (frame.kind == "base" and self._is_fresh):
            self._subscriber.on_telemetry(frame.telemetry())
            self._is_fresh = False
        elif frame.kind == "info" and self._subscriber.on_info is not None:
            info = frame.info()
            if info != self._info:
                self._info = info
                self._subscriber.on_info(info)
