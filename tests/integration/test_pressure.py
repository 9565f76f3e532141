"""More data than the store holds: all of it comes, whoever holds, keeps, stops or dies; errors if no wait can help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from himalia import Client, LocalCluster, wait
from himalia.errors import StoreFullError
from tests.integration.test_several_hosts import Hosts
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

MB = 1_000_000
STORE = 256 * 2**20
"""Bytes of the store: of two workers with 128 MiB each, which has to be enough for a process with NumPy."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=2, memory_limit="128 MiB", dashboard_address=None) as cluster:
        yield cluster


def make(number: int, nbytes: int = 16 * MB) -> Any:
    return np.full(nbytes // 8, number, dtype="i8")


def first(array: Any) -> int:
    return int(array[0])


def add(*arrays: Any) -> Any:
    return np.sum([array[:1000] for array in arrays], axis=0) if len(arrays) > 4 else sum(arrays[1:], arrays[0].copy())


def slice_of(array: Any, index: int, count: int) -> Any:
    return array[index::count].copy()


def total(*arrays: Any) -> int:
    return sum(int(array.sum()) for array in arrays)


def tail(array: Any) -> Any:
    return array[10:]


def keep(array: Any) -> int:
    """Put an input where it stays after its call."""
    kept = sys.__dict__.setdefault("_kept_by_a_test", [])
    kept.append(array)
    return int(array[-1])


def forget() -> None:
    sys.__dict__.pop("_kept_by_a_test", None)


def is_all(array: Any, number: int) -> bool:
    return bool((array == number).all())


def test_quick_calls_over_several_stores_of_inputs_all_come(client: Client) -> None:
    arrays = client.map(make, range(48))
    assert client.gather(client.map(first, arrays)) == list(range(48))


def test_a_tree_of_sums_over_five_stores(client: Client) -> None:
    arrays = client.map(make, range(80))
    while len(arrays) > 1:
        arrays = [client.submit(add, *arrays[i : i + 3]) for i in range(0, len(arrays), 3)]
    assert is_all(arrays[0].result(), sum(range(80)))


def test_every_output_of_parts_of_every_input(client: Client) -> None:
    arrays = client.map(make, range(32))
    parts = [[client.submit(slice_of, array, index, 8) for array in arrays] for index in range(8)]
    del arrays
    assert client.gather([client.submit(total, *some) for some in parts]) == [sum(range(32)) * 250_000] * 8


def test_a_notebook_holds_three_times_the_store(client: Client) -> None:
    futures = client.map(make, range(50))
    held = [future.result() for future in futures[:25]] + client.gather(futures[25:])
    assert all(is_all(array, number) for number, array in enumerate(held))
    held[0][:] = -1  # each is the reader's own
    assert client.gather(client.map(first, futures)) == list(range(50))
    wait_until(lambda: "held by notebook or script" in futures[0].explain())
    del held
    wait_until(lambda: "held by" not in futures[0].explain())


def test_scattered_data_beyond_the_store_and_results_that_view_their_inputs(client: Client) -> None:
    futures = client.scatter([make(number) for number in range(40)])
    views = client.map(tail, futures)
    assert client.gather(client.map(first, views)) == list(range(40))
    assert all(is_all(array, number) for number, array in enumerate(client.gather(views)))


def test_code_that_keeps_its_inputs_keeps_a_share_of_the_store(client: Client) -> None:
    arrays = client.map(make, range(10))
    try:
        one, other = client.scheduler_info()["workers"]  # five each: one that keeps copies of ten is over its limit
        kept = client.map(keep, arrays[:5], workers=one) + client.map(keep, arrays[5:], workers=other)
        assert client.gather(kept) == list(range(10))
        more = client.map(make, range(100, 130))
        assert client.gather(client.map(first, more)) == list(range(100, 130))
        wait_until(lambda: "that keeps inputs" in more[0].explain())
    finally:
        client.run(forget)


def test_what_was_stored_before_a_scatter_failed_is_given_back(client: Client) -> None:
    def kept() -> int:
        (host,) = client.scheduler_info()["hosts"].values()
        return int(host["store_bytes"] + host["spilled_bytes"])

    wait_until(lambda: kept() < MB)
    values = [make(number, 4 * MB) for number in range(8)]
    with pytest.raises(StoreFullError):
        client.scatter([*values, np.zeros(300 * MB // 8)], hash=False)
    with pytest.raises(StoreFullError):
        client.map(total, [*values, np.zeros(300 * MB // 8)], pure=False)
    wait_until(lambda: kept() < MB)


def test_what_can_never_fit_is_an_error_with_numbers_and_nothing_else_suffers(client: Client) -> None:
    arrays = client.map(make, range(20))
    wait(arrays)
    with pytest.raises(StoreFullError, match=r"320,00\d,\d+ bytes of inputs at once, 51,56\d,\d+ more than"):
        client.submit(total, *arrays).result()
    with pytest.raises(StoreFullError, match=rf"its limit is {STORE:,}, .* less"):
        client.submit(np.zeros, 300 * MB // 8).result()
    with pytest.raises(StoreFullError, match=rf"its limit is {STORE:,}, .* less"):
        client.scatter(np.zeros(300 * MB // 8))
    assert client.gather(client.map(first, arrays)) == list(range(20))


def test_a_call_whose_inputs_are_most_of_the_store_comes_to_its_turn_among_small_ones(client: Client) -> None:
    arrays = client.map(make, range(15))
    small = client.map(make, range(100, 140))
    calls = client.map(first, small)
    large = client.submit(total, *arrays)
    calls += client.map(first, small, pure=False)
    assert large.result() == sum(range(15)) * 2_000_000
    assert client.gather(calls) == [*range(100, 140), *range(100, 140)]


HOLDER = """
import sys
import numpy as np
from himalia import Client
client = Client(sys.argv[1])
arrays = client.map(np.full, [2_000_000] * 30, range(30))
held = client.gather(arrays)
print("holds", flush=True)
sys.stdin.read()
"""


def test_a_client_that_stops_or_dies_with_much_in_its_hands_holds_up_nobody(
    cluster: LocalCluster, client: Client
) -> None:
    def held() -> int:
        return sum(sum(host["store_clients"].values()) for host in client.scheduler_info()["hosts"].values())

    code = textwrap.dedent(HOLDER)
    holder = subprocess.Popen(
        [sys.executable, "-c", code, cluster.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        wait_until(lambda: held() > STORE // 8)
        os.kill(holder.pid, signal.SIGSTOP)

        arrays = client.map(make, range(40))
        assert client.gather(client.map(first, arrays)) == list(range(40))
        assert all(is_all(array, number) for number, array in enumerate(client.gather(arrays)))
    finally:
        holder.kill()
        holder.communicate()
    wait_until(lambda: held() == 0)


@pytest.mark.usefixtures("nothing_left")
def test_two_hosts_with_small_stores_send_each_other_more_than_they_hold() -> None:
    hosts = Hosts()
    try:
        hosts.add("a", memory="160 MiB")
        hosts.add("b", memory="160 MiB")
        with Client("several") as client:
            client.wait_for_workers(2)
            names = sorted(worker["name"] for worker in client.scheduler_info()["workers"].values())
            arrays = [client.submit(make, number, workers=[names[number % 2]]) for number in range(30)]
            sums = [
                client.submit(total, *arrays[index : index + 4], workers=[names[index // 2 % 2]]) for index in range(27)
            ]
            assert client.gather(sums) == [(4 * index + 6) * 2_000_000 for index in range(27)]
            assert all(is_all(array, number) for number, array in enumerate(client.gather(arrays)))
    finally:
        hosts.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a disk of so many MB."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=0700", "none", str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small disk has to be mounted, which needs root")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


@pytest.mark.usefixtures("nothing_left")
def test_a_full_disk_is_an_error_that_names_it_and_what_is_there_stays(small_disk: Callable[[int], Path]) -> None:
    place = small_disk(200)  # of which the store leaves 64 to others
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            memory_limit="128 MiB",
            dashboard_address=None,
            local_directory=str(place),
        ) as cluster,
        Client(cluster) as client,
    ):
        arrays = client.map(make, range(20))  # 320 MB: 256 MiB in memory, the rest on disk
        assert client.gather(client.map(first, arrays)) == list(range(20))
        more = client.map(make, range(100, 130))
        said: list[str] = []

        def is_explained() -> bool:
            said[:] = [future.explain() for future in more]
            return any("s so far: needs" in text and text.endswith("it fails.") for text in said)

        wait_until(is_explained)
        wait_until(lambda: any(future.status == "error" for future in more), 30.0)
        failed = [future for future in more if future.status == "error"]
        wait_until(lambda: more[-1].status == "error" or "No space left on device" in more[-1].explain())
        with pytest.raises(StoreFullError, match="The disk failed: No space left on device"):
            failed[0].result()
        assert all(is_all(array, number) for number, array in enumerate(client.gather(arrays)))
        more.clear()
        failed.clear()
        again = client.map(make, range(200, 203))
        assert client.gather(client.map(first, again)) == [200, 201, 202]
        assert client.gather(client.map(first, arrays, pure=False)) == list(range(20))
