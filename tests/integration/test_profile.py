from __future__ import annotations

import time

import pytest

from himalia import Client, LocalCluster


def spin_here(seconds: float) -> int:
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        count += 1
    return count


def test_a_call_that_spins_shows_up_in_the_profile_in_detail_and_idle_workers_do_not() -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        future = client.submit(spin_here, 3.0)
        problems = client.profile().problems
        if problems:
            pytest.skip(f"needs py-spy with the right to look at other processes: {problems}")
        future.result()
        profile = client.profile()
        assert profile.functions()[0].function == "spin_here"
        assert profile.count > 20
        assert len(profile.samples) == 1
