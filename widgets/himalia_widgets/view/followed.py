"""A source, and the history of what it told: what the pages of a dashboard are drawn from."""

from __future__ import annotations

from himalia.follow.source import Source
from himalia.messages.client import Telemetry
from himalia_widgets.view.history import History


class Followed:
    """Follows a source from now on; belongs to the loop of that.

    Parameters
    ----------
    source : Source
    records, seconds
        What the history keeps, see :class:`History`.

    Attributes
    ----------
    history : History
        Another one after the time of a recording went back; its ``stamp`` tells of every change.
    """

    def __init__(self, source: Source, *, records: int = 100_000, seconds: float = 3600.0) -> None:
        self.source = source
        self._records = records
        self._seconds = seconds
        self._begin()
        # A lambda: the history may be another one by then.
        self.leave = source.subscribe(self._take, lambda info: self.history.take_info(info), on_restart=self._begin)

    def _begin(self) -> None:
        self.history = History(records=self._records, seconds=self._seconds)

    def _take(self, telemetry: Telemetry) -> None:
        self.history.take(telemetry, now=self.source.now())
