"""What a client shows of the cluster's measurements.

Decides their form on this side; what is measured and kept is the scheduler's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from himalia.messages.telemetry import GroupSummary, TaskRecord


class TelemetryReport(msgspec.Struct, frozen=True):
    """Measurements of a cluster up to now.

    Attributes
    ----------
    groups : list of GroupSummary
        Counts and times of calls by the name that they share, for each span (client or cell) they were submitted from.
    records : list of TaskRecord
        Single calls, in the order in which they ended.
    total : int
        Calls that ended so far, of which ``records`` are the latest.
    """

    groups: list[GroupSummary]
    records: list[TaskRecord]
    total: int = 0


def read_report(answer: Mapping[str, Any]) -> TelemetryReport:
    """Return the scheduler's answer as what it is."""
    return TelemetryReport(
        msgspec.convert(answer["groups"], list[GroupSummary]),
        msgspec.convert(answer["records"], list[TaskRecord]),
        int(answer.get("total", 0)),
    )
