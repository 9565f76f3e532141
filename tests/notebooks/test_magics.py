"""``%load_ext himalia``: bars under cells, in a real kernel on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError

from tests.notebooks.cells import Cell, block_until, running_kernel

START = """
import time
from himalia import Client, LocalCluster
cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
client = Client(cluster)
def work(number):
    time.sleep(0.01)
    return bytes(10_000 + number)
def fail(number):
    raise ValueError("<b>$$no$$</b>")
"""


@pytest.fixture(scope="module")
def cell() -> Iterator[Cell]:
    """Return what runs a cell in a kernel that has a cluster, and returns the cell."""
    with running_kernel(START) as run:
        yield run


def bars(cell: Any) -> list[str]:
    """Return the texts of the bars under a cell."""
    texts = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return [text for text in texts if text.startswith("himalia: ")]


def test_from_its_loading_on_each_cell_that_submits_has_a_bar(cell: Cell) -> None:
    assert bars(cell("_ = client.submit(work, 999).result()")) == []
    loading = cell("%load_ext himalia\n_ = client.submit(work, 1000).result()")
    assert bars(loading)[0].startswith("himalia: 1 of 1 task")
    assert bars(cell("1 + 1")) == []
    assert bars(cell("_ = client.submit(work, 1001).result()"))[0].startswith("himalia: 1 of 1 task")
    assert bars(cell("_ = client.submit(work, 1002).result()\n%himalia off")) == []


def test_a_cell_with_the_magic_has_a_bar_that_tells_its_own_calls(cell: Cell) -> None:
    assert bars(cell("futures = client.map(work, range(20)); _ = client.gather(futures)")) == []
    done = cell("%%himalia\nmine = client.map(work, range(100, 130))\n_ = client.gather(mine)\nlen(_)")
    (text,) = bars(done)
    assert text.startswith("himalia: 30 of 30 tasks")
    assert "peak 29" in text
    assert "30" in [output.get("data", {}).get("text/plain") for output in done.outputs]


def test_a_cell_may_await_and_fail_as_ever(cell: Cell) -> None:
    cell("%%himalia\nimport asyncio\nawait asyncio.sleep(0)")
    with pytest.raises(CellExecutionError, match="division by zero"):
        cell("%%himalia\n1 / 0")


def test_errors_are_counted_and_nothing_of_the_user_becomes_markup(cell: Cell) -> None:
    done = cell("%%himalia\nbad = client.map(fail, range(7))\nfrom himalia import wait\n_ = wait(bad)")
    (text,) = bars(done)
    assert "7 of 7 tasks, 7 failed" in text
    assert "$$no$$" not in str(done.outputs[0].get("data"))


def test_it_is_turned_on_also_for_what_the_cell_has_submitted_before(cell: Cell) -> None:
    assert bars(cell("_ = client.submit(work, 3000).result()\n%himalia on"))[0].startswith("himalia: 1 of 1 task")
    assert bars(cell("_ = client.submit(work, 3001).result()"))[0].startswith("himalia: 1 of 1 task")
    cell("%himalia off")
    assert bars(cell("_ = client.submit(work, 3002).result()")) == []


def test_the_bar_goes_on_when_the_cell_has_ended_and_then_lets_go(cell: Cell) -> None:
    first = cell("%%himalia\nlate = client.map(work, range(2000, 2150)); time.sleep(0.5)")
    assert " left" in bars(first)[0] or "of 150 tasks" in bars(first)[0]
    cell("_ = client.gather(late); import threading")
    block_until(cell, lambda: "himalia-cell-bar" not in str(cell("[t.name for t in threading.enumerate()]").outputs))


def test_calls_that_were_cancelled_are_told_as_that(cell: Cell) -> None:
    done = cell("%%himalia\nmany = client.map(work, range(5000, 5500)); time.sleep(1.5); client.cancel(many)")
    assert " cancelled, " in bars(done)[0]
    assert "of 500 tasks" in bars(done)[0]
