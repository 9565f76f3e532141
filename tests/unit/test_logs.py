"""Log lines as people read them, and how many a worker's calls may print."""

from __future__ import annotations

from himalia.bucket import TokenBucket
from himalia.logs import Logs, as_text, read_logs
from himalia.messages import LogLine


def test_a_burst_passes_then_the_rate_does() -> None:
    bucket = TokenBucket(10, 3)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.1), bucket.take(0.1)] == [True, False]


def test_rest_fills_a_bucket_to_its_burst_only() -> None:
    bucket = TokenBucket(10, 3)
    bucket.take(0.0)
    assert sum([bucket.take(1000.0) for _ in range(10)]) == 3


def test_lines_are_read_from_plain_lists_and_a_reason_stays_a_text() -> None:
    read = read_logs({"w": [[1.0, "stdout", "a", "key"]], "n": "it left"})
    assert read == {"w": [LogLine(1.0, "stdout", "a", "key")], "n": "it left"}
    assert [as_text(lines) for lines in read.values()] == ["a", "it left"]


def test_markup_in_names_and_lines_becomes_no_markup() -> None:
    html = Logs({"<i>w</i>": "<script>x</script>"})._repr_html_()
    assert "<script>" not in html and "<i>" not in html
    assert "&lt;script&gt;x&lt;/script&gt;" in html
