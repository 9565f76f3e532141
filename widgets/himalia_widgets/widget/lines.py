"""The output of all processes, fetched bit by bit for the Logs tab.

Decides what is asked for and in which form it goes to the page; a person reads hundreds of lines, not millions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypedDict

from himalia.messages.answers import ProcessLogs
from himalia.messages.telemetry import LogLine

Row = list[float | str]
"""``[time, process, level, text, key]``."""


class NewLines(TypedDict):
    """Message to a page; without ``full``, the lines follow those that it has."""

    type: Literal["lines"]
    full: bool
    lines: list[Row]


SHOWN: Final = 2000
"""Lines sent at once, the newest."""
TEXT: Final = 2000
"""Characters of a line."""
SMALL: Final = 64
"""Workers up to which all that is kept is fetched at the start; of more, only the last minute."""


class LineReader:
    """How far the output was read."""

    def __init__(self) -> None:
        self.since = 0.0
        self._is_new = True
        self._own: dict[str, list[str]] = {}
        """What each process that the cluster object started had written."""
        self._problems: dict[str, str] = {}

    def restart(self, workers: int, now: float) -> None:
        """Read from the beginning, for a page that has nothing."""
        self.since = 0.0 if workers <= SMALL else now - 60.0
        self._is_new = True
        self._own.clear()
        self._problems.clear()

    def take(self, answer: ProcessLogs, own: Mapping[str, str]) -> NewLines | None:
        """Return the message to a page for the answer of :meth:`Source.logs`, or None if there is nothing new.

        Parameters
        ----------
        own : mapping of str to str
            What the processes that the cluster object started wrote, which bears no times.
        """
        lines: list[Row] = []
        for process, text in own.items():
            texts = text.splitlines()
            lines += [[0.0, process, "stderr", text[:TEXT], ""] for text in added(self._own.get(process, []), texts)]
            self._own[process] = texts
        timed = [row for process, found in answer.lines.items() for row in read(process, found)]
        # Each process is in order, all of them together aren't.
        timed.sort(key=lambda line: line[0])
        # Once, not with every question: a host that can't answer would push all else out.
        new = {process: why for process, why in answer.problems.items() if self._problems.get(process) != why}
        self._problems = dict(answer.problems)
        problems: list[Row] = [[0.0, process, "ERROR", why[:TEXT], ""] for process, why in new.items()]
        lines = (lines + timed + problems)[-SHOWN:]
        # Never back: an answer may have no lines at all.
        self.since = max([self.since, *(line.time for found in answer.lines.values() for line in found)])
        # A page that opens the tab is told even of nothing: it waits for an answer.
        if not lines and not self._is_new:
            return None
        message: NewLines = {"type": "lines", "full": self._is_new, "lines": lines}
        self._is_new = False
        return message


def read(process: str, lines: list[LogLine]) -> list[Row]:
    """Return the lines of a process as rows."""
    return [[line.time, process, line.source, line.text[:TEXT], line.key] for line in lines]


def added(before: list[str], now: list[str]) -> list[str]:
    """Return the lines that came since ``before``; they bear no times, and the oldest of them are let go of."""
    for gone in range(len(before)):
        kept = len(before) - gone
        if before[gone:] == now[:kept]:
            return now[kept:]
    return now
