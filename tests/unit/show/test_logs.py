"""Log lines as people read them, and how many a worker's calls may print."""

from __future__ import annotations

import logging

import pytest

from himalia.bucket import COMPLAINT_BURST, Complaints, TokenBucket
from himalia.messages.answers import ProcessLogs
from himalia.messages.telemetry import LogLine
from himalia.show.logs import Logs, texts_of


def test_a_burst_passes_then_the_rate_does() -> None:
    bucket = TokenBucket(10, 3)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.1), bucket.take(0.1)] == [True, False]


def test_rest_fills_a_bucket_to_its_burst_only() -> None:
    bucket = TokenBucket(10, 3)
    bucket.take(0.0)
    assert sum([bucket.take(1000.0) for _ in range(10)]) == 3


def test_of_a_process_that_can_t_tell_the_reason_is_its_only_line() -> None:
    logs = ProcessLogs({"w": [LogLine(1.0, "stdout", "a", "key"), LogLine(2.0, "stdout", "b")]}, {"n": "it left"})
    assert texts_of(logs) == {"w": ["a", "b"], "n": ["it left"]}


def test_what_a_nanny_logged_isn_t_taken_for_a_worker_s_or_the_whole_cluster_s() -> None:
    logs = ProcessLogs({"moons": [LogLine(1.0, "WARNING", "late")], "moons-0": [LogLine(2.0, "stdout", "hi")]})
    assert texts_of(logs, {"moons"}) == {"log of nanny moons": ["late"], "moons-0": ["hi"]}


def test_markup_in_names_and_lines_becomes_no_markup() -> None:
    html = Logs({"<i>w</i>": "<script>x</script>"})._repr_html_()
    assert "<script>" not in html and "<i>" not in html
    assert "&lt;script&gt;x&lt;/script&gt;" in html


def test_complaints_without_end_are_counted_not_written(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints(logging.getLogger("himalia.test"))
    for number in range(100_000):
        complaints.write(number * 1e-4, "%s sent nonsense", "somebody", error=ValueError("no"))
    assert len(caplog.records) <= COMPLAINT_BURST + 2
    complaints.write(60.0, "%s sent nonsense", "somebody")
    assert caplog.records[-1].getMessage().startswith("somebody sent nonsense (")
    assert "more since the last such line" in caplog.records[-1].getMessage()


def test_a_flood_of_one_kind_of_complaint_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints(logging.getLogger("himalia.test"), burst=1)
    for _ in range(100):
        complaints.write(0.0, "%s sent nonsense", "somebody")
    complaints.write(0.0, "%s isn't there", "somebody", level=logging.WARNING)
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert found == [("ERROR", "somebody sent nonsense"), ("WARNING", "somebody isn't there")]
