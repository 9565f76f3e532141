"""Who waits for room gets it in his order; who can't go on waiting gets it all the same; what never fits is refused."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from himalia.comm.data.layout import range_length
from himalia.comm.data.mapping import ArenaWriter
from himalia.names import Key
from himalia.nanny.store.room import BUSY_DISK_PATIENCE, DISK_PATIENCE, PATIENCE, STUCK_LOOKS, Request, Room
from himalia.nanny.store.store import Store
from himalia.settings import MIB, Settings

LIMIT = 16 * MIB


class RoomStage:
    """A store with those who wait for room in it; ``said`` is what they were told, in order."""

    def __init__(self, directory: Path, limit: int = LIMIT) -> None:
        self.store = Store(directory=str(directory), limit=limit, settings=Settings())
        self.now = 1.0
        self.stuck = False
        self.turns = 0
        self.room = Room(self.store, lambda: self.now, lambda waiting: self.stuck, self.later)
        self.store.freed = self.room.look
        self.said: list[Any] = []

    def ask(self, name: str, nbytes: int, **options: Any) -> Request | None:
        return self.room.ask(
            name,
            nbytes,
            lambda offset, length: self.said.append((name, length)),
            lambda error: self.said.append((name, str(error))),
            **options,
        )

    def later(self) -> None:
        self.turns += 1

    def take_turns(self) -> int:
        """Take the turns of the loop that were asked for; return how many there were."""
        taken = 0
        while self.turns:
            self.turns -= 1
            taken += 1
            self.room.look()
        return taken

    def put(self, key: str, nbytes: int) -> None:
        offset, _ = self.store.grant("writer", range_length([nbytes]))
        writer = ArenaWriter(self.store.path)
        writer.write(offset, [b"x" * nbytes])
        writer.close()
        self.store.adopt(Key(key), 1, "writer", offset, [nbytes])

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.now += 0.1
            self.room.tick()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[RoomStage]:
    stage = RoomStage(tmp_path)
    yield stage
    stage.store.validate()
    stage.store.close()


def test_whom_there_is_room_for_does_not_wait(stage: RoomStage) -> None:
    assert stage.ask("a", 15 * MIB) is None
    assert stage.said == [("a", 15 * MIB)]


def test_what_never_fits_is_refused_at_once_and_says_by_how_much(stage: RoomStage) -> None:
    stage.ask("a", 12 * MIB)
    stage.ask("b", 8 * MIB)
    assert stage.ask("c", 20 * MIB) is not None  # its turn comes first

    stage.store.release_owner("a")
    stage.store.release_owner("b")

    assert [name for name, _ in stage.said] == ["a", "b", "c"]
    assert f"its limit is {LIMIT:,}, {4 * MIB:,} less" in stage.said[-1][1]
    assert stage.ask("d", 17 * MIB) is None
    assert f"{MIB:,} less" in stage.said[-1][1]


def test_a_small_request_does_not_pass_a_large_one_for_ever(stage: RoomStage) -> None:
    stage.ask("first", 8 * MIB)
    stage.ask("large", 14 * MIB)
    for index in range(20):
        stage.ask(f"small-{index}", MIB)
    assert stage.said == [("first", 8 * MIB)]

    stage.store.release_owner("first")
    assert [name for name, _ in stage.said] == ["first", "large", "small-0", "small-1"]

    stage.store.release_owner("large")
    assert len(stage.said) == 2 + 16


def test_results_of_running_calls_go_before_everything_else(stage: RoomStage) -> None:
    stage.ask("first", 14 * MIB)
    stage.ask("scattered", 4 * MIB)
    stage.ask("fetched", 4 * MIB)
    stage.ask("result", 8 * MIB, who="worker-0")

    stage.store.release_owner("first")

    assert [name for name, _ in stage.said] == ["first", "result", "scattered", "fetched"]


def test_what_can_move_to_disk_does_and_nobody_waits(stage: RoomStage) -> None:
    for index in range(4):
        stage.put(f"k{index}", 4 * MIB)
    stage.ask("a", 15 * MIB)
    stage.take_turns()
    assert stage.said == [("a", 15 * MIB)]
    assert stage.store.spilled >= 15 * MIB


def test_for_a_large_request_results_move_in_steps_and_nobody_passes_it(tmp_path: Path) -> None:
    stage = RoomStage(tmp_path, 128 * MIB)
    for index in range(6):
        stage.put(f"k{index}", 16 * MIB)
    before = stage.store.spilled
    stage.ask("large", 120 * MIB)
    stage.ask("small", MIB)
    stage.stuck = True
    stage.ticks(1)
    assert stage.said == []
    assert stage.take_turns() >= 3  # 16 MiB each
    assert stage.said == [("large", 120 * MIB), ("small", MIB)]
    assert stage.store.spilled - before >= 48 * MIB
    assert stage.room.forced == 0
    stage.store.close()


def test_who_waits_while_others_go_on_gets_room_in_the_end(stage: RoomStage) -> None:
    stage.ask("first", 14 * MIB)
    stage.ask("a", 4 * MIB)
    stage.ask("b", 4 * MIB)

    stage.ticks(int(PATIENCE * 10) - 1)
    assert len(stage.said) == 1
    stage.ticks(2)
    assert len(stage.said) == 2  # one at a time
    stage.ticks(int(PATIENCE * 10) + 1)

    assert stage.said == [("first", 14 * MIB), ("a", 4 * MIB), ("b", 4 * MIB)]
    assert stage.room.forced == 2


def test_who_waits_while_nothing_can_end_gets_room_soon(stage: RoomStage) -> None:
    stage.ask("first", 14 * MIB)
    stage.ask("a", 4 * MIB, who="worker-0")
    stage.ask("b", 4 * MIB, who="worker-1")
    stage.stuck = True

    stage.ticks(STUCK_LOOKS - 1)
    assert len(stage.said) == 1
    stage.ticks(1)
    assert stage.said == [("first", 14 * MIB), ("a", 4 * MIB)]  # one at a time: its call may free what the other needs
    stage.store.release_owner("first")
    assert stage.said[-1] == ("b", 4 * MIB)
    assert stage.room.forced == 1


def test_a_full_disk_is_an_error_for_who_has_waited_and_room_helps_before(
    stage: RoomStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(nbytes: int) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage.store._overflow._disk, "reserve", full)
    for index in range(3):
        stage.put(f"k{index}", 5 * MIB)
    stage.ask("a", 4 * MIB)
    stage.ask("b", 4 * MIB)
    stage.ticks(20)
    assert stage.said == []

    stage.store.free(Key("k0"), 1)
    assert stage.said == [("a", 4 * MIB)]

    stage.ticks(int(DISK_PATIENCE * 10) + 5)
    assert len(stage.room) == 1  # calls go on: what they read may be freed
    stage.stuck = True
    stage.ticks(STUCK_LOOKS)

    assert stage.said[-1][0] == "b"
    assert "The disk failed: No space left on device" in stage.said[-1][1]
    stage.ask("c", 6 * MIB)
    stage.ticks(STUCK_LOOKS)
    assert stage.said[-1][0] == "c"  # nothing was released since
    assert stage.room.forced == 0


def test_a_full_disk_does_not_let_anybody_wait_for_ever(stage: RoomStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        stage.store._overflow._disk, "reserve", lambda nbytes: (_ for _ in ()).throw(OSError(28, "full"))
    )
    stage.put("k", 14 * MIB)
    stage.ask("a", 4 * MIB)
    stage.ticks(int(BUSY_DISK_PATIENCE * 10) + 1)
    assert isinstance(stage.said[0][1], str)


def test_who_is_gone_waits_no_more(stage: RoomStage) -> None:
    stage.ask("first", 14 * MIB)
    request = stage.ask("a", 4 * MIB)
    stage.ask("dead", 4 * MIB)
    stage.ask("b", 4 * MIB)
    assert request is not None
    stage.room.forget(request)
    stage.room.forget_owner("dead")

    stage.store.release_owner("first")

    assert [name for name, _ in stage.said] == ["first", "b"]


def test_more_can_be_asked_for_while_somebody_is_served(stage: RoomStage) -> None:
    stage.ask("first", 14 * MIB)
    again: list[Any] = []

    def granted(offset: int, length: int) -> None:
        again.append(stage.ask("again", 2 * MIB))
        stage.store.hand_back("a", [(offset, length)])

    stage.room.ask("a", 4 * MIB, granted, stage.said.append)
    stage.store.release_owner("first")
    stage.room.look()

    assert stage.said[-1] == ("again", 2 * MIB)
    assert not len(stage.room)


def test_what_was_forced_moves_to_disk_as_soon_as_it_is_a_result(stage: RoomStage) -> None:
    def adopt(key: Key, offset: int, length: int) -> None:
        stage.store.adopt(key, 1, "writer", offset, [length])

    stage.stuck = True
    stage.ask("first", 16 * MIB)
    for index in range(10):
        key = Key(f"k{index}")
        stage.room.ask("writer", 8 * MIB, partial(adopt, key), stage.said.append, who="worker-0")
        stage.ticks(STUCK_LOOKS)
        stage.store.relieve(64 * MIB)
        assert stage.store.nbytes + stage.store.granted <= LIMIT + 2 * 8 * MIB
    assert len(stage.store) == 10
