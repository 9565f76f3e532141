"""What this machine has is read from files that say so, the tightest limit counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from himalia import system


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the own group of a machine that has nothing but what a test writes there."""
    own = tmp_path / "slice" / "job"
    own.mkdir(parents=True)
    real = system._read

    def read(path: Path) -> str | None:
        if path == Path("/proc/self/cgroup"):
            return "0::/slice/job"
        return real(path)

    monkeypatch.setattr(system, "_read", read)
    monkeypatch.setattr(system, "_CGROUP_ROOT", tmp_path)
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    return own


def test_without_limits_all_processors_count(cgroup: Path) -> None:
    assert system.cpu_count() == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs cgroups, which Linux has")
@pytest.mark.parametrize(
    ("own", "above", "count"),
    [
        ("max 100000", None, 16),
        ("250000 100000", None, 3),
        ("50000 100000", None, 1),
        ("800000 100000", "200000 100000", 2),
    ],
)
def test_the_tightest_cpu_quota_counts(cgroup: Path, own: str, above: str | None, count: int) -> None:
    (cgroup / "cpu.max").write_text(own + "\n")
    if above is not None:
        (cgroup.parent / "cpu.max").write_text(above)

    assert system.cpu_count() == count


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs cgroups, which Linux has")
def test_the_quota_of_an_old_cgroup_counts(cgroup: Path) -> None:
    (cgroup / "cpu.cfs_quota_us").write_text("400000")
    (cgroup / "cpu.cfs_period_us").write_text("100000")

    assert system.cpu_count() == 4


@pytest.mark.parametrize(("name", "text"), [("memory.max", "123000000\n"), ("memory.limit_in_bytes", "123000000")])
def test_the_tightest_memory_limit_counts(cgroup: Path, name: str, text: str) -> None:
    machine = system.memory_limit()
    (cgroup / name).write_text("max")
    assert system.memory_limit() == machine
    (cgroup / name).write_text("9223372036854771712")
    assert system.memory_limit() == machine

    (cgroup.parent / name).write_text(text)

    assert system.memory_limit() == 123_000_000


def test_the_identity_is_the_same_for_each_process_of_the_user_here() -> None:
    assert system.machine_identity() == system.machine_identity.__wrapped__()
    assert system.machine_identity().isalnum()


def memory_of_child(megabytes: int) -> int:
    """Return what a fresh process that holds so much has of its own."""
    code = f"block = b'x' * ({megabytes} << 20); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        return system.rss(child.pid)
    finally:
        child.communicate(b"\n")


def test_own_memory_grows_with_what_is_allocated() -> None:
    assert 40 << 20 < memory_of_child(50) - memory_of_child(0) < 60 << 20
    assert system.rss(2**22 + 5) == 0
    assert 0 < system.host_memory() < 1 << 50


def test_versions_name_what_is_installed() -> None:
    versions = system.versions()

    assert versions["python"].count(".") == 2
    assert {"himalia", "cloudpickle", "msgspec"} <= set(versions)


def test_a_process_that_gives_way_is_nice_in_its_session_and_its_session_is_nice() -> None:
    code = "from himalia import system; system.give_way(7); print(open('/proc/self/autogroup').read())"
    if not Path("/proc/self/autogroup").exists():
        code = "import os; from himalia import system; system.give_way(7); print(f'nice {os.nice(0)}')"
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True).stdout
    assert printed.split()[-2:] == ["nice", "7"]
