"""What calls print, on a real cluster: kept under the call's key, bounded, also after its worker's death."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from himalia import Client, LocalCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


def texts(future: Any) -> list[str]:
    return [line.text for line in future.logs()]


def test_what_a_call_printed_is_there_as_soon_as_its_result_is(client: Client) -> None:
    def work() -> int:
        print("α <b>one</b>")
        print("two", file=sys.stderr)
        print("no end", end="")
        return 1

    future = client.submit(work, pure=False)
    assert future.result(20) == 1
    lines = future.logs()
    assert [(line.source, line.text) for line in lines] == [
        ("stdout", "α <b>one</b>"),
        ("stderr", "two"),
        ("stdout", "no end"),
    ]
    assert {line.key for line in lines} == {future.key}


def test_unconfigured_logging_comes_with_its_level_and_warnings_come_too(client: Client) -> None:
    def work() -> None:
        logging.getLogger("mine").warning("careful")
        logging.getLogger("mine").info("not shown")
        warnings.warn("old", stacklevel=1)

    future = client.submit(work, pure=False)
    future.result(20)
    lines = future.logs()
    assert (lines[0].source, lines[0].text) == ("WARNING", "careful")
    assert any("UserWarning: old" in line.text for line in lines)
    assert not any("not shown" in line.text for line in lines)


def test_a_progress_bar_leaves_its_last_state(client: Client) -> None:
    def work() -> None:
        for percent in (0, 50, 100):
            print(f"\r{percent} %", end="")

    future = client.submit(work, pure=False)
    future.result(20)
    assert texts(future) == ["100 %"]


def test_standard_output_still_behaves_like_a_text_file(client: Client) -> None:
    def work() -> tuple[Any, ...]:
        sys.stdout.flush()
        out = sys.stdout
        return out.write("abc\n"), out.isatty(), out.encoding, out.fileno(), out.writable(), out.buffer.writable()

    assert client.submit(work, pure=False).result(20) == (4, False, "utf-8", 1, True, True)


def test_lines_of_a_worker_that_died_are_kept(cluster: LocalCluster, client: Client) -> None:
    def work() -> None:
        print("last words")
        os._exit(3)

    future = client.submit(work, pure=False)
    assert future.exception(60) is not None
    assert "last words" in texts(future)
    assert any("last words" in text for text in cluster.get_logs().values())


def test_a_hundred_thousand_lines_are_bounded_and_what_was_dropped_is_said(client: Client) -> None:
    def work() -> int:
        for number in range(100_000):
            print(number)
        return 1

    future = client.submit(work, pure=False)
    assert future.result(60) == 1
    lines = texts(future)
    assert len(lines) <= 1000
    assert any("more lines were dropped" in line for line in lines)
