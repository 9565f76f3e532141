"""LocalCluster: real processes, from the start to an end that leaves nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from himalia import Client, LocalCluster
from himalia.child import Child
from himalia.deploy import patience
from himalia.errors import ClosedError, DataLostError, StartError, TimeoutError, UsageError
from himalia.registry import clusters
from tests.waiting import hold, wait_until


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """One cluster for the tests that only look at it."""
    with LocalCluster(n_workers=2, threads_per_worker=1, resources={"GPU": 1}) as cluster:
        cluster.wait_for_workers(2, timeout=30)
        yield cluster


def double(number: int) -> int:
    return 2 * number


def pids_of(cluster: LocalCluster) -> list[int]:
    """Return the processes of a cluster: scheduler, nanny, workers."""
    workers = [int(worker["pid"]) for worker in cluster.workers.values()]
    return [child.pid for child in cluster._launched.children] + workers


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


# What it offers


def test_it_computes(cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        assert client.submit(double, 21).result(timeout=30) == 42


def test_it_says_what_it_is(cluster: LocalCluster) -> None:
    assert cluster.status == "running"
    assert cluster.name.startswith("himalia-")
    assert cluster.scheduler_address.startswith("unix:///")
    info = cluster.scheduler_info
    assert info["id"].startswith("scheduler-")
    assert len(info["workers"]) == len(cluster.workers) == 2
    worker = next(iter(cluster.workers.values()))
    assert worker["nthreads"] == 1
    assert worker["resources"] == {"GPU": 1.0}
    assert worker["memory_limit"] > 0


def test_its_representations_show_its_workers(cluster: LocalCluster) -> None:
    assert f"LocalCluster({cluster.name}, " in repr(cluster)
    assert "workers=2, threads=2" in repr(cluster)
    bundle = cluster._repr_mimebundle_()
    for name in cluster.workers:
        assert name in bundle["text/html"]
        assert name in bundle["text/plain"]


def test_no_secret_is_shown_anywhere(cluster: LocalCluster) -> None:
    secret = clusters.read(cluster.name).keys["client"]
    assert len(secret) == 64
    shown = [
        repr(cluster),
        *cluster._repr_mimebundle_().values(),
        repr(cluster.credentials),
        repr(vars(cluster._launched)),
    ]
    shown += cluster.get_logs().values()
    for pid in pids_of(cluster):
        shown += [Path(f"/proc/{pid}/{place}").read_text("latin-1") for place in ("cmdline", "environ")]
    assert not any(secret in text or bytes.fromhex(secret).decode("latin-1") in text for text in shown)


def test_it_listens_on_no_port(cluster: LocalCluster) -> None:
    for pid in pids_of(cluster):
        assert psutil.Process(pid).net_connections(kind="inet") == []


def test_it_is_found_by_name_and_by_address(cluster: LocalCluster) -> None:
    assert clusters.read(cluster.name).addresses == cluster.addresses
    found = clusters.find(cluster.scheduler_address)
    assert found is not None
    assert found.name == cluster.name
    for where in (cluster.name, cluster.scheduler_address):
        with Client(where) as client:
            assert client.submit(double, 4).result(timeout=30) == 8


def test_a_name_in_use_is_refused(cluster: LocalCluster) -> None:
    with pytest.raises(UsageError, match="runs already"):
        LocalCluster(name=cluster.name)
    assert cluster.status == "running"
    assert clusters.read(cluster.name).id == cluster.credentials.cluster_id


def test_it_explains_a_task_and_keeps_logs(cluster: LocalCluster) -> None:
    with cluster.get_client() as client:
        future = client.submit(double, 3)
        future.result(timeout=30)
        assert "finished" in cluster.explain(future)
        assert "finished" in cluster.explain(future.key)
        assert f"log of nanny {cluster.name}" in client.get_worker_logs()
    assert {"scheduler", "nanny", f"log of nanny {cluster.name}", *cluster.workers} == set(cluster.get_logs()) - {
        "dashboard"
    }


def test_it_scales_and_keeps_results(nothing_left: None) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        future = client.submit(double, 5)
        assert future.result(timeout=30) == 10
        cluster.scale(3)
        cluster.wait_for_workers(3, timeout=30)
        cluster.scale(1)
        wait_until(lambda: len(cluster.workers) == 1)
        assert future.result(timeout=30) == 10
        assert client.submit(double, 6).result(timeout=30) == 12
        with pytest.raises(TimeoutError, match="1 of 5"):
            cluster.wait_for_workers(5, timeout=0.1)


def test_it_may_start_without_workers(nothing_left: None) -> None:
    with LocalCluster(n_workers=0) as cluster:
        assert cluster.workers == {}
        cluster.scale(1)
        cluster.wait_for_workers(timeout=30)
        assert len(cluster.workers) == 1


def test_env_and_directory_reach_the_workers(tmp_path: Path, nothing_left: None) -> None:
    with (
        LocalCluster(n_workers=1, env={"ANSWER": "42"}, local_directory=str(tmp_path), memory_limit="1 GiB") as cluster,
        Client(cluster) as client,
    ):
        assert client.submit(os.getenv, "ANSWER").result(timeout=30) == "42"
        (worker,) = cluster.workers.values()
        assert worker["memory_limit"] == 2**30
        assert worker["local_directory"].startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_port_is_opened_where_it_is_asked_for(nothing_left: None) -> None:
    with LocalCluster(n_workers=1, scheduler_port=0) as cluster:
        address = cluster.addresses[-1]
        assert address.startswith("tcp://127.0.0.1:")
        with Client(address) as client:
            assert client.submit(double, 4).result(timeout=30) == 8


# Asynchronous programs, threads


def test_an_asynchronous_cluster_is_awaited(nothing_left: None) -> None:
    async def program() -> int:
        async with LocalCluster(n_workers=1, asynchronous=True) as cluster:
            assert cluster.status == "running"
            await cluster.wait_for_workers(1, timeout=30)  # type: ignore[misc,func-returns-value]
            async with Client(cluster, asynchronous=True) as client:
                assert "running" in repr(cluster)
                return int(await client.submit(double, 2))

    assert asyncio.run(program()) == 4


def test_an_asynchronous_cluster_can_be_closed_by_hand(nothing_left: None) -> None:
    async def program() -> str:
        cluster = await LocalCluster(n_workers=0, asynchronous=True)
        await cluster.close()  # type: ignore[misc,func-returns-value]
        await cluster.close()  # type: ignore[misc,func-returns-value]
        return cluster.status

    assert asyncio.run(program()) == "closed"


def test_a_start_that_is_cancelled_leaves_nothing(nothing_left: None) -> None:
    async def program() -> None:
        with pytest.raises(builtin_timeout):
            await asyncio.wait_for(start(), 0.05)

    async def start() -> None:
        await LocalCluster(n_workers=1, asynchronous=True)

    asyncio.run(program())


builtin_timeout = asyncio.TimeoutError


def test_a_cluster_outlives_the_thread_that_started_it(nothing_left: None) -> None:
    made: list[LocalCluster] = []
    thread = threading.Thread(target=lambda: made.append(LocalCluster(n_workers=1)))
    thread.start()
    thread.join(60)
    time.sleep(0.3)
    with made[0] as cluster, Client(cluster) as client:
        assert client.submit(double, 4).result(timeout=30) == 8


# Ends


def test_close_leaves_nothing_and_is_quick(nothing_left: None, capfd: pytest.CaptureFixture[str]) -> None:
    cluster = LocalCluster(n_workers=2, threads_per_worker=1)
    cluster.wait_for_workers(timeout=30)
    pids = pids_of(cluster)
    begun = time.monotonic()
    cluster.close()
    assert time.monotonic() - begun < 3.0
    assert all(map(is_gone, pids))
    assert cluster.status == "closed"
    assert cluster.name not in [entry.name for entry in clusters.entries()]
    cluster.close()
    assert "closed" in repr(cluster)
    with pytest.raises(ClosedError):
        cluster.scale(1)
    with pytest.raises(ClosedError):
        cluster.scheduler_info  # noqa: B018
    assert capfd.readouterr() == ("", "")


def test_close_does_not_wait_for_what_runs(nothing_left: None) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        future = client.submit(time.sleep, 3600)
        wait_until(lambda: "runs" in str(future.explain()) or "sent" in str(future.explain()))
        begun = time.monotonic()
        cluster.close()
        assert time.monotonic() - begun < 6.0


def test_an_object_that_is_dropped_takes_its_cluster_along(nothing_left: None) -> None:
    cluster = LocalCluster(n_workers=1)
    pids = pids_of(cluster)
    del cluster
    gc.collect()
    wait_until(lambda: all(map(is_gone, pids)))


def test_a_killed_scheduler_is_noticed_and_the_rest_still_ends(nothing_left: None) -> None:
    cluster = LocalCluster(n_workers=1)
    with Client(cluster) as client:
        future = client.submit(time.sleep, 3600)
        pids = pids_of(cluster)
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: cluster.status == "failed")
        assert "failed" in repr(cluster)
        with pytest.raises(ClosedError, match="SIGKILL"):
            cluster.scale(2)
        with pytest.raises(ClosedError, match="scheduler is gone"):
            future.result(timeout=30)
    cluster.close()
    wait_until(lambda: all(map(is_gone, pids)))


def test_a_killed_nanny_is_started_again_as_it_was(tmp_path: Path, nothing_left: None) -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, env={"ANSWER": "42"}, local_directory=str(tmp_path)) as cluster,
        Client(cluster) as client,
    ):
        cluster.scale(2)
        cluster.wait_for_workers(2, timeout=30)
        computed = client.map(double, range(20))
        placed = client.scatter(b"not computed")
        long = client.submit(hold, str(tmp_path / "go"))
        assert client.gather(computed) == [2 * number for number in range(20)]
        for _ in range(3):
            before = pids_of(cluster)
            os.kill(before[1], signal.SIGKILL)
            wait_until(lambda before=before: len(cluster.workers) == 2 and not set(pids_of(cluster)[1:]) & set(before))  # type: ignore[misc]
            assert cluster.status == "running"
            assert client.gather(computed) == [2 * number for number in range(20)]
            assert client.submit(os.getenv, "ANSWER", pure=False).result(timeout=30) == "42"
        with pytest.raises(DataLostError, match=re.escape(placed.key)):
            placed.result(timeout=30)
        (tmp_path / "go").write_text("")
        assert long.result(timeout=30) > 0
        scratch = [path for path in tmp_path.rglob("himalia-nanny-*") if path.is_dir()]
        assert len(scratch) == 1, "what dead nannies had moved to disk is gone"
        assert "it ended with signal SIGKILL" in cluster.get_logs()["nanny"]


def test_a_wish_for_workers_while_the_nanny_is_dead_is_kept(nothing_left: None) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        os.kill(pids_of(cluster)[1], signal.SIGKILL)
        cluster.scale(3)
        cluster.wait_for_workers(3, timeout=30)
        assert client.submit(double, 4).result(timeout=30) == 8


def test_a_nanny_that_was_stopped_and_goes_on_keeps_its_results(nothing_left: None) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        kept = client.submit(os.urandom, 100_000)
        value = kept.result(timeout=30)
        nanny = pids_of(cluster)[1]
        os.kill(nanny, signal.SIGSTOP)
        future = client.submit(double, 4)
        time.sleep(2.0)  # twice its lease
        os.kill(nanny, signal.SIGCONT)
        assert future.result(timeout=30) == 8
        assert kept.result(timeout=30) == value
        assert pids_of(cluster)[1] == nanny


def test_a_cluster_whose_nanny_can_not_be_started_any_more_tells_its_futures(
    nothing_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        future = client.submit(time.sleep, 3600)
        monkeypatch.setenv("PYTHONHOME", "/nowhere")
        monkeypatch.setattr(patience, "FAILURES", 2)
        os.kill(pids_of(cluster)[1], signal.SIGKILL)
        with pytest.raises(ClosedError, match=r"(?s)nanny can't be kept alive: .*encodings"):
            future.result(timeout=60)
        wait_until(lambda: cluster.status == "failed")
        with pytest.raises(ClosedError, match="nanny"):
            cluster.scale(2)


def run_script(text: str, folder: Path, *, wait: bool = True) -> subprocess.Popen[str]:
    """Run a program that prints one line of JSON, and return it; its output is read by the caller."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(text))
    process = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if wait:
        process.wait(60)
    return process


