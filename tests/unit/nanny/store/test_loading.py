"""Inputs are read back one after the other, in steps, and stay until their call is dispatched."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from himalia.comm.data.layout import range_length
from himalia.comm.data.mapping import ArenaWriter
from himalia.names import Key
from himalia.nanny.events import InputsLoaded, LoadInputs, Unload
from himalia.nanny.store.loading import Loader
from himalia.nanny.store.room import Room
from himalia.nanny.store.store import Store
from himalia.settings import MIB, Settings


class LoadingStage:
    """A store of 64 MiB with results on disk; a test takes the turns of the loop."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory=str(directory), limit=64 * MIB, settings=Settings())
        self.turns: deque[Callable[[], None]] = deque()
        self.room = Room(self.store, lambda: 0.0, lambda waiting: False, lambda: self.turns.append(self.room.look))
        self.store.freed = self.room.look
        self.said: list[InputsLoaded] = []
        self.loader = Loader(self.store, self.room, self.turns.append, self.said.append)

    def put(self, key: str, nbytes: int = 20 * MIB) -> None:
        writer = ArenaWriter(self.store.path)
        offset, _ = self.store.grant("writer", range_length([nbytes]))
        writer.write(offset, [key.encode() * (nbytes // len(key))])
        writer.close()
        self.store.adopt(Key(key), 1, "writer", offset, [nbytes])
        self.store._overflow.spill(64 * MIB, 64 * MIB)

    def load(self, call: str, *keys: str) -> None:
        self.loader.load(LoadInputs(Key(call), 1, [(Key(key), 1) for key in keys]))

    def unload(self, call: str) -> None:
        self.loader.unload(Unload(Key(call), 1))

    def turn(self, count: int = 100) -> int:
        """Take some turns; return how many there were."""
        taken = 0
        while self.turns and taken < count:
            self.turns.popleft()()
            taken += 1
        return taken


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[LoadingStage]:
    stage = LoadingStage(tmp_path)
    for name in "abc":
        stage.put(name)
    yield stage
    stage.store.validate()
    assert stage.store.granted == 0
    stage.store.close()


def test_inputs_come_back_in_steps_and_stay_until_they_are_unloaded(stage: LoadingStage) -> None:
    stage.load("call", "a", "b")
    assert stage.turn() >= 10  # 40 MiB at 4 MiB a step
    assert stage.said == [InputsLoaded(Key("call"), 1, [])]
    assert bytes(stage.store.views(Key("a"))[0][:3]) == b"aaa"
    stage.store._overflow.spill(64 * MIB, 64 * MIB)
    assert stage.store.nbytes == 40 * MIB

    stage.unload("call")
    stage.store._overflow.spill(64 * MIB, 64 * MIB)
    assert stage.store.nbytes == 0


def test_who_asks_later_waits_for_room_and_for_his_turn(stage: LoadingStage) -> None:
    stage.store.grant("worker", 10 * MIB)
    stage.load("first", "a", "b")
    stage.load("second", "c", "a")
    stage.turn()
    assert [loaded.key for loaded in stage.said] == ["first"]
    assert [request.what for request in stage.room.others] == ["second"]

    stage.unload("first")
    stage.turn()
    assert [loaded.key for loaded in stage.said] == ["first", "second"]
    stage.unload("second")
    stage.store.release_owner("worker")


@pytest.mark.parametrize("turns", [0, 1, 3, 30])
def test_what_nobody_wants_any_more_is_given_up_wherever_it_is(stage: LoadingStage, turns: int) -> None:
    stage.load("first", "a", "b")
    stage.load("second", "c")
    stage.turn(turns)

    stage.unload("first")
    stage.turn()

    assert stage.said[-1].key == "second"
    stage.unload("second")
    stage.unload("second")


def test_who_waits_for_room_and_gives_up_lets_the_next_one_go_on(stage: LoadingStage) -> None:
    stage.store.grant("worker", 50 * MIB)
    stage.load("first", "a")
    stage.load("second", "c")
    stage.turn()
    stage.unload("first")
    stage.turn()
    assert len(stage.room) == 1
    stage.store.release_owner("worker")
    stage.turn()
    assert [loaded.key for loaded in stage.said] == ["second"]
    stage.unload("second")


@pytest.mark.parametrize("turns", [1, 3])
def test_a_result_that_is_freed_while_it_is_read_back_is_unreadable(stage: LoadingStage, turns: int) -> None:
    stage.load("call", "a", "b")
    stage.turn(turns)
    stage.store.free(Key("a"), 1)
    stage.turn()
    assert stage.said == [InputsLoaded(Key("call"), 1, [Key("a")])]
    stage.unload("call")


def test_a_result_that_is_freed_while_it_waits_for_room_is_unreadable(stage: LoadingStage) -> None:
    stage.store.grant("worker", 50 * MIB)
    stage.load("call", "a")
    stage.turn()
    stage.store.free(Key("a"), 1)
    stage.store.release_owner("worker")
    stage.turn()
    assert stage.said == [InputsLoaded(Key("call"), 1, [Key("a")])]
    stage.unload("call")


def test_a_damaged_result_is_unreadable_and_the_others_come(stage: LoadingStage) -> None:
    extent = stage.store._held[Key("a")].disk
    assert extent is not None
    os.pwrite(stage.store._overflow._disk._file, b"?", extent.offset + 19 * MIB)
    stage.load("call", "a", "b")
    stage.turn()
    assert stage.said == [InputsLoaded(Key("call"), 1, [Key("a")])]
    assert Key("a") not in stage.store
    stage.unload("call")


def test_a_reader_that_brings_a_result_back_at_once_ends_the_steps(stage: LoadingStage) -> None:
    stage.load("call", "a")
    stage.turn(3)
    assert bytes(stage.store.views(Key("a"))[0][-3:]) == b"aaa"
    stage.turn()
    assert stage.said == [InputsLoaded(Key("call"), 1, [])]
    stage.unload("call")
