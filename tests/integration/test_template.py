"""Workers are forks of a process that has imported what they need: what they share with it, and what they don't."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest

from himalia import Client, LocalCluster
from himalia.worker.template import ADOPTION, HARMLESS
from himalia.worker.wiring import TemplateConfig, WorkerConfig, control_pair
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are started afresh")


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, env={"MOON": "full"}) as cluster:
        yield cluster


def workers(client: Client) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in client.run(os.getpid).values()]


def pids(client: Client) -> set[int]:
    return {worker["pid"] for worker in client.scheduler_info()["workers"].values()}


def kill(client: Client) -> None:
    """Kill a worker, and wait for its successor."""
    victim = min(pids(client))
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(pids(client)) == 2 and victim not in pids(client))


def find_template(client: Client) -> psutil.Process:
    """Return the process that workers are forked from: a child of the nanny that is no worker."""
    found = workers(client)
    nanny = found[0].parent()
    assert nanny is not None
    others = [child for child in nanny.children() if child not in found]
    # A nanny looks at stacks, too.
    (template,) = [child for child in others if "himalia.worker.template" in child.cmdline()]
    return template


def test_a_worker_is_the_nannys_child_in_a_session_of_its_own(client: Client) -> None:
    first, second = workers(client)
    assert first.parent() == second.parent()
    for worker in (first, second):
        assert os.getsid(worker.pid) == os.getpgid(worker.pid) == worker.pid
    threads = Path(f"/proc/{find_template(client).pid}/task").iterdir()
    assert sum((thread / "comm").read_text().strip() not in HARMLESS for thread in threads) == 1


def test_it_has_the_environment_and_no_file_of_the_template(client: Client) -> None:
    def look() -> tuple[str, str, list[str]]:
        files = os.listdir("/proc/self/fd")
        names = [os.readlink(f"/proc/self/fd/{fd}") for fd in files if os.path.lexists(f"/proc/self/fd/{fd}")]
        return os.environ["MOON"], os.readlink("/proc/self/fd/0"), names

    for moon, stdin, names in client.run(look).values():
        assert (moon, stdin) == ("full", "/dev/null")
        # The queue, its channel, and the end of the loop's alarm: not the template's line to the nanny.
        assert sum(name.startswith("socket:") for name in names) == 2


def test_random_numbers_differ(client: Client) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(np.random.default_rng().random())

    first, second = client.run(draw).values()
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_what_calls_print_is_whole_lines_of_one_worker(client: Client, cluster: LocalCluster) -> None:
    def tell(number: int) -> None:
        print(f"number {number}")
        os.write(2, f"low {number}\n".encode())

    client.gather(client.map(tell, range(10)))

    def said() -> str:
        return str(cluster.get_logs())

    wait_until(lambda: all(f"number {number}" in said() and f"low {number}" in said() for number in range(10)))


def test_a_killed_worker_is_back_soon(client: Client) -> None:
    began = time.monotonic()
    kill(client)
    assert time.monotonic() - began < 5.0
    assert client.submit(sum, [1, 2], pure=False).result() == 3


def test_without_the_template_workers_are_still_started() -> None:
    """The first death of the template is taken for an accident; after the second each worker imports for itself."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        for _ in range(2):
            template = find_template(client)
            template.kill()
            # Until the nanny has seen it; of a worker that it needs at that moment it takes the longer way at once.
            wait_until(lambda: not template.is_running())  # noqa: B023
            kill(client)
        nanny = workers(client)[0].parent()
        assert nanny is not None
        kill(client)
        wait_until(lambda: {child.pid for child in nanny.children()} == pids(client))  # the other may be starting
        assert client.submit(sum, [1, 2], pure=False).result() == 3


def test_a_process_with_threads_is_not_forked() -> None:
    """As after an import that starts one; here it is in a module that the template is told to import."""
    program = """
        import sys, threading, types, os, time
        from himalia import Client, LocalCluster
        from himalia.deploy import local_plan
        local_plan.PRELOADED = ("starts_a_thread",)
        sys.modules["starts_a_thread"] = types.ModuleType("starts_a_thread")
        with LocalCluster(n_workers=2, dashboard_address=None) as cluster, Client(cluster) as client:
            print(len(set(client.run(os.getpid).values())), client.submit(sum, [1, 2]).result())
            print(*client.run(lambda: "starts_a_thread" in sys.modules).values())
        """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "starts_a_thread.py").write_text(
            "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, "-c", textwrap.dedent(program)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout.split() == ["2", "3", "False", "False"], done.stderr


def test_what_a_dead_worker_leaves_is_no_zombie_of_the_nanny(client: Client) -> None:
    def leave() -> tuple[int, int]:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        return os.getpid(), child.pid

    worker, orphan = client.submit(leave, pure=False).result()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: psutil.Process(orphan).ppid() != worker)
    os.kill(orphan, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(orphan))


def test_what_the_owner_has_imported_is_there_before_the_first_call(client: Client) -> None:
    assert np.__name__ in sys.modules

    def is_there() -> Any:
        return "numpy" in sys.modules

    assert all(client.run(is_there).values())


def test_a_fork_that_nobody_hears_of_ends(tmp_path: Path) -> None:
    """Its nanny starts another worker with the same channel, and two must not read it."""
    line, end = control_pair()
    read, write = os.pipe()
    told = TemplateConfig(control=end.fileno())
    process = subprocess.Popen(
        [sys.executable, "-m", "himalia.worker.template"], stdin=subprocess.PIPE, pass_fds=[end.fileno()]
    )
    end.close()
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(told) + b"\n")
    process.stdin.close()
    line.recv(1000)  # it is ready
    with open(os.devnull, "rb") as null:
        config = WorkerConfig(name="w", index=0, nthreads=1, queue=0, channel=0, slots=0, arena="", cwd=str(tmp_path))
        socket.send_fds(line, [msgspec.json.encode(config)], [write, null.fileno(), null.fileno(), null.fileno()])
    line.close()
    os.close(write)
    began = time.monotonic()
    with open(read, "rb") as stream:
        stream.read()  # ends when nobody can write any more: neither it nor its fork
    assert time.monotonic() - began < ADOPTION / 2
    process.wait(10)