PROGRAM = """
    import json, os, signal, sys, time
    from himalia import Client, LocalCluster
    cluster = LocalCluster(n_workers=2, threads_per_worker=1)
    cluster.wait_for_workers(2)
    client = Client(cluster)
    assert client.submit(lambda x: x + 1, 1).result(timeout=30) == 2
    workers = [worker["pid"] for worker in cluster.workers.values()]
    print(json.dumps(workers + [child.pid for child in cluster._launched.children]), flush=True)
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise ValueError('so it goes')", 1),
        ("os._exit(0)", 0),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -11),
    ],
    ids=["end", "exit", "exception", "_exit", "SIGKILL", "SIGTERM", "SIGSEGV"],
)
def test_nothing_outlives_a_program_without_a_guard(tmp_path: Path, nothing_left: None, ending: str, code: int) -> None:
    process = run_script(PROGRAM + f"    {ending}\n", tmp_path)
    with process:
        out, err = process.communicate()
    assert process.returncode == code, err
    pids = json.loads(out)
    assert len(pids) == 4
    wait_until(lambda: all(map(is_gone, pids)))
    assert "himalia" not in err or "ValueError" in err, err


def test_ctrl_c_reaches_the_program_and_not_its_cluster(tmp_path: Path, nothing_left: None) -> None:
    text = (
        PROGRAM
        + """
    try:
        print("asleep", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print(client.submit(lambda x: x + 1, 2).result(timeout=30), flush=True)
    """
    )
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(text))
    process = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.stdout.readline() == "asleep\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        assert process.stdout.readline() == "3\n"
        assert process.wait(30) == 0


def test_modules_beside_the_program_reach_the_workers(tmp_path: Path, nothing_left: None) -> None:
    (tmp_path / "beside.py").write_text("def triple(x):\n    return 3 * x\n")
    (tmp_path / "random.py").write_text("raise SystemExit('a random.py that nobody asked for')\n")
    process = run_script(
        """
        import sys
        here = sys.path.pop(0)  # the program itself would meet that random.py
        from himalia import Client, LocalCluster
        sys.path.append(here)
        import beside
        with LocalCluster(n_workers=1) as cluster, Client(cluster) as client:
            print(client.submit(beside.triple, 2).result(timeout=30))
        """,
        tmp_path,
    )
    with process:
        out, err = process.communicate()
    assert (out, err) == ("6\n", "")


def test_a_home_that_cannot_be_written_costs_the_name_only(
    tmp_path: Path, nothing_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HIMALIA_HOME", str(tmp_path / "file" / "home"))
    with LocalCluster(n_workers=1) as cluster, Client(cluster) as client:
        assert client.submit(double, 4).result(timeout=30) == 8
        assert "can't be found by its name" in cluster.get_logs()["scheduler"]


# Starts that fail


def test_a_port_in_use_is_a_clear_error(nothing_left: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"scheduler did not start: .*{port}"):
            LocalCluster(n_workers=1, scheduler_port=port)


def test_an_interrupt_during_the_start_leaves_nothing(nothing_left: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Child, deadline: float) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Child, "wait_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LocalCluster(n_workers=1)


def test_a_process_that_dies_at_once_leaves_its_last_words(nothing_left: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(StartError, match="encodings"):
        LocalCluster(n_workers=1)


def test_workers_that_cannot_start_are_an_error_and_not_a_wait(nothing_left: None) -> None:
    with pytest.raises(StartError, match="worker"):
        LocalCluster(n_workers=1, env={"PYTHONHOME": "/nowhere"})


@pytest.mark.parametrize(
    "options",
    [
        {"n_workers": -1},
        {"threads_per_worker": 0},
        {"memory_limit": "much"},
        {"name": "a/b"},
        {"resources": {"GPU": "many"}},
        {"resources": ["GPU"]},
        {"env": {"A=B": "1"}},
        {"scheduler_port": 70000},
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(nothing_left: None, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LocalCluster(**options)


def test_a_directory_that_cannot_be_made_is_a_clear_error(nothing_left: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="local_directory"):
        LocalCluster(n_workers=0, local_directory=str(tmp_path / "file"))


def burn_or_nap(naps: bool) -> int:
    """Take a fifth of a second, and say in which process."""
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        if naps:
            time.sleep(0.05)
    return os.getpid()


@pytest.mark.parametrize("threads", [2, 3])
def test_two_calls_are_in_one_process_only_if_no_other_is_idle(threads: int, nothing_left: None) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=threads, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            for naps in (True, False, True):
                first = client.submit(burn_or_nap, naps, pure=False)
                second = client.submit(burn_or_nap, naps, pure=False)
                assert first.result() != second.result()
            # after many calls, of which nobody knows which process took which, too
            client.gather(client.map(double, range(2000)))
            assert len(set(client.gather(client.map(burn_or_nap, [True, False], pure=False)))) == 2
