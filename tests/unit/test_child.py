"""Launching a child and seeing it to its end; the children are real, and small."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import himalia
from himalia.child import Child, exit_text, line_of, stop
from himalia.errors import StartError
from himalia.run import read_config
from tests.waiting import wait_until

Start = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a child whose module has this text."""
    children: list[Child] = []
    root = Path(himalia.__file__).parent.parent
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{root}")

    def launch(text: str) -> Child:
        name = f"child_{len(children)}"
        (tmp_path / f"{name}.py").write_text("import os, sys, time, signal\n" + textwrap.dedent(text))
        children.append(Child(name, {"secret": "hush", "number": 7}, title="tester"))
        return children[-1]

    yield launch
    stop(children, patience=0.1, term=0.1)


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


READY_THEN_LEASH = """
    line = sys.stdin.readline()
    print('{"ok": true, "told": %s}' % line.strip(), flush=True)
    sys.stdin.read()
"""


def test_a_child_reads_its_line_answers_and_ends_with_its_leash(start: Start) -> None:
    child = start(READY_THEN_LEASH)
    assert child.wait_ready(soon()) == {"ok": True, "told": {"secret": "hush", "number": 7}}
    assert child.is_running()
    stop([child], patience=5.0)
    assert child.process.returncode == 0


def test_what_it_is_told_is_in_no_process_list(start: Start) -> None:
    child = start(READY_THEN_LEASH)
    child.wait_ready(soon())
    for place in ("cmdline", "environ"):
        assert b"hush" not in Path(f"/proc/{child.pid}/{place}").read_bytes()


def test_names_of_files_that_are_no_utf8_can_be_told() -> None:
    told = {"cwd": os.fsdecode(b"/caf\xe9"), "paths": ["", "/usr/lib"]}
    here, there = os.pipe()
    os.write(there, line_of(told))
    os.close(there)
    saved = os.dup(0)
    os.dup2(here, 0)
    os.close(here)
    try:
        assert read_config() == told
    finally:
        os.dup2(saved, 0)
        os.close(saved)


def test_an_error_that_the_child_reports_is_the_start_s(start: Start) -> None:
    child = start("""print('{"error": "the port is in use"}', flush=True)""")
    with pytest.raises(StartError, match=r"tester did not start: the port is in use"):
        child.wait_ready(soon())


def test_a_child_that_dies_early_leaves_its_last_lines(start: Start) -> None:
    child = start("sys.stderr.write('one\\n' * 100); raise ZeroDivisionError('so it goes')")
    with pytest.raises(StartError, match=r"exit code 1\. Its last lines:(.|\n)*ZeroDivisionError: so it goes"):
        child.wait_ready(soon())


def test_a_child_that_is_killed_early_says_by_which_signal(start: Start) -> None:
    child = start("os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(StartError, match="signal SIGKILL"):
        child.wait_ready(soon())


def test_a_child_that_says_nothing_is_given_up(start: Start) -> None:
    child = start("print('waiting for nothing', file=sys.stderr, flush=True); time.sleep(60)")
    with pytest.raises(StartError, match="in time"):
        child.wait_ready(soon(0.5))


def test_a_child_that_says_something_else_is_refused(start: Start) -> None:
    child = start("print('hello world', flush=True); time.sleep(60)")
    with pytest.raises(StartError, match="hello world"):
        child.wait_ready(soon())


def test_a_child_that_ignores_everything_is_killed_in_bounded_time(start: Start) -> None:
    child = start("""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print('{"ok": true}', flush=True)
        time.sleep(60)
    """)
    child.wait_ready(soon())
    begun = time.monotonic()
    stop([child], patience=0.2, term=0.2)
    assert child.process.returncode == -signal.SIGKILL
    assert time.monotonic() - begun < 5.0


def test_chatter_is_kept_within_bounds(start: Start) -> None:
    child = start("""
        print('{"ok": true}', flush=True)
        for number in range(10_000):
            print('line', number, file=sys.stderr)
        sys.stderr.write('x' * 1_000_000)
    """)
    child.wait_ready(soon())
    assert child.wait(10.0)
    assert len(child.lines) == 200
    assert max(map(len, child.lines)) <= 4096


def test_a_random_module_beside_the_program_does_not_reach_the_child(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "random.py").write_text("raise SystemExit('the wrong random')")
    monkeypatch.chdir(beside)
    child = start("import random\nprint('{\"ok\": true}', flush=True)")
    assert child.wait_ready(soon()) == {"ok": True}


def is_leashed(pid: int) -> bool:
    """Whether the leashed child runs; its number may be another process's by now."""
    try:
        return b"leashed" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize(
    "ending", ["os._exit(0)", "os.kill(os.getpid(), 9)", "raise SystemExit", "stop([child], patience=5)"]
)
def test_nothing_outlives_the_owner_however_it_ends_even_if_it_was_forked(
    start: Start, tmp_path: Path, ending: str
) -> None:
    (tmp_path / "leashed.py").write_text("import sys\n" + textwrap.dedent(READY_THEN_LEASH))
    owner = f"""
import os, sys, time
from himalia.child import Child, stop
child = Child("leashed", {{}}, title="leashed")
child.wait_ready(time.monotonic() + 10)
if os.fork() == 0:
    time.sleep(30)  # holds whatever the owner had open
    os._exit(0)
print(child.pid, flush=True)
{ending}
"""
    process = subprocess.Popen([sys.executable, "-c", owner], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        pid = int(process.stdout.readline())
        process.wait(10)
        wait_until(lambda: not is_leashed(pid), 10.0)  # the child may not outlive its owner
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait(10)


def test_ends_have_names() -> None:
    assert exit_text(3) == "exit code 3"
    assert exit_text(-11) == "signal SIGSEGV"
    assert exit_text(-64) in ("signal SIGRTMAX", "signal -64", "signal 64")
