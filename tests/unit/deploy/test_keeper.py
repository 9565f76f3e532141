"""Keeping a process alive: when the next one is started, and when that is given up."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import himalia
from himalia.child import Child, stop
from himalia.deploy.keeper import Keeper
from himalia.deploy.patience import BACK_OFF_LIMIT, CALM, FAILURES, KILLS, Patience
from himalia.errors import StartError
from tests.waiting import wait_until


def test_the_first_end_is_answered_at_once_and_the_next_ones_ever_later() -> None:
    patience = Patience()
    delays = [patience.judge(lived=1.0, was_ready=True, was_killed=True) for _ in range(10)]
    assert delays[:4] == [0.0, 0.1, 0.2, 0.4]
    assert delays[-1] == BACK_OFF_LIMIT


def test_what_lived_for_long_is_answered_at_once_again() -> None:
    patience = Patience()
    for _ in range(FAILURES - 1):
        patience.judge(lived=1.0, was_ready=True, was_killed=False)
    assert patience.judge(lived=CALM + 1, was_ready=True, was_killed=False) == 0.0


def test_a_process_that_ends_by_itself_again_and_again_is_given_up() -> None:
    patience = Patience()
    delays = [patience.judge(lived=0.1, was_ready=False, was_killed=False) for _ in range(FAILURES)]
    assert None not in delays[:-1]
    assert delays[-1] is None


def test_kills_of_a_process_that_comes_up_each_time_never_end_it() -> None:
    patience = Patience()
    assert None not in [patience.judge(lived=0.5, was_ready=True, was_killed=True) for _ in range(1000)]
    delays = [patience.judge(lived=0.1, was_ready=False, was_killed=True) for _ in range(KILLS)]
    assert delays[-1] is None


class Shop:
    """Starts children of one module."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.children: list[Child] = []
        self.reason = ""
        self.given_up = threading.Event()

    def start_again(self) -> Child:
        self.children.append(Child(self.module, {}, title="tester"))
        return self.children[-1]

    def is_over(self, child: Child) -> bool:
        return False

    def give_up(self, reason: str) -> None:
        self.reason = reason
        self.given_up.set()


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = Path(himalia.__file__).parent.parent
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{root}")
    (tmp_path / "lives.py").write_text("import sys\nsys.stdin.readline(); print('{}', flush=True); sys.stdin.read()\n")
    (tmp_path / "fails.py").write_text("import sys\nprint('no luck', file=sys.stderr); sys.exit(3)\n")
    return tmp_path


def test_a_killed_process_is_followed_by_another_until_its_keeper_is_closed(modules: Path) -> None:
    shop = Shop("lives")
    first = shop.start_again()
    first.wait_ready(time.monotonic() + 10)
    keeper = Keeper(first, shop)
    try:
        for number in (1, 2):
            shop.children[-1].signal(signal.SIGKILL)
            wait_until(lambda number=number: keeper.restarts == number)  # type: ignore[misc]
            assert shop.children[-1].is_running()
    finally:
        keeper.close()
        stop(shop.children, patience=1.0)
        keeper.join(5.0)
    assert len(shop.children) == 3


def test_a_process_that_can_not_be_started_is_given_up_with_its_last_words(modules: Path) -> None:
    shop = Shop("fails")
    first = shop.start_again()
    with pytest.raises(StartError):
        first.wait_ready(time.monotonic() + 10)
    Keeper(first, shop)
    assert shop.given_up.wait(20)
    assert "exit code 3" in shop.reason
    assert "no luck" in shop.reason
    stop(shop.children, patience=0.0)
