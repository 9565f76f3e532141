"""A recording as a source for the dashboard's pages, and its transport: a moment that is chosen, or runs.

Decides how often a running replay moves.  It belongs to the event loop of the server that shows it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, Self

from himalia.errors import RecordingError
from himalia.messages.answers import ProcessLogs, ProfileSamples, TaskView
from himalia.telemetry.recording import Recording
from himalia_widgets.replay.reel import Reel
from himalia_widgets.view.history import History

STEP: Final = 0.1
"""Seconds between two moves of a replay that runs."""


class ReplaySource:
    """What pages draw from; see :class:`himalia_widgets.view.source.Source`.

    Attributes
    ----------
    reel : Reel
    speed : float
        Recorded seconds for each second, while it runs.
    is_playing : bool
    """

    is_live = False

    def __init__(self, recording: Recording, title: str) -> None:
        self.reel = Reel(recording)
        self.title = title
        self.speed = 1.0
        self._playing: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, path: str) -> Self:
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
        return self.reel.history

    @property
    def is_playing(self) -> bool:
        """Whether time runs."""
        return self._playing is not None

    def seek(self, moment: float) -> None:
        """Show another moment, epoch seconds."""
        self.reel.seek(moment)

    def play(self) -> None:
        """Let time run to the end; at the end, from the start."""
        if self._playing is None:
            if self.reel.time >= self.reel.ended:
                self.reel.seek(self.reel.started)
            self._playing = asyncio.get_running_loop().create_task(self._run())

    def pause(self) -> None:
        """Let time stand still."""
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None

    async def describe_task(self, key: str) -> TaskView:
        """Return what telemetry told of a call."""
        return self.reel.describe(key)

    async def logs(self) -> ProcessLogs:
        """Return what was printed until that moment."""
        return await asyncio.to_thread(self.reel.lines)

    async def profile(self, since: float = 0.0) -> ProfileSamples:
        """Return what profilers saw until that moment."""
        return await asyncio.to_thread(self.reel.samples, since)

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        before = clock()
        while self.reel.time < self.reel.ended:
            await asyncio.sleep(STEP)
            now = clock()
            self.reel.seek(self.reel.time + (now - before) * self.speed)
            before = now
        self._playing = None
