"""The command line, as a person at a terminal meets it."""

from __future__ import annotations

import http.server
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from himalia import Client
from himalia.comm.security import Credentials, new_credentials
from himalia.registry import clusters
from himalia.registry.cluster_file import describe, worker_entry, write_file
from himalia.registry.runtime_directory import ALIVE
from tests.waiting import PATIENCE

COMMAND = [sys.executable, "-m", "himalia"]


class Running:
    """A command in the background, and its lines."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self.errors = ""

    def wait_for(self, start: str) -> str:
        """Return the rest of the next line of output that begins so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(start):
                return line[len(start) :].strip()
        raise AssertionError(f"no {start!r} in {self.lines}: {self.end()[1]}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Return exit code and stderr after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        if self.process.stderr is not None and not self.process.stderr.closed:
            self.errors = self.process.communicate(timeout=PATIENCE)[1]
        return self.process.returncode, self.errors


Launch = Callable[..., Running]


@pytest.fixture
def launch(nothing_left: None) -> Iterator[Launch]:
    """Start commands in the background, and end them."""
    running: list[Running] = []

    def start(*arguments: str, **environment: str) -> Running:
        running.append(Running(*arguments, **environment))
        return running[-1]

    yield start
    for command in reversed(running):
        command.end()


@pytest.fixture
def scheduler(launch: Launch) -> str:
    """The address of a scheduler named ``mine``."""
    return launch("scheduler", "--port", "0", "--name", "mine").wait_for("Scheduler at:")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ | environment,
        check=False,
    )


