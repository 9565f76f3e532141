from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from IPython.core.interactiveshell import InteractiveShell

from himalia_widgets.widget import board as board_module
from himalia_widgets.widget import leases as leases_module
from himalia_widgets.widget import pushes as pushes_module
from himalia_widgets.widget.board import Board
from tests.unit.widgets.foreign import ForeignCluster
from tests.unit.widgets.synthetic import MadeUpCluster
from tests.waiting import wait_until


class Page:
    """A board with what it sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(board_module, "PERIOD", 0.02)
        monkeypatch.setattr(board_module, "RETRY", 0.05)
        self.cluster = ForeignCluster()
        self.source = self.cluster.source
        self.sent: list[tuple[dict[str, Any], list[memoryview]]] = []
        self.board = Board(self.cluster, lambda *one: self.sent.append(one))
        self.looks = 0
        self.board.step = self.count_look  # type: ignore[method-assign]

    def say(self, kind: str, **more: Any) -> None:
        self.board.take({"type": kind, "page": "p", **more})

    def messages(self, kind: str) -> list[dict[str, Any]]:
        return [message for message, _ in list(self.sent) if message["type"] == kind]

    def wait_for(self, happened: Callable[[], object]) -> None:
        wait_until(happened)

    def wait_for_looks(self, count: int) -> None:
        """Return when the board has looked that often again."""
        before = self.looks
        self.wait_for(lambda: self.looks >= before + count)

    def count_look(self, now: float) -> bool:
        goes_on = Board.step(self.board, now)
        self.looks += 1
        return goes_on

    def tell(self, made: MadeUpCluster, seconds: float = 1.0) -> None:
        self.source.tell(made.step(seconds), made.info())


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(monkeypatch)


def threads() -> int:
    return sum(thread.name == "himalia-widget" for thread in threading.enumerate())


def test_a_cluster_is_followed_only_while_somebody_looks(page: Page) -> None:
    assert threads() == 0
    page.say("look", view="a", tab="workers")
    page.wait_for(lambda: page.source.followers == 1)
    assert threads() == 1
    page.say("bye", view="a")
    page.wait_for(lambda: page.source.followers == 0 and not threads())
    page.say("hello", views=[["a", "workers"]])
    page.wait_for(lambda: page.source.followers == 1)
    page.say("bye", view="a")
    page.wait_for(lambda: not threads())


def test_a_new_page_gets_everything_and_then_what_changed(page: Page) -> None:
    made = MadeUpCluster(hosts=1, workers=2)
    page.say("hello", views=[["a", "workers"]])
    page.wait_for(lambda: page.source.followers)
    page.tell(made)
    page.wait_for(lambda: any("sources" in push for push in page.messages("push")))
    page.sent.clear()
    page.say("hello", views=[["b", "workers"]])
    page.wait_for(lambda: any(push["full"] for push in page.messages("push")))
    full = next(push for push in page.messages("push") if push["full"])
    assert len(full["workers"]["rows"]) == 2
    assert full["header"]["workers"] == 2
    assert {"himalia-task_stream-calls", "himalia-progress-bars"} <= set(full["sources"])
    page.sent.clear()

    def appended() -> list[dict[str, Any]]:
        page.tell(made, 0.2)
        stream = "himalia-task_stream-calls"
        return [push for push in page.messages("push") if push.get("sources", {}).get(stream, {}).get("rollover")]

    page.wait_for(appended)  # once no more rows for spilling come
    later = appended()[0]
    assert not later["full"]
    assert not later.get("workers", {}).get("rows")
    page.say("bye", view="a")
    page.say("bye", view="b")
    page.wait_for(lambda: not threads())


def test_a_view_that_cannot_report_is_shown_everything_several_times(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushes_module, "REPEAT", 0.05)
    page.board.promise()  # a cell that shows it, and goes on
    page.board.kernel = asyncio.new_event_loop()  # never runs: the kernel is busy
    page.wait_for(lambda: sum(push["full"] for push in page.messages("push")) >= 3)
    page.say("look", view="a", tab="workers")
    page.board.kernel.close()
    page.say("bye", view="a")
    page.wait_for(lambda: not threads())


def test_a_view_is_not_given_up_while_cells_keep_its_messages_waiting(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_module, "PERIOD", 0.01)
    monkeypatch.setattr(board_module, "QUIET", 0.2)
    cells = InteractiveShell.instance()
    page.board.promise()  # in a cell
    page.say("look", view="a", tab="workers")
    for _ in range(4):  # four in a row
        page.wait_for_looks(5)
        cells.events.trigger("post_execute")
        cells.events.trigger("pre_execute")
    assert page.board.leases.is_watched
    assert page.board.leases.roll == 0
    cells.events.trigger("post_execute")
    page.wait_for(lambda: not page.board.leases.is_watched and not threads())
    InteractiveShell.clear_instance()


def test_sequence_numbers_have_no_gap_and_there_is_a_sign_of_life(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes_module, "PULSE", 0.05)
    page.say("look", view="a", tab="workers")
    page.wait_for(lambda: len(page.messages("push")) >= 4)
    page.say("bye", view="a")
    page.wait_for(lambda: not threads())
    numbers = [push["sequence"] for push in page.messages("push")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert set(page.messages("push")[-1]) <= {"type", "sequence", "time", "full", "roll"}


def test_actions_are_acknowledged_at_once_and_answered_also_with_an_error(page: Page) -> None:
    page.say("look", view="a", tab="workers")
    page.wait_for(lambda: page.source.followers)
    page.say("ask", id=1, action="scale", workers=5)
    page.say("ask", id=2, action="restart", worker="w-9")
    page.say("ask", id=3, action="describe", key="", group="inc")
    page.say("ask", id=4, action="scale", workers=-1)
    page.wait_for(lambda: len(page.messages("answer")) == 4)
    assert page.source.asked == [("scale", 5), ("restart", ["w-9"])]
    assert page.cluster.expected == 5
    assert [(ack["id"], ack["page"]) for ack in page.messages("ack")] == [(n, "p") for n in (1, 2, 3, 4)]
    answers = {answer["id"]: answer for answer in page.messages("answer")}
    assert "error" not in answers[1]
    assert answers[2]["error"] == "There is no such worker."
    facts: dict[str, object] = {"status": "waiting", "error": None, "events": []}
    assert answers[3]["value"] == {"key": "inc", "why": "inc waits.", "facts": facts}
    assert "can't be done" in answers[4]["error"]
    page.say("bye", view="a")
    page.wait_for(lambda: not threads())


def test_pages_get_another_link_to_the_dashboard_after_a_while_or_once_it_was_used_and_none_at_the_end(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def links() -> list[str]:
        return [push["header"]["dashboard"][-2:] for push in page.messages("push") if "header" in push]

    page.say("look", view="a", tab="workers")
    page.wait_for(lambda: page.source.followers)
    page.tell(MadeUpCluster(hosts=1, workers=2))
    page.wait_for_looks(5)
    assert set(links()) == {"=1"}
    page.say("visit")
    page.wait_for(lambda: links()[-1] == "=2")
    monkeypatch.setattr(board_module, "LINK", 0.05)
    page.wait_for(lambda: links()[-1] == "=4")
    page.cluster.status = "closed"
    page.wait_for(lambda: not threads())
    assert links()[-1] == ""
    assert page.board.last is not None
    header = page.board.last[0]["header"]
    assert isinstance(header, dict)
    assert header["dashboard"] == ""


def test_output_is_fetched_only_while_its_tab_is_open(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "LOGS", 0.03)
    page.say("look", view="a", tab="workers")
    page.wait_for_looks(5)
    assert page.messages("lines") == []
    page.say("look", view="a", tab="logs")
    page.wait_for(lambda: page.messages("lines"))
    page.wait_for_looks(5)
    [lines] = page.messages("lines")
    assert lines["lines"] == [[0.0, "scheduler", "stderr", "up", ""], [2.0, "w-0", "stdout", "hello", ""]]
    page.say("bye", view="a")
    page.wait_for(lambda: not threads())


def test_output_is_fetched_again_for_a_page_that_was_forgotten_while_it_slept(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_module, "LOGS", 0.0)
    for awake in ({"kind": "hello", "views": [["a", "logs"]]}, {"kind": "here", "view": "a", "tab": "logs", "roll": 7}):
        page.say(**awake)
        page.wait_for(lambda: page.messages("lines"))
        page.say("bye", view="a")
        page.wait_for(lambda: not threads())
        page.board.reader.restart(1, 0.0)
        page.sent.clear()


def test_an_answer_waits_until_what_another_thread_sends_is_sent(page: Page) -> None:
    page.say("look", view="a", tab="workers")
    page.wait_for(lambda: page.source.followers)
    with page.board.lock:
        page.say("ask", id=1, action="scale", workers=5)
        page.wait_for(lambda: page.source.asked)
        time.sleep(0.05)
        assert page.messages("answer") == []
    page.wait_for(lambda: page.messages("answer"))
    assert [answer["id"] for answer in page.messages("answer")] == [1]
    page.say("bye", view="a")
    page.wait_for(lambda: not threads())


def test_a_cluster_that_was_closed_stays_as_a_picture_and_costs_no_thread(page: Page) -> None:
    page.say("look", view="a", tab="workers")
    page.wait_for(lambda: page.source.followers)
    page.tell(MadeUpCluster(hosts=1, workers=2))
    page.wait_for(lambda: any("workers" in push for push in page.messages("push")))
    page.cluster.status = "closed"
    page.wait_for(lambda: not threads())
    assert page.source.followers == 0
    last = page.messages("push")[-1]
    assert last["header"]["final"]
    assert last["header"]["state"] == "closed"
    page.sent.clear()
    page.say("hello", views=[["b", "workers"]])
    [picture] = page.messages("push")
    assert picture["full"]
    assert picture["header"]["final"]
    assert picture["workers"]["rows"]
    page.say("ask", id=1, action="scale", workers=2)
    assert "has ended" in page.messages("answer")[-1]["error"]
    assert threads() == 0


def test_a_cluster_whose_scheduler_is_lost_is_said_to_have_failed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "PATIENCE", 0.05)
    page.say("look", view="a", tab="workers")
    page.wait_for(lambda: page.source.followers)
    page.source.end("the connection was lost")
    page.wait_for(lambda: not threads())
    header = page.messages("push")[-1]["header"]
    assert (header["state"], header["reason"]) == ("failed", "the connection was lost")


def test_a_cluster_that_nobody_holds_is_let_go(page: Page) -> None:
    page.say("look", view="a", tab="workers")
    page.wait_for(lambda: page.source.followers)
    page.cluster = ForeignCluster()
    page.wait_for(lambda: not threads())
    assert page.messages("push")[-1]["header"]["state"] == "closed"


@pytest.mark.parametrize("duration", [0.05, 1.0])
def test_a_thousand_workers_cost_little_and_fit_through_the_wire(page: Page, duration: float) -> None:
    seconds, interval = 12.0, 0.25
    board, made = page.board, MadeUpCluster(hosts=125, workers=8, threads=1, duration=duration)
    board.leases.look("a", "workers")
    board.history.take_info(made.info())
    used, sizes = 0.0, []
    for number in range(int(seconds / interval)):
        telemetry = made.step(interval)
        beating = list(telemetry.hosts.items())[number % 2 :: 2]  # each host twice a second
        telemetry = msgspec.structs.replace(telemetry, hosts=dict(beating))
        began = time.thread_time()
        board.history.take(telemetry, now=made.now)
        message = board.compose(page.cluster, made.now)
        if number >= 8:  # after what a page gets once
            used += time.thread_time() - began
            sizes.append(len(msgspec.json.encode(message[0])) + sum(b.nbytes for b in message[1]) if message else 0)
    share = used / (len(sizes) * interval)
    rate = sum(sizes) / (len(sizes) * interval)
    print(f"{share:.1%} of a core, {rate / 1000:.0f} kB/s")
    assert rate < 100_000
    assert share < 0.15  # 3 to 5 % on an idle machine; tests run on busy ones
