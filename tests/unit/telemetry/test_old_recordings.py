"""Recordings that earlier versions wrote still open, and are replayed.

``format-1.himalia`` was written when answers were dicts (protocol 3), of a made-up cluster: two hosts with two workers
each, 24 calls of which one failed.
"""

from __future__ import annotations

from pathlib import Path

from himalia.messages.answers import ClusterInfo, ProfileSamples
from himalia.messages.telemetry import TaskCounts
from himalia.names import HostId, PeerId
from himalia.telemetry.recording_format import Recording
from himalia_widgets.replay.described import describe
from himalia_widgets.replay.source import ReplaySource
from himalia_widgets.view.tables.summary import summarize
from himalia_widgets.view.tables.workers import worker_rows

OLD = Path(__file__).with_name("format-1.himalia")
START = 1_800_000_000.0


def recording() -> Recording:
    return Recording(OLD.read_bytes(), OLD.name)


def infos() -> list[ClusterInfo]:
    return [frame.info() for frame in recording().frames() if frame.kind == "info"]


def test_a_recording_of_format_1_is_whole() -> None:
    found = recording()
    assert (found.header.format, found.header.protocol, found.header.cluster) == (1, 3, "moons")
    assert (found.torn, found.ended) == (False, START + 6)
    last = list(found.frames())[-1]
    assert (last.kind, last.reason()) == ("end", "it was stopped")


def test_what_it_says_of_hosts_and_workers_is_read_into_structs() -> None:
    first, last = infos()
    assert (first.id, first.clients, first.here, first.counts) == ("scheduler-1", 1, "machine-1", TaskCounts())
    host = first.hosts[HostId(PeerId("nanny-1"))]
    assert (host.name, host.address, host.memory_limit) == ("moons-1", "tcp://10.0.0.1:4000", 4 * 2**30)
    assert (host.machine, host.nthreads, host.versions) == ("machine-1", 4, {"python": "3.12.1"})
    worker = first.workers["tcp://10.0.0.1:4000/moons-1-0"]
    assert (worker.name, worker.host_id, worker.host, worker.nanny) == ("moons-1-0", "nanny-1", "node1", host.address)
    assert (worker.resources, worker.metrics) == ({"GPU": 1.0}, (0.25, 80 * 2**20, 1))
    assert last.started == 6.0


def test_its_samples_are_apart_from_why_there_are_none() -> None:
    (found,) = [frame.profile() for frame in recording().frames() if frame.kind == "profile"]
    assert found == ProfileSamples(
        {"moons-1-0": [(START + 1.0, "main (a.py:1);inner (a.py:2)", 3)]},
        {"tcp://10.0.0.2:4000": "py-spy isn't installed"},
    )


def test_it_is_replayed() -> None:
    source = ReplaySource(recording(), "moons")
    assert source.history.total == 24
    now = summarize(source.history)
    assert (now.hosts, now.workers, now.threads, now.done, now.failed) == (2, 4, 8, 23, 1)
    assert [row.name for row in worker_rows(source.history)] == ["moons-1-0", "moons-1-1", "moons-2-0", "moons-2-1"]
    assert [line.text for line in source.reel.lines().lines["moons-1-0"]] == ["hello"]
    assert list(source.reel.samples().samples) == ["moons-1-0"]
    failed = describe(source.history, "inc-3-3")
    assert failed.error is not None
    assert (failed.status, failed.error.text) == ("failed", "ValueError: no")
    source.seek(START + 2.5)
    assert source.history.total == 12
