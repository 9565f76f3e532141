"""What a cluster had counted before a recording of it begins, so that a recording counts what is in it.

A scheduler counts from its own start.  It says how things stand now, and which calls ended lately: so how they stood
before those.  That is taken off of what is told later.  It knows no file and reads no clock.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from himalia.messages.answers import TelemetryReport
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import GroupSummary, SchedulerStatus, TaskCounts, TaskRecord

Counted = TypeVar("Counted", GroupSummary, TaskCounts)

SUMS: Final = (
    "erred", "finished", "failed", "compute", "transfer", "deserialize", "serialize", "nbytes", "moved", "done",
    "cancelled", "wasted",
)  # fmt: skip
"""Fields of a :class:`GroupSummary` that add up what happened; the others say how it is now."""
OUTCOMES: Final = ("done", "failed", "cancelled")
"""The same of :class:`TaskCounts`."""


def before(report: TelemetryReport) -> Telemetry:
    """Return how things stood before the calls of an answer ended, as a push."""
    # Of a source that doesn't number calls nothing says which ones the answer has counted already.
    if not report.total:
        return Telemetry(0.0, [], [], 0, {})
    left = sums_of(report.records)
    counts = report.counts
    if counts is not None:
        done = sum(sums["done"] for sums in left.values())
        erred = sum(sums["erred"] for sums in left.values())
        counts = _less(counts, TaskCounts(done=int(done), failed=int(erred)), OUTCOMES)
    groups = []
    # A record doesn't say of which cell its call was: of the newest ones, which is right unless two overlap.
    for group in reversed(report.groups):
        sums = left.get(group.name, {})
        changes = {}
        for field, value in sums.items():
            known = getattr(group, field)
            taken = min(known, value) if known > 0 else 0
            sums[field] = value - taken
            changes[field] = known - taken
        groups.append(msgspec.structs.replace(group, **changes))
    groups.reverse()
    status = SchedulerStatus(total=report.total - len(report.records), counts=counts)
    return Telemetry(0.0, groups, [], 0, {}, status=status)


def sums_of(records: list[TaskRecord]) -> dict[str, dict[str, float]]:
    """Return what calls add to the sums of their functions, by the function's name."""
    # A task that was tried again is counted where it ended last.
    last = {record.key: index for index, record in enumerate(records)}
    found: dict[str, dict[str, float]] = {}
    for index, record in enumerate(records):
        sums = found.setdefault(record.group, dict.fromkeys(SUMS, 0))
        timing = record.timing
        is_last = last[record.key] == index
        if record.status == "ok":
            sums["finished"] += 1
            sums["done"] += is_last
            sums["nbytes"] += record.nbytes
            for field in ("compute", "transfer", "deserialize", "serialize", "moved"):
                sums[field] += getattr(timing, field)
        else:
            sums["failed"] += 1
            sums["erred"] += is_last
            sums["wasted"] += timing.deserialize + timing.compute + timing.serialize
    return found


class Baseline:
    """How things stood at a moment; what is told later is counted from there.

    Parameters
    ----------
    told : Telemetry
        What all pushes until then add up to.
    """

    def __init__(self, told: Telemetry) -> None:
        self._groups = {(group.name, group.span): group for group in told.groups}
        self._status = told.status

    def since(self, telemetry: Telemetry) -> Telemetry:
        """Return a push with what was counted since then only."""
        groups = [self._group_since(group) for group in telemetry.groups]
        status, known = telemetry.status, self._status
        counts = status.counts
        if counts is not None and known.counts is not None:
            counts = _less(counts, known.counts, OUTCOMES)
        total = max(0, status.total - known.total)
        status = msgspec.structs.replace(status, total=total, counts=counts)
        return msgspec.structs.replace(telemetry, groups=groups, status=status)

    def _group_since(self, group: GroupSummary) -> GroupSummary:
        known = self._groups.get((group.name, group.span))
        # Fewer than before: the scheduler dropped that group when nothing was left of it, and began another one.
        if known is None or group.finished < known.finished:
            return group
        return _less(group, known, SUMS)


def _less(now: Counted, then: Counted, fields: tuple[str, ...]) -> Counted:
    """Return ``now`` with these fields less what they were; none below 0, but what wasn't counted (-1) stays so."""
    less = {}
    for field in fields:
        value, known = getattr(now, field), getattr(then, field)
        # A task that had failed may be tried again by hand, and then fewer have failed than before.
        less[field] = value if value < 0 else max(0, value - max(0, known))
    return msgspec.structs.replace(now, **less)
