"""A recording of a real run, and its replay: the same calls, at the same moments, without the cluster."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from himalia import Client, LocalCluster
from himalia.errors import ClosedError
from himalia.telemetry.recording_format import Recording
from tests.integration.recorded import wait_until_told
from tests.waiting import PATIENCE, wait_until

pytest.importorskip("bokeh", reason="replay needs the views: pip install 'himalia[jupyter]'")

from himalia_widgets.replay.comparison import whole_run
from himalia_widgets.replay.source import ReplaySource


def double(number: int) -> int:
    time.sleep(0.005)
    return 2 * number


def speak(number: int) -> None:
    print(f"moon {number}")


def fail(number: int) -> None:
    raise ValueError(f"no moon {number}")


class Truth(NamedTuple):
    """A recorded run, and what was known of it while it ran."""

    path: Path
    before: set[str]
    """Keys of calls that ended before the recording began."""
    during: set[str]
    finished: list[tuple[float, float, int]]
    """When it was asked how many calls had ended, when that was answered (epoch seconds), and the answer."""
    workers: dict[str, Any]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Truth]:
    path = tmp_path_factory.mktemp("recording") / "run.himalia"
    finished: list[tuple[float, float, int]] = []
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        earlier = client.map(double, range(1000, 1020))
        client.gather(earlier)
        with cluster.record(path) as recorder:
            wait_until_told(cluster, len(earlier))  # of the past, before there is more
            futures = client.map(double, range(200)) + client.map(speak, range(3)) + client.map(fail, range(4))
            while not all(future.done() for future in futures):
                asked, total = time.time(), client.telemetry().total
                finished.append((asked, time.time(), total))
                time.sleep(0.1)
            wait_until_told(cluster, len(earlier) + len(futures))
            workers = cluster.workers
        assert not recorder.is_running
        # The thread that prints what calls wrote begins with the first line: it isn't what a test leaves behind.
        wait_until(lambda: any(thread.name == "himalia-callbacks" for thread in threading.enumerate()))
        yield Truth(path, {future.key for future in earlier}, {future.key for future in futures}, finished, workers)


def open_reel(path: Path) -> ReplaySource:
    return ReplaySource(Recording(path.read_bytes(), path.name), "moons")


def keys_of(source: ReplaySource) -> list[str]:
    calls = source.history.calls
    return [calls.columns["key"][row] for row in calls.since(0)]


def test_every_call_is_in_it_once_also_those_from_before(truth: Truth) -> None:
    keys = keys_of(open_reel(truth.path))
    assert len(keys) == len(set(keys))
    assert set(keys) == truth.before | truth.during


def test_at_any_moment_it_shows_what_had_ended_by_then(truth: Truth) -> None:
    source = open_reel(truth.path)
    assert len(truth.finished) > 3
    for asked, answered, total in reversed(truth.finished):
        source.seek(asked)
        early = source.history.total
        source.seek(answered + 2.0)  # pushes come four times a second, if the machine is not too busy
        assert early <= total + 4
        assert total <= source.history.total


def test_groups_workers_errors_and_lines_are_those_of_the_cluster(truth: Truth) -> None:
    source = open_reel(truth.path)
    groups = {name: group for (name, _), group in source.history.groups.items()}
    assert (groups["double"].finished, groups["speak"].finished, groups["fail"].failed) == (220, 3, 4)
    assert {worker.name for _, worker in source.history.workers} == set(truth.workers)
    assert [error.count for error in source.history.errors.values()] == [4]
    lines = {line.text for lines in source.reel.lines().lines.values() for line in lines if line.source == "stdout"}
    assert lines == {"moon 0", "moon 1", "moon 2"}


def test_before_the_recording_its_calls_are_not_there_yet(truth: Truth) -> None:
    source = open_reel(truth.path)
    source.seek(source.reel.recording.header.started)
    assert set(keys_of(source)) == truth.before


def test_a_recording_whose_end_is_missing_is_replayed_up_to_there(truth: Truth, tmp_path: Path) -> None:
    short = tmp_path / "short.himalia"
    short.write_bytes(truth.path.read_bytes()[:-10])
    source = open_reel(short)
    assert source.reel.recording.torn
    assert truth.before <= set(keys_of(source))


def test_a_recording_ends_with_its_cluster(tmp_path: Path, nothing_left: None) -> None:
    with LocalCluster(n_workers=1, dashboard_address=None) as cluster, Client(cluster) as client:
        recorder = client.record(tmp_path / "client.himalia")
        other = cluster.record(tmp_path / "cluster.himalia")
        futures = client.map(double, range(20))
        client.gather(futures)
        for target in (client, cluster):
            wait_until_told(target, len(futures))
    wait_until(lambda: not recorder.is_running and not other.is_running)
    for path in (recorder.path, other.path):
        assert set(keys_of(open_reel(path))) == {future.key for future in futures}
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "himalia-feed"])
    with pytest.raises(ClosedError):
        cluster.record(tmp_path / "late.himalia")


def test_a_recording_of_a_block_has_every_call_that_the_block_gathered(tmp_path: Path) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        for number in range(3):
            with cluster.record(tmp_path / "block.himalia", last=0):
                futures = client.map(double, range(number * 10, number * 10 + 10))
                client.gather(futures)
            source = open_reel(tmp_path / "block.himalia")
            assert set(keys_of(source)) == {future.key for future in futures}
            assert len(source.history.workers) == 2
            # Not those of the recordings before it, on the same cluster.
            assert source.calls == whole_run(source.history).calls == source.history.total == 10
            assert source.history.groups[next(iter(source.history.groups))].finished == 10


def test_replay_serves_a_page_that_only_its_link_opens(truth: Truth) -> None:
    command = [sys.executable, "-m", "himalia", "replay", "--no-browser", str(truth.path), str(truth.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(3)]
            assert "run.himalia" in told[0]
            assert "227 calls" in told[0]
            (link,) = re.findall(r"http://127\.0\.0\.1:\d+/login\?\S+", told[2])
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
            page = opener.open(link, timeout=20).read().decode()
            assert "run.himalia" in page
            root = link.split("/login")[0]
            assert 'id="replay"' in opener.open(f"{root}/status", timeout=20).read().decode()

            def ask(query: str) -> Any:
                return json.loads(opener.open(f"{root}/{query}", timeout=20).read())

            assert ask("replay.json?time=0")["time"] == 0.0
            assert ask("summary.json")["done"] < 227
            assert ask("replay.json?time=1e6")["playing"] is False
            assert ask("summary.json")["done"] == 223
            assert ask("compare.json")["rows"][0]["calls"] == [227, 227]
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"{root}/compare", timeout=20)
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(link, timeout=20)
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere.himalia"], 1, "nowhere.himalia can't be read: No such file or directory"),
        ([__file__], 1, "is not a recording"),
        (["a", "b", "c"], 2, "3 recordings were given"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_can_t_be_replayed_is_one_line(arguments: list[str], code: int, text: str) -> None:
    command = [sys.executable, "-m", "himalia", "replay", "--no-browser", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.returncode == code
    assert text in result.stderr
    assert len(result.stderr.splitlines()) == 1
