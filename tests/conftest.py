"""What all tests share: nothing of the person who runs them is touched, and none may take for ever."""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.leftovers import MARK

TIMEOUTS = {"unit": 30, "simulation": 600, "integration": 120, "notebooks": 120, "browser": 180}
"""Seconds for one test of each ring; a test may say otherwise with ``@pytest.mark.timeout``."""
MOST = 8
"""Processes at once for tests that wait: each starts clusters, of which more want more memory than some have."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the timeout of its ring."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.get_closest_marker("timeout") is None:
            ring = item.path.relative_to(here).parts[0]
            item.add_marker(pytest.mark.timeout(TIMEOUTS.get(ring, 60)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Let ``-n auto`` mean twice as many processes as there are cores, for tests that wait for other processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2 * cores, MOST) if config.getoption("numprocesses") == "auto" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal tests out in our way where ``--dist loadfile`` is asked for."""
    if config.getoption("dist") != "loadfile":
        return None
    from tests.spreading import Spreading

    config.option.loadscopereorder = False
    return Spreading(config, log)


def pytest_collection_finish() -> None:
    """Let the garbage collector look no more at what was imported.

    Tests of what is left behind, of which there are many, collect before and after; each time took 0.2 s of going
    through modules.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_place() -> Iterator[Path]:
    """Keep cluster files, sockets and scratch files of the tests in a folder of their own, with a short name.

    The name is short for the sake of Unix sockets, whose whole path may have 104 characters.
    """
    place = Path(tempfile.mkdtemp(prefix="hm-", dir="/tmp"))
    before = dict(os.environ)
    os.environ["HIMALIA_HOME"] = str(place / "home")
    for variable, name in (("XDG_RUNTIME_DIR", "run"), ("TMPDIR", "tmp")):
        (place / name).mkdir(mode=0o700)
        os.environ[variable] = str(place / name)
    tempfile.tempdir = None  # forget what was found before TMPDIR was set
    yield place
    os.environ.clear()
    os.environ.update(before)
    tempfile.tempdir = None
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def test_run(own_place: Path) -> Iterator[str]:
    """Mark every process that this run starts, and return the mark."""
    os.environ[MARK] = run = secrets.token_hex(8)
    yield run
    os.environ.pop(MARK, None)
