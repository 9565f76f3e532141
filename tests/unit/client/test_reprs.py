"""Clients, futures, lists of futures and the scheduler's answers, as text and as HTML."""

from __future__ import annotations

import html.parser
import pickle
import re
from typing import Any

import msgspec
import pytest

from himalia.client.described import SchedulerInfo, WorkerInfo
from himalia.client.engine.state import Record, RecordStatus
from himalia.client.reprs import (
    Futures,
    client_html,
    client_text,
    count_statuses,
    function_words,
    future_html,
    future_text,
    futures_html,
    futures_text,
    info_task_words,
)
from himalia.messages.answers import ClusterInfo, HostView, WorkerView
from himalia.messages.parts import HostInfo, TaskError
from himalia.messages.telemetry import TaskCounts
from himalia.names import HostId, Key, PeerId
from himalia.show.plain import plain_info
from himalia.show.summary import ClusterSummary, summarize

HOST = HostId(PeerId("nanny-1"))
EVIL = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><b>", "'", "&lt;", "</details><script>",
    "</style><script>", "$$\\href{javascript:alert(1)}{x}$$", "javascript:alert(1)", "a\nb\x1b[31m", "𝕳\u202e",
)  # fmt: skip


class Reader(html.parser.HTMLParser):
    """Collects tags and text, and checks that what is opened is closed and that nothing can run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.stack == []
        self.text = " ".join(self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.stack.append(tag)
        self.tags.add(tag)
        assert not any(name.startswith("on") or (value or "").startswith("javascript:") for name, value in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.stack:
            self.words.append(data)


HARMLESS = {
    "style", "div", "span", "h3", "p", "dl", "dt", "dd", "details", "summary", "small", "table", "thead", "tbody", "tr",
    "th", "td", "pre", "a",
}  # fmt: skip


def record(status: str = "pending", key: str = "inc-0123456789abcdef", **facts: Any) -> Record:
    return Record(Key(key), RecordStatus(status), **({"refs": 1} | facts))


def host(**facts: Any) -> HostInfo:
    known: dict[str, Any] = {
        "host": HOST, "address": "unix:///x", "hostname": "laptop", "pid": 1, "machine": "m", "arena": "",
        "memory_limit": 0, "local_directory": "",
    }  # fmt: skip
    return HostInfo(**(known | facts))


def many(*records: Record) -> Futures:
    return Futures(list(records), {}, function_words(one.key for one in records))


def info(**worker: Any) -> ClusterInfo:
    facts: dict[str, Any] = {
        "name": "w-0", "host_id": HOST, "host": "laptop", "nanny": "unix:///n", "pid": 7, "nthreads": 2,
        "memory_limit": 2**30, "local_directory": "/tmp/x", "resources": {"GPU": 1.0}, "metrics": (0.5, 2**20, 1),
    }  # fmt: skip
    about = HostView("unix:///n", "one", "laptop", nthreads=2, memory_limit=2**31, store_bytes=2**20)
    return ClusterInfo(
        id="scheduler-1",
        address="unix:///s",
        tasks=1204,
        queued=96,
        clients=1,
        hosts={HOST: about},
        workers={"unix:///n/0": WorkerView(**(facts | worker))},
    )


def summary(known: ClusterInfo | None, **facts: Any) -> ClusterSummary:
    options: dict[str, Any] = {
        "now": 0.0, "title": "Client", "name": "moons", "status": "running", "comm": "unix:///s", "dashboard": "",
        "expected": None,
    }  # fmt: skip
    return summarize(known, **(options | facts))


def test_the_text_of_a_future_says_status_type_and_key() -> None:
    assert future_text(record(), "inc-1") == "<Future: pending, key: inc-1>"
    assert future_text(record("finished", type_name="int"), ("x", 0)) == "<Future: finished, type: int, key: ('x', 0)>"


def test_a_finished_future_shows_function_type_size_and_who_holds_it() -> None:
    done = record("finished", nbytes=3 * 2**20, type_name="numpy.ndarray", holders=(HOST,))
    text = Reader(future_html(done, done.key, {HOST: host(name="one")})).text
    for fact in ("Future", done.key, "finished", "Function inc", "numpy.ndarray", "3.00 MiB", "Held by one"):
        assert fact in text
    assert "laptop" in Reader(future_html(done, done.key, {HOST: host()})).text


def test_a_failed_future_shows_its_error_and_where_it_was() -> None:
    error = TaskError("exception", Key("x"), "ValueError: no such moon\ncaused by KeyError: 'Io'", worker="w-1")
    text = Reader(future_html(record("error", error=error), "x", {})).text
    for fact in ("error", "Worker w-1", "Error ValueError: no such moon", "Full error", "caused by KeyError: 'Io'"):
        assert fact in text


def test_a_cancelled_future_says_why() -> None:
    assert "Why enough" in Reader(future_html(record("cancelled", reason="enough"), "x", {})).text


@pytest.mark.parametrize("status", sorted(RecordStatus))
def test_every_status_has_its_colour(status: str) -> None:
    error = TaskError("exception", Key("x"), "why") if status in ("error", "lost") else None
    page = future_html(record(status, error=error), "x", {})
    assert f'class="h-status h-{status}"' in page
    if status != "cancelled":  # it has that of what is unknown
        assert f".h-{status}::before" in page


def test_many_futures_are_a_sentence() -> None:
    records = [record("finished"), record("finished"), record(), record("error"), record("lost"), record("cancelled")]
    assert futures_text(count_statuses(records)) == "6 futures: 2 finished, 1 pending, 1 failed, 1 lost, 1 cancelled"


def test_a_future_that_nobody_holds_any_more_counts_as_released() -> None:
    counts = count_statuses([record(refs=0), record(), record("finished", refs=0)])
    assert futures_text(counts) == "3 futures: 1 finished, 1 pending, 1 released"


def test_a_list_shows_its_table_once_all_have_settled() -> None:
    done = record("finished", nbytes=2**20)
    live = Reader(futures_html(many(done, record())))
    assert "1 of 2 done" in live.text
    assert "table" not in live.tags
    settled = Reader(futures_html(many(done, done)))
    assert "Size of results 2.00 MiB" in settled.text
    assert "details" in settled.tags


def test_of_many_futures_those_that_failed_are_listed_first() -> None:
    error = TaskError("exception", Key("x"), "ValueError: no")
    page = futures_html(many(*[record("finished")] * 999, record("error", key="bad-1", error=error)))
    text = Reader(page).text
    assert text.index("bad-1") < text.index("inc-0123456789abcdef")
    assert "ValueError: no" in text
    assert "… and 980 more" in text
    assert len(page) < 20_000


def test_functions_of_a_list_are_named_the_most_frequent_first() -> None:
    keys = ["a-0123456789abcdef", "b-0123456789abcdef", "b-1123456789abcdef", "c", "d", "e"]
    assert function_words(keys) == "b, a, c, d and 1 more"


def test_a_client_shows_the_totals_of_its_cluster() -> None:
    text = Reader(client_html("Client", "client-1", "running", summary(info()), "1,204 (96 queued)")).text
    for fact in (
        "Client",
        "client-1",
        "Cluster moons",
        "Workers 1",
        "Total threads 2",
        "1.00 GiB",
        "1,204",
        "unix:///s",
    ):
        assert fact in text
    assert client_text("Client", "running", summary(info())) == (
        "<Client: 'unix:///s' workers=1 threads=2, memory=1.00 GiB>"
    )


def test_lists_of_numbers_break_at_commas_only() -> None:
    counts = TaskCounts(waiting=12, assigned=3, done=479, failed=5, cancelled=1)
    told = "2 running, 13 waiting, 479 done, 5 failed, 1 cancelled"
    known = msgspec.structs.replace(info(), counts=counts)
    assert info_task_words(known) == told
    for page in (client_html("Client", "c", "running", summary(known), told), SchedulerInfo(known)._repr_html_()):
        assert told.replace(" ", "\xa0").replace(",\xa0", ", ") in page
    records = [record("finished"), record("error"), record()]
    assert "1\xa0finished, 1\xa0pending, 1\xa0failed" in futures_html(many(*records))


def test_a_closed_client_shows_what_it_was() -> None:
    assert client_text("Client", "closed", summary(None)) == "<Client: 'unix:///s' closed>"
    text = Reader(client_html("Client", "client-1", "closed", summary(None))).text
    assert "closed" in text
    assert "Workers" not in text


def test_the_scheduler_s_answer_is_a_dict_that_looks_like_tables() -> None:
    found = SchedulerInfo(info())
    assert dict(found) == plain_info(info())
    assert type(pickle.loads(pickle.dumps(found))) is dict
    text = Reader(found._repr_html_()).text
    for fact in ("Scheduler", "Hosts 1", "Total threads 2", "Tasks 1,204", "w-0", "50%", "1.00 MiB", "one"):
        assert fact in text


def test_a_worker_s_state_is_a_dict_that_looks_like_a_card() -> None:
    found = SchedulerInfo(info())["workers"]["unix:///n/0"]
    assert isinstance(found, WorkerInfo)
    text = Reader(found._repr_html_()).text
    for fact in ("Worker", "w-0", "Running 1", "CPU 50%", "1.00 MiB of 1.00 GiB", "GPU 1", "unix:///n", "/tmp/x"):
        assert fact in text


def test_a_thousand_workers_are_a_table_of_a_bounded_size() -> None:
    known = info()
    (worker,) = known.workers.values()
    known.workers = {f"unix:///n/{n}": msgspec.structs.replace(worker, name=f"w-{n}") for n in range(1000)}
    page = SchedulerInfo(known)._repr_html_()
    assert "… and 800 more" in page
    assert len(page) < 120_000


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_that_a_user_supplied_becomes_markup(evil: str) -> None:
    error = TaskError("exception", Key(evil), f"{evil}\n{evil}", worker=evil)
    known = info(name=evil, host=evil, nanny=evil, local_directory=evil, resources={evil: 1.0})
    known.address = known.id = evil
    known.hosts[HOST].name = known.hosts[HOST].address = evil
    pages = [
        future_html(record("finished", key=evil, type_name=evil, holders=(HOST,)), evil, {HOST: host(name=evil)}),
        future_html(record("error", error=error), evil, {}),
        future_html(record("cancelled", reason=evil), (evil, 0), {}),
        futures_html(many(record("error", key=evil, error=error), record("finished", key=evil, type_name=evil))),
        client_html(evil, evil, evil, summary(known, name=evil, comm=evil, dashboard=evil), evil),
        SchedulerInfo(known)._repr_html_(),
        SchedulerInfo(known)["workers"]["unix:///n/0"]._repr_html_(),
    ]
    for page in pages:
        assert Reader(page).tags <= HARMLESS


def test_a_page_needs_no_script_and_nothing_from_elsewhere() -> None:
    pages = [future_html(record(), "x", {}), SchedulerInfo(info())._repr_html_(), futures_html(many(record()))]
    for page in pages:
        assert not re.search(r"<script|<link|<img|@import|url\(|https?:", page)
        assert "mathjax_ignore" in page  # dollar signs of a key are no formula


def test_a_snapshot_says_when_it_was_taken_and_looks_like_nothing_that_lives() -> None:
    for found in (SchedulerInfo(info(), taken=1_800_000_000.0), SchedulerInfo(info())):
        for page in (found._repr_html_(), found["workers"]["unix:///n/0"]._repr_html_()):
            assert "h-status h-was" in page
            assert ">running<" not in page
    assert re.search(r"as of \d\d:\d\d:\d\d", SchedulerInfo(info(), taken=1_800_000_000.0)._repr_html_())


def test_a_client_s_card_is_of_a_minute_and_links_to_no_closed_door() -> None:
    known = summary(info(), dashboard="http://127.0.0.1:8787/status")
    page = client_html("Client", "client-1", "running", known, taken=1_800_000_000.0)
    assert re.search(r"h-was.*>running at \d\d:\d\d<", page)
    assert "<a " not in page
    assert "client.dashboard_link" in page


def test_a_live_card_of_a_client_leads_to_the_dashboard_while_it_runs() -> None:
    known = summary(info(), dashboard="http://127.0.0.1:8787/status")
    page = client_html("Client", "client-1", "running", known, taken=1_800_000_000.0, is_live=True)
    assert '<a href="http://127.0.0.1:8787/status" target="_blank" rel="noopener noreferrer">' in page
    assert "client.dashboard_link" in page
    assert "<a " not in client_html("Client", "client-1", "closed", known, is_live=True)
    odd = summary(info(), dashboard="javascript:alert(1)")
    assert "<a " not in client_html("Client", "client-1", "running", odd, is_live=True)


def test_many_futures_are_done_when_all_came_to_an_end_of_their_own() -> None:
    statuses = ["finished"] * 3 + ["error", "cancelled"]
    page = futures_html(many(*map(record, statuses), record("pending", refs=0)))
    assert "4 of 6 done" in Reader(page).text
    assert " of " not in Reader(futures_html(many(record("finished"), record("error")))).text.partition("Status")[0]
