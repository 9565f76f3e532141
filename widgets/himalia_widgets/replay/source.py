"""A recording as a source of views, and its transport: a moment that is chosen, or runs.

Decides how often a running replay moves, and what can't be done to a cluster that was.  It belongs to the event loop of
the server that shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from himalia.errors import RecordingError, UsageError
from himalia.follow.source import Action, Subscriber
from himalia.messages.answers import ClusterInfo, ProcessLogs, ProfileSamples, Scaled, TaskView, TelemetryReport
from himalia.messages.client import Telemetry
from himalia.telemetry.recording_format import Recording
from himalia_widgets.replay.described import describe
from himalia_widgets.replay.reel import Reel
from himalia_widgets.view.followed import Followed
from himalia_widgets.view.history import History

STEP: Final = 0.1
"""Seconds between two moves of a replay that runs."""
OVER: Final = "This is a recording: what it shows has happened."


class ReplaySource:
    """A :class:`himalia.follow.source.Source` whose time is moved by hand; nothing that is done to it has an effect.

    Parameters
    ----------
    recording : Recording
    title : str
    records, seconds
        What a history keeps, see :class:`History`.

    Attributes
    ----------
    reel : Reel
    followed : Followed
        Its first follower, who knows what was known at the moment that is chosen.
    speed : float
        Recorded seconds for each second, while it runs.
    is_playing : bool
    """

    is_live = False

    def __init__(self, recording: Recording, title: str, *, records: int = 100_000, seconds: float = 3600.0) -> None:
        self.reel = Reel(recording, records=records, seconds=seconds)
        self.title = title
        self.speed = 1.0
        self._playing: asyncio.Task[None] | None = None
        self.followed = Followed(self, records=records, seconds=seconds)
        self.seek(self.reel.ended)

    @classmethod
    def read(cls, path: str) -> Self:
        """Return the source of a file.

        Raises
        ------
        RecordingError
            If it can't be read, or isn't a recording.
        """
        try:
            data = Path(path).expanduser().read_bytes()
        except OSError as error:
            raise RecordingError(f"{path} can't be read: {error.strerror or error}.") from error
        return cls(Recording(data, Path(path).name), Path(path).name)

    @property
    def history(self) -> History:
        """What was known at the moment that is chosen."""
        return self.followed.history

    @property
    def length(self) -> float:
        """Seconds from the recording's start to its end, whatever moment is chosen."""
        return self.reel.recording.length

    @property
    def calls(self) -> int:
        """Calls of the recording that had ended by the moment that is chosen, those that failed included.

        Each counts once, however often it was tried, as on all pages (:class:`himalia.messages.telemetry.TaskCounts`).
        """
        return self.history.counts.ended

    # Transport

    @property
    def is_playing(self) -> bool:
        """Whether time runs."""
        return self._playing is not None

    def seek(self, moment: float) -> None:
        """Show another moment, epoch seconds."""
        self.reel.seek(moment)
        # Also where nothing was told: calls that run reach to this moment.
        self.history.move(self.reel.time)

    def play(self) -> None:
        """Let time run to the end; at the end, from the start."""
        if self._playing is None:
            if self.reel.time >= self.reel.ended:
                self.seek(self.reel.started)
            # Kept: a loop holds its tasks weakly.
            self._playing = asyncio.get_running_loop().create_task(self._run())

    def pause(self) -> None:
        """Let time stand still."""
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None

    async def _run(self) -> None:
        # The loop's clock, which a test moves; and by it, not by STEP, so that a step that was late is made up for.
        clock = asyncio.get_running_loop().time
        before = clock()
        while self.reel.time < self.reel.ended:
            await asyncio.sleep(STEP)
            now = clock()
            self.seek(self.reel.time + (now - before) * self.speed)
            before = now
        self._playing = None

    # See himalia.follow.source.Source

    def now(self) -> float:
        """Return the moment that is chosen; while something is told, when that was told."""
        return self.reel.time

    async def open(self) -> None:
        """Do nothing: a recording was read when it was named."""

    async def close(self) -> None:
        """Let time stand still."""
        self.pause()

    async def info(self) -> ClusterInfo:
        """Return who was there at that moment."""
        return self.history.info

    async def telemetry(self, since: float = 0.0, span: str = "") -> TelemetryReport:
        """Return the summaries of that moment; single calls are in what subscribers are told."""
        groups = self.history.groups.values()
        return TelemetryReport([group for group in groups if span in ("", group.span)], [])

    async def describe_task(self, key: str) -> TaskView:
        """Return what telemetry told of a call."""
        return describe(self.history, key)

    async def logs(self, since: float = 0.0) -> ProcessLogs:
        """Return what was printed until that moment."""
        # In a thread: every block of the file is unpacked for it.
        return await asyncio.to_thread(self.reel.lines, since)

    async def profile(self, since: float = 0.0) -> ProfileSamples:
        """Return what profilers saw until that moment."""
        # As with logs; samples are mostly told at the very end.
        return await asyncio.to_thread(self.reel.samples, since)

    def subscribe(
        self,
        on_telemetry: Callable[[Telemetry], object],
        on_info: Callable[[ClusterInfo], object] | None = None,
        on_end: Callable[[str], object] | None = None,
        on_restart: Callable[[], object] | None = None,
    ) -> Callable[[], None]:
        """Have told what was told until that moment, and what follows when time moves; it never ends by itself."""
        return self.reel.subscribe(Subscriber(on_telemetry, on_info, on_end, on_restart))

    async def catch_up(self) -> None:
        """Do nothing: until the moment that is chosen, all was told."""

    def obstacle(self, action: Action) -> str:
        """Return why nothing can be done."""
        return OVER

    async def scale(self, workers: int) -> Scaled:
        """Refuse."""
        raise UsageError(OVER)

    async def restart_workers(self, names: list[str]) -> dict[str, str]:
        """Refuse."""
        raise UsageError(OVER)
