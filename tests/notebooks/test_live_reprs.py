"""Futures, lists of them and clients that change in their place: in a real kernel, driven as a notebook drives it."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.notebooks.cells import Cell, block_until, running_kernel

START = """
import pathlib, tempfile, time
from himalia import Client, LocalCluster
cluster = LocalCluster(n_workers=2, threads_per_worker=1)
client = Client(cluster)
folder = pathlib.Path(tempfile.mkdtemp())
def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.02)
    return "moon"
def wait_until(condition, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def cell() -> Iterator[Cell]:
    """Return what runs a cell in a kernel that has a cluster, and returns the cell."""
    with running_kernel(START) as run:
        yield run


def shown(cell: Any) -> str:
    """Return the words of the one output of a cell."""
    (output,) = cell.outputs
    page = re.sub(r"<style>.*?</style>", "", output.data["text/html"], flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def plain(cell: Any) -> str:
    """Return the same where there is no HTML."""
    (output,) = cell.outputs
    return str(output.data["text/plain"])


def test_a_future_changes_in_its_place_while_another_cell_blocks(cell: Cell) -> None:
    first = cell("future = client.submit(wait_for, 'one')\nfuture")
    assert "pending" in shown(first)
    assert plain(first) == f"<Future: pending, key: {key_in(first)}>"
    cell("(folder / 'one').touch()")
    block_until(cell, lambda: "finished" in shown(first))
    assert "Type str" in shown(first)
    assert plain(first) == f"<Future: finished, type: str, key: {key_in(first)}>"
    assert len(first.outputs) == 1


def test_a_future_that_is_done_needs_no_live_view(cell: Cell) -> None:
    first = cell("future")
    assert first.outputs[0].output_type == "execute_result"
    assert "finished" in shown(first)


def test_what_changes_between_two_cells_is_in_the_notebook_that_is_saved(cell: Cell) -> None:
    first = cell("between = client.submit(time.sleep, 1.0)\ndisplay(between)")
    time.sleep(2.0)  # no cell runs meanwhile: what nbclient does with outputs of such a time is the question
    assert "pending" in shown(first)
    cell("del between")
    assert "finished" in shown(first)


def test_a_call_that_fails_says_so_in_its_place(cell: Cell) -> None:
    first = cell("bad = client.submit(lambda: wait_for('two') and 1 / 0)\ndisplay(bad)")
    cell("(folder / 'two').touch()")
    block_until(cell, lambda: "ZeroDivisionError: division by zero" in shown(first))
    cell("del bad")


def test_a_list_of_futures_counts_in_its_place(cell: Cell) -> None:
    first = cell("futures = client.map(wait_for, ['three'] * 40, pure=False)\nfutures")
    assert "40 futures" in shown(first)
    cell("assert type(futures) is list\n(folder / 'three').touch()\n_ = client.gather(futures)")
    block_until(cell, lambda: plain(first) == "40 futures: 40 finished")
    assert "… and 20 more" in shown(first)
    assert "<table>" in first.outputs[0].data["text/html"]


def test_other_lists_look_as_they_did(cell: Cell) -> None:
    first = cell("[1, 2, [3]], [], list('ab')")
    assert plain(first) == "([1, 2, [3]], [], ['a', 'b'])"
    assert plain(cell("[1]")) == "[1]"
    assert "text/html" not in cell("[1]").outputs[0].data


def test_a_display_keeps_no_future_alive(cell: Cell) -> None:
    first = cell("held = client.submit(wait_for, 'nothing')\nkey = held.key\ndisplay(held)")
    cell("del held\nwait_until(lambda: 'is not known' in cluster.explain(key))")
    block_until(cell, lambda: "it was released" in shown(first))


def test_a_list_that_is_let_go_of_is_let_go_of(cell: Cell) -> None:
    first = cell("many = client.map(wait_for, ['nothing'] * 6, pure=False)\nkey = many[-1].key\ndisplay(many)")
    cell("del many\nwait_until(lambda: 'is not known' in cluster.explain(key))")
    block_until(cell, lambda: "6 released" in shown(first))


def test_a_client_counts_its_cluster_in_its_place(cell: Cell) -> None:
    first = cell("display(client)")
    assert "Workers 2" in shown(first)
    cell("cluster.scale(3); cluster.wait_for_workers(3)")
    block_until(cell, lambda: "Workers 3" in shown(first))
    assert "workers=3" in plain(first)


def test_the_thread_that_looks_ends_with_the_last_view(cell: Cell) -> None:
    cell("import threading\nother = Client(cluster)\ndisplay(other)\nother.close()")
    cell("client.close()")
    result = cell(
        "wait_until(lambda: not [t for t in threading.enumerate() if t.name in ('himalia-views', 'himalia-feed')])"
    )
    assert result.outputs == []


def key_in(cell: Any) -> str:
    (key,) = re.findall(r"wait_for-[0-9a-f]+", plain(cell))
    return str(key)
