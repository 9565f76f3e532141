"""A cluster as text and as HTML."""

from __future__ import annotations

import html.parser
import re
from typing import Any

from himalia.messages.answers import ClusterInfo, WorkerView
from himalia.names import HostId, PeerId
from himalia.show.html import render
from himalia.show.summary import ClusterSummary, WorkerSummary, summarize
from himalia.show.text import describe_cluster, describe_line

NOW = 1_800_000_000.0


def worker(index: int, **changes: Any) -> WorkerSummary:
    facts: dict[str, Any] = {
        "name": f"c-{index}",
        "comm": f"unix:///run/c/nanny.sock/{index}",
        "nthreads": 2,
        "memory_limit": 3 * 2**30,
        "nanny": "unix:///run/c/nanny.sock",
        "local_directory": "/tmp/c-data",
    }
    return WorkerSummary(**(facts | changes))


def summary(**changes: Any) -> ClusterSummary:
    facts: dict[str, Any] = {
        "title": "LocalCluster",
        "name": "himalia-3f9a1c",
        "status": "running",
        "scheduler_id": "scheduler-1234",
        "comm": "unix:///run/c/scheduler.sock",
        "started": NOW - 130,
        "workers": (worker(0), worker(1)),
        "expected": 2,
    }
    return ClusterSummary(**(facts | changes))


class Reader(html.parser.HTMLParser):
    """Collects tags and text, and checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.stack.append(tag)
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.stack:
            self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.stack == []
    return reader


def test_both_show_everything_that_dask_s_shows() -> None:
    shown = " ".join(read(render(summary(), now=NOW)).text)
    text = describe_cluster(summary(), now=NOW)
    facts = """
        LocalCluster; himalia-3f9a1c; Dashboard; not running; Workers; Total threads; Total memory; 6.00 GiB; running;
        Using processes; True; Scheduler; scheduler-1234; Comm; unix:///run/c/scheduler.sock; Started; 2 minutes ago;
        c-0; c-1; unix:///run/c/nanny.sock/1; Memory limit; 3.00 GiB; Nanny; Local directory; /tmp/c-data
    """
    for fact in map(str.strip, facts.split(";")):
        assert fact in shown, fact
        assert fact in text, fact


def test_the_line_says_what_matters() -> None:
    assert describe_line(summary()) == (
        "LocalCluster(himalia-3f9a1c, 'unix:///run/c/scheduler.sock', status=running, "
        "workers=2, threads=4, memory=6.00 GiB)"
    )


def test_everything_is_escaped() -> None:
    evil = "<script>alert(1)</script>\"'&"
    bad = summary(
        title=evil, name=evil, status=evil, scheduler_id=evil, comm=evil, dashboard=evil,
        workers=(worker(0, name=evil, comm=evil, nanny=evil, local_directory=evil),),
    )  # fmt: skip
    page = render(bad, now=NOW)
    assert "script" not in read(page).tags
    assert "<script" not in page
    assert page.count("alert(1)") == page.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;")


def test_what_is_saved_leads_to_no_closed_door_and_says_what_opens_it() -> None:
    page = render(summary(dashboard="http://127.0.0.1:8787/status"), now=NOW)
    assert "<a " not in page
    assert "http://127.0.0.1:8787/status" in page
    assert "cluster.dashboard_link" in page


def test_what_is_saved_says_when_it_was_so_and_looks_like_nothing_that_lives() -> None:
    page = render(summary(), now=NOW)
    assert 'class="h-status h-was" title="So it was at 2027-01-15 08:00:00 UTC; ' in page
    assert re.search(r">running at \d\d:\d\d:\d\d<", page)
    closed = render(summary(status="closed"), now=NOW)
    assert 'class="h-status h-closed" title="Status">closed<' in closed


def test_the_page_needs_no_script_and_nothing_from_elsewhere() -> None:
    page = render(summary(), now=NOW)
    assert not re.search(r"<script|<link|<img|@import|url\(|http", page)
    assert read(page).tags.count("details") == 2


def test_workers_still_missing_are_counted() -> None:
    assert "1 of 4" in describe_line(summary(workers=(worker(0),), expected=4))
    assert "0 of" not in describe_line(summary(workers=(), expected=4, status="closed"))


def test_a_thousand_workers_stay_readable() -> None:
    many = summary(workers=tuple(worker(index) for index in range(1000)), expected=1000)
    assert len(render(many, now=NOW)) < 80_000
    assert "and 800 more" in render(many, now=NOW)
    assert "and 980 more" in describe_cluster(many, now=NOW)


def test_control_characters_do_not_reach_a_terminal() -> None:
    text = describe_cluster(summary(name="a\x1b[2Jb\nc"), now=NOW)
    assert "\x1b" not in text
    assert "a\\x1b[2Jb\\nc" in text


def test_a_cluster_without_limits_or_workers_says_so() -> None:
    assert "unlimited" in describe_line(summary(workers=(worker(0, memory_limit=0),)))
    assert "memory=0 B" in describe_line(summary(workers=()))


def test_the_summary_takes_what_the_scheduler_says() -> None:
    workers = {f"a/{n}": WorkerView(f"w-{n}", HostId(PeerId("a")), nthreads=2) for n in (10, 2)}
    info = ClusterInfo(id="scheduler-1", started=60.0, workers=workers)
    found = summarize(info, now=NOW, title="T", name="n", status="running", comm="c", dashboard="", expected=2)
    assert [row.name for row in found.workers] == ["w-2", "w-10"]
    assert found.started == NOW - 60
    assert found.total_threads == 4


def test_the_summary_of_a_dead_cluster_is_what_is_known() -> None:
    found = summarize(None, now=NOW, title="T", name="n", status="failed", comm="c", dashboard="", expected=2)
    assert (found.workers, found.started, found.scheduler_id) == ((), 0.0, "")
    assert "unknown" in describe_cluster(found, now=NOW)


def test_a_dashboard_that_lacks_packages_says_what_to_install() -> None:
    lacking = summary(dashboard="", no_dashboard="Views need more packages: pip install 'himalia[jupyter]'.")
    text, line, page = describe_cluster(lacking, now=NOW), describe_line(lacking), render(lacking, now=NOW)
    assert "Dashboard:       not running. Views need more packages: pip install 'himalia[jupyter]'." in text
    assert line.endswith("dashboard=None (himalia[jupyter] is not installed))")
    assert "not running. Views need more packages: pip install &#x27;himalia[jupyter]&#x27;." in page
    assert "himalia[jupyter]" not in describe_line(summary(dashboard=""))
