from __future__ import annotations

import os
from pathlib import Path

import pytest

from himalia import Client, LocalCluster
from tests.waiting import PATIENCE, wait_until


def spin_here(path: str) -> int:
    """Compute until a file exists."""
    count = 0
    while not os.path.exists(path):
        for _ in range(100_000):
            count += 1
    return count


def _busiest(client: Client) -> str:
    functions = client.profile().functions()
    return functions[0].function if functions else ""


def test_a_call_that_spins_shows_up_in_the_profile_in_detail_and_idle_workers_do_not(tmp_path: Path) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        future = client.submit(spin_here, str(tmp_path / "go"))
        problems = client.profile().problems
        if problems:
            pytest.skip(f"needs py-spy with the right to look at other processes: {problems}")
        wait_until(lambda: _busiest(client) == "spin_here")  # the first samples show the worker's imports
        (tmp_path / "go").touch()
        future.result(timeout=PATIENCE)
        profile = client.profile()
        assert profile.functions()[0].function == "spin_here"
        assert len(profile.samples) == 1
