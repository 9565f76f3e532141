"""A recording at one moment: it tells its audience what somebody who followed the cluster would have been told by then.

What is counted is counted from the recording's start, whatever the cluster had done before.
Decides where reading begins: far enough back that a history is full, at a place where everything is said, so that
moving to any moment costs the same, however long the run was.  It reads no clock and draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from himalia.follow.source import Subscriber
from himalia.messages.answers import ClusterInfo, ProcessLogs, ProfileSamples
from himalia.messages.telemetry import LogLine
from himalia.telemetry.baseline import Baseline
from himalia.telemetry.recording_format import RecordedFrame, Recording

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
        self._baseline = recording.baseline()
        self._audience: dict[int, Spectator] = {}
        self._count = 0
        self._start = 0
        """The block from which on the audience was told."""
        self._next: RecordedFrame | None
        # From the first block, whose snapshot says what was before the recording.
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
        # Far ahead as well: what is skipped would have fallen out of a full history anyway.
        if time < self.time or (start and self.recording.blocks[start].first > self.time):
            self._begin(start)
        while self._next is not None and self._next.time <= time:
            # While a frame is told, this is when it was recorded: those who are told ask for it.
            self.time = self._next.time
            # A copy: who is told may leave.
            for spectator in list(self._audience.values()):
                spectator.take(self._next)
            self._next = next(self._frames, None)
        self.time = time

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell somebody what was known at this moment, and from now on what is told when time moves."""
        self._count = number = self._count + 1
        spectator = self._audience[number] = Spectator(subscriber, self._baseline)
        now = self.time
        # From where the others were told, so that all know the same.
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
                # By the line's own time: lines are recorded every few seconds.
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
        """Yield all frames of a kind; those that were written at the end tell of earlier times too."""
        return (frame for frame in self.recording.frames() if frame.kind == kind)

    def _start_for(self, time: float) -> int:
        """The block to read from, so that a history at ``time`` is full."""
        blocks = self.recording.blocks
        # By heads of blocks only: nothing is unpacked to find the place.
        index = max(0, sum(block.first <= time for block in blocks) - 1)
        records = 0
        while index > 0 and records < self._records and time - blocks[index].first < self._seconds:
            index -= 1
            records += blocks[index].records
        # Further back to a block that says everything: the ones between only tell what changed.
        while index > 0 and not blocks[index].starts:
            index -= 1
        return index

    def _begin(self, block: int) -> None:
        """Tell everything again, from there on."""
        self._start = block
        self._frames = self.recording.frames(block)
        # One frame ahead: whether it is due shows only once it is read.
        self._next = next(self._frames, None)
        for spectator in list(self._audience.values()):
            spectator.restart()


class Spectator:
    """Hands frames to a subscriber as what they were when they were recorded."""

    def __init__(self, subscriber: Subscriber, baseline: Baseline) -> None:
        self._subscriber = subscriber
        self._baseline = baseline
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
        # A snapshot in the middle says nothing new to who has been there.
        if frame.kind == "telemetry" or (frame.kind == "base" and self._is_fresh):
            self._subscriber.on_telemetry(self._baseline.since(frame.telemetry()))
            self._is_fresh = False
        elif frame.kind == "info" and self._subscriber.on_info is not None:
            info = frame.info()
            # It is recorded after each snapshot, whether or not it changed; a new answer makes views arrange anew.
            if info != self._info:
                self._info = info
                self._subscriber.on_info(info)
