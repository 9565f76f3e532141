"""Memory that calls freed: the next call finds it, and an idle worker has given it back."""

from __future__ import annotations

import os
import resource
import sys

import numpy as np
import psutil
import pytest

from himalia import Client, LocalCluster
from himalia.settings import MIB
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the heap is glibc's")


def churn() -> tuple[int, int]:
    """Make and let go of arrays of 3 MiB, below what NumPy asks huge pages for; return page faults, and the process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        _ = np.ones(3 * MIB // 8) + np.ones(3 * MIB // 8) * 2.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, os.getpid()


def hold_much() -> None:
    _ = [np.ones(MIB // 8) for _ in range(100)]


def test_a_call_finds_the_memory_that_the_one_before_it_freed(nothing_left: None) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        client.submit(churn, pure=False).result()
        faults, pid = client.submit(churn, pure=False).result()
        # 60 arrays have 46,080 pages.
        assert faults < 1000
        worker = psutil.Process(pid)
        before = worker.memory_info().rss
        client.submit(hold_much, pure=False).result()
        assert worker.memory_info().rss > before + 50 * MIB
        wait_until(lambda: worker.memory_info().rss < before + 20 * MIB)
