"""How processes begin and end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import himalia

PROGRAM = """
import asyncio, sys
from himalia.run import answer, read_config, run

async def main(stop):
    answer(ok=True, name=config["name"], loop=type(asyncio.get_running_loop()).__module__)
    await stop.wait()
    if config.get("stubborn"):
        await asyncio.sleep(60)  # a process that doesn't end when it shall
    return 7

config = read_config()
sys.exit(run(main, leash=config["leash"]))
"""


class Child:
    """The program above in a process."""

    def __init__(self) -> None:
        path = str(Path(himalia.__file__).parent.parent)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )

    def start(self, **config: object) -> dict[str, object]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"name": "x", "leash": False} | config).encode() + b"\n")
        self.process.stdin.flush()
        answer: dict[str, object] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    with child.process:
        yield child
        child.process.kill()


def test_the_configuration_comes_in_and_the_answer_goes_out(child: Child) -> None:
    answer = child.start(name="né" + "x" * 100_000)
    assert answer["ok"] is True
    assert answer["name"] == "né" + "x" * 100_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_for_the_end(child: Child, number: signal.Signals) -> None:
    child.start()
    child.process.send_signal(number)
    assert child.process.wait(10) == 7


def test_a_second_signal_is_the_end(child: Child) -> None:
    child.start(stubborn=True)
    child.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        child.process.wait(0.3)
    child.process.send_signal(signal.SIGTERM)
    assert child.process.wait(10) == 128 + signal.SIGTERM


def test_the_end_of_the_starting_process_is_the_end_if_there_is_a_leash(child: Child) -> None:
    child.start(leash=True)
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.process.wait(10) == 7


def test_without_a_leash_it_lives_on(child: Child) -> None:
    child.start()
    assert child.process.stdin is not None
    child.process.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        child.process.wait(0.3)


def test_a_configuration_that_is_none_is_said(child: Child) -> None:
    _, errors = child.process.communicate(b"[1]\n", 10)
    assert b"is not a JSON object" in errors