def assert_clear(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """One line on stderr that says these things, the exit code, and nothing else."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr, done.stderr


def double(number: int) -> int:
    return 2 * number


def test_a_scheduler_says_where_it_is_and_ends_on_sigterm(launch: Launch) -> None:
    scheduler = launch("scheduler", "--port", "0", "--name", "mine", "--dashboard-address", "none")
    address = scheduler.wait_for("Scheduler at:")
    assert re.fullmatch(r"tcp://127\.0\.0\.1:\d+", address)
    assert scheduler.wait_for("dashboard at:").startswith("not running")
    assert clusters.read("mine").addresses[-1] == address
    assert scheduler.end() == (0, "")
    assert clusters.entries() == []


def test_ctrl_c_is_an_orderly_end(launch: Launch) -> None:
    scheduler = launch("scheduler", "--port", "0")
    scheduler.wait_for("Scheduler at:")
    assert scheduler.end(signal.SIGINT) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_registers_computes_and_ends(launch: Launch, scheduler: str, number: signal.Signals) -> None:
    worker = launch(
        "worker", scheduler, "--nworkers", "2", "--nthreads", "1", "--resources", "GPU=1,foo=2", "--name", "w"
    )
    worker.wait_for("Start worker at:")
    assert worker.wait_for("Registered to:") == scheduler
    children = psutil.Process(worker.process.pid).children(recursive=True)
    with Client(scheduler) as client:
        client.wait_for_workers(2, timeout=30)
        assert client.submit(double, 21, resources={"GPU": 1}).result(timeout=30) == 42
        assert client.gather(client.map(double, range(100))) == [2 * number for number in range(100)]
    assert worker.end(number) == (0, "")
    assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []


def test_clusters_are_listed_and_stopped_by_name(launch: Launch, scheduler: str) -> None:
    worker = launch("worker", "mine", "--nworkers", "1", "--nthreads", "3")
    worker.wait_for("Registered to:")
    with Client("mine") as client:
        client.wait_for_workers(1, timeout=30)
        header, row = run("ls").stdout.splitlines()
        assert header.split()[:5] == ["NAME", "KIND", "SCHEDULER", "WORKERS", "THREADS"]
        assert re.match(rf"mine +himalia scheduler +{re.escape(scheduler)} +1 +3 ", row)
        stopped = run("stop", "mine")
        assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "Stopped mine.\n", "")
    assert worker.process.wait(PATIENCE) == 0
    assert run("ls").stdout == "No cluster is running.\n"
    assert_clear(run("stop", "mine"), 1, "No cluster named 'mine'")


def test_a_cluster_file_lets_workers_in_that_have_no_other(launch: Launch, tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    scheduler = launch("scheduler", "--port", "0", "--cluster-file", str(path))
    address = scheduler.wait_for("Scheduler at:")
    scheduler.wait_for("Cluster file:")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    elsewhere = {"HIMALIA_HOME": str(tmp_path / "elsewhere")}
    refused = run("worker", address, HIMALIA_HOME=elsewhere["HIMALIA_HOME"])
    assert_clear(refused, 1, "secret", "--cluster-file", "HIMALIA_CLUSTER_FILE")
    for arguments, variables in (
        (["--scheduler-file", str(path)], {}),
        ([address, "--cluster-file", str(path)], {}),
        ([address], {"HIMALIA_CLUSTER_FILE": str(path)}),
        ([], {"HIMALIA_CLUSTER_FILE": str(path)}),
    ):
        worker = launch("worker", *arguments, "--nworkers", "1", **elsewhere, **variables)
        worker.wait_for("Registered to:")
        assert worker.end() == (0, "")
    assert scheduler.end()[0] == 0
    assert not path.exists()


def write_worker_file(path: str, name: str, credentials: Credentials, address: str) -> str:
    return write_file(path, worker_entry(describe(name, credentials, [address], pid=os.getpid()), credentials))


def test_the_only_cluster_needs_no_name(launch: Launch, scheduler: str) -> None:
    worker = launch("worker", "--nworkers", "1")
    assert worker.wait_for("Cluster name:") == "mine"
    assert worker.wait_for("Registered to:") == clusters.read("mine").addresses[0]
    dashboard = run("dashboard", "--no-browser")
    assert dashboard.stdout.startswith("Cluster name: mine\nDashboard: http")
    launch("scheduler", "--port", "0", "--name", "other").wait_for("Worker file:")
    for command in ("worker", "dashboard"):
        assert_clear(run(command), 2, "2 clusters of yours run: mine, other.")


def test_a_file_for_worker_nodes_is_all_that_a_node_needs(launch: Launch, tmp_path: Path) -> None:
    scheduler = launch("scheduler", "--port", "0", "--name", "roles")
    scheduler.wait_for("Scheduler at:")
    file = scheduler.wait_for("Worker file:").split(" (")[0].strip()
    alone = tmp_path / "node.json"
    alone.write_bytes(Path(file).read_bytes())
    alone.chmod(0o600)
    elsewhere = {"HIMALIA_HOME": str(tmp_path / "elsewhere")}
    launch("worker", "--cluster-file", str(alone), "--nworkers", "1", **elsewhere).wait_for("Registered to:")


def test_a_wrong_secret_is_refused_by_both_sides(launch: Launch, scheduler: str, tmp_path: Path) -> None:
    for name, wrong in (("cluster", new_credentials()), ("secret", None)):
        credentials = wrong or type(new_credentials())(clusters.read("mine").id, b"x" * 32)
        path = write_worker_file(str(tmp_path / f"{name}.json"), "mine", credentials, scheduler)
        done = run("worker", scheduler, "--cluster-file", path, "--death-timeout", "5")
        assert_clear(done, 1, name)


def test_a_port_in_use_is_one_clear_line(nothing_left: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_clear(run("scheduler", "--port", str(port)), 1, str(port), "in use")


def test_nobody_there_is_one_clear_line_in_time(nothing_left: None, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    path = write_worker_file(str(tmp_path / "s.json"), "x", new_credentials(), address)
    begun = time.monotonic()
    assert_clear(run("worker", address, "--cluster-file", path, "--death-timeout", "1s"), 1, address)
    assert time.monotonic() - begun < 8.0


def test_something_else_listens_there_is_one_clear_line(nothing_left: None, tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, name="web", daemon=True).start()
        address = f"tcp://127.0.0.1:{other.server_port}"
        path = write_worker_file(str(tmp_path / "s.json"), "x", new_credentials(), address)
        assert_clear(run("worker", address, "--cluster-file", path, "--death-timeout", "3s"), 1, address)
        other.shutdown()


def test_a_worker_leaves_when_its_scheduler_does(launch: Launch) -> None:
    scheduler = launch("scheduler", "--port", "0")
    worker = launch("worker", scheduler.wait_for("Scheduler at:"), "--nworkers", "1")
    worker.wait_for("Registered to:")
    scheduler.end()
    assert worker.process.wait(PATIENCE) == 0


def test_a_worker_lives_as_long_as_it_was_told(launch: Launch, scheduler: str) -> None:
    worker = launch("worker", scheduler, "--nworkers", "1", "--lifetime", "500ms")
    worker.wait_for("Registered to:")
    assert worker.process.wait(PATIENCE) == 0


def test_an_idle_scheduler_ends_when_it_was_told_to(launch: Launch) -> None:
    scheduler = launch("scheduler", "--port", "0", "--idle-timeout", "500ms")
    scheduler.wait_for("Scheduler at:")
    assert scheduler.process.wait(PATIENCE) == 0


def test_a_killed_worker_command_leaves_nothing(launch: Launch, scheduler: str) -> None:
    worker = launch("worker", scheduler, "--nworkers", "2")
    worker.wait_for("Registered to:")
    with Client(scheduler) as client:
        client.wait_for_workers(2, timeout=30)
    children = psutil.Process(worker.process.pid).children(recursive=True)
    worker.end(signal.SIGKILL)
    assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []
    for mark in (*Path(os.environ["XDG_RUNTIME_DIR"]).rglob(ALIVE), *Path(os.environ["TMPDIR"]).rglob(ALIVE)):
        os.utime(mark, (0, 0))
    launch("scheduler", "--port", "0").wait_for("Scheduler at:")  # whoever comes next removes what SIGKILL left
    launch("worker", scheduler, "--nworkers", "1").wait_for("Registered to:")


def own_address() -> str:
    """Return an address of this host beyond loopback, or nothing."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and not address.address.startswith("127."):
                return str(address.address)
    return ""


def test_beyond_loopback_everything_speaks_tls(launch: Launch) -> None:
    host = own_address()
    if not host:
        pytest.skip("this host has no address but loopback; give it one to run this")
    scheduler = launch("scheduler", "--host", host, "--port", "0", "--name", "tls")
    address = scheduler.wait_for("Scheduler at:")
    assert address.startswith(f"tls://{host}:")
    assert len(clusters.read("tls").fingerprint) == 64
    port = address.rpartition(":")[2]
    worker = launch("worker", f"tcp://{host}:{port}", "--nworkers", "1")
    assert worker.wait_for("Start worker at:").startswith(f"tls://{host}:")
    worker.wait_for("Registered to:")
    with Client(address) as client:
        client.wait_for_workers(1, timeout=30)
        assert client.submit(double, 21).result(timeout=30) == 42
    assert worker.end() == (0, "")
    assert scheduler.end() == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["scheduler", "--port", "99999"],
        ["scheduler", "--port", "x"],
        ["scheduler", "--idle-timeout", "5 parsecs"],
        ["scheduler", "--interface", "none-of-ours"],
        ["scheduler", "--host", "127.0.0.1", "--interface", "lo"],
        ["scheduler", "--name", "a/b"],
        ["scheduler", "extra"],
        ["scheduler", "--bogus"],
        ["scheduler", "--cluster-file", "/nowhere/at/all.json", "--port", "0"],
        ["scheduler", "--scheduler-file", "/nowhere/at/all.json", "--port", "0"],
        ["worker", "ftp://here:1"],
        ["worker", "tcp://here"],
        ["worker", "tcp://127.0.0.1:8786", "--nworkers", "many"],
        ["worker", "tcp://127.0.0.1:8786", "--nworkers", "0"],
        ["worker", "tcp://127.0.0.1:8786", "--nthreads", "0"],
        ["worker", "tcp://127.0.0.1:8786", "--memory-limit", "much"],
        ["worker", "tcp://127.0.0.1:8786", "--memory-limit", "4"],
        ["worker", "tcp://127.0.0.1:8786", "--resources", "GPU"],
        ["worker", "tcp://127.0.0.1:8786", "--lifetime", "-1"],
        ["worker", "tcp://127.0.0.1:8786", "--death-timeout", "soon"],
        ["stop"],
        ["dance"],
        ["--bogus"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_one_clear_line(nothing_left: None, arguments: list[str]) -> None:
    assert_clear(run(*arguments), 2)


def test_missing_files_and_clusters_are_one_clear_line(nothing_left: None, tmp_path: Path) -> None:
    assert_clear(run("worker", "no-such-cluster"), 1, "no-such-cluster")
    for command in ("worker", "dashboard"):
        assert_clear(run(command), 1, "No cluster of yours is running", "himalia scheduler")
    assert_clear(run("worker", "tcp://127.0.0.1:8786"), 1, "secret", "--cluster-file")
    assert_clear(run("worker", "--cluster-file", str(tmp_path / "none.json")), 1, "none.json")
    path = tmp_path / "open.json"
    path.write_text("{}")
    path.chmod(0o644)
    assert_clear(run("worker", "--cluster-file", str(path)), 2, "chmod 600")


def test_a_home_that_cannot_be_written_is_one_clear_line_or_no_matter(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "home")
    assert_clear(run("scheduler", "--port", "0", HIMALIA_HOME=nowhere), 1, "HIMALIA_HOME", "--cluster-file")
    path = str(tmp_path / "s.json")
    launch("scheduler", "--port", "0", "--cluster-file", path, HIMALIA_HOME=nowhere).wait_for("Scheduler at:")
    launch("worker", "--cluster-file", path, "--nworkers", "1", HIMALIA_HOME=nowhere).wait_for("Registered to:")


def test_help_needs_no_cluster(nothing_left: None) -> None:
    for command in ("", "scheduler", "worker", "ls", "stop"):
        done = run(*command.split(), "--help")
        assert done.returncode == 0
        assert "Usage: himalia" in done.stdout
    assert run("--version").stdout.startswith("himalia, version ")
