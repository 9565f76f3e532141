"""What a person reads of a failure: how many calls it stands for, and only lines that are his."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import himalia
from himalia import Client, wait
from himalia.client.engine.awaiting import awaiting
from himalia.client.engine.errors_view import folded, note_on_others
from himalia.client.engine.state import CANCELLED, ERROR, FINISHED, Record
from himalia.client.recreate import find_root
from himalia.errors import TimeoutError, UsageError
from himalia.messages.parts import Frame, TaskError
from himalia.names import Key
from himalia.testing.stages.fake_cluster import FakeCluster, snooze


def failed(key: str, *, line: int = 7, kind: str = "exception", text: str = "ValueError: no", root: str = "") -> Record:
    frames = (Frame("/nb/cell.py", line, "f"),) if kind == "exception" else ()
    return Record(Key(key), ERROR, error=TaskError(kind, Key(root or key), text, b"", frames, "w-1"))


def test_calls_that_failed_in_the_same_way_are_counted() -> None:
    records = [failed(f"f-{i}", text=f"ValueError: {i}") for i in range(412)]
    records += [Record(Key(f"f-{i}"), FINISHED) for i in range(412, 500)]
    assert note_on_others(records[0], records) == "And 411 more of 500 calls failed in the same way."


def test_other_failures_and_calls_that_go_on_are_counted_apart() -> None:
    records = [failed("a"), failed("b"), failed("c", line=8), failed("d", text="KeyError: 1"), Record(Key("e"))]
    note = note_on_others(records[0], records)
    assert note == "And 1 more of 5 calls failed in the same way, 2 in other ways; 1 have not ended yet."
    assert note_on_others(records[2], records[1:3]) == "And 1 more of 2 calls failed in other ways."


def test_a_failure_alone_has_no_count() -> None:
    record = failed("a")
    assert note_on_others(record, [record, record, Record(Key("b"))]) == ""
    assert note_on_others(Record(Key("a"), CANCELLED), [record]) == ""


def frames_of(error: BaseException) -> list[str]:
    return [entry.filename for entry in traceback.extract_tb(error.__traceback__)]


def boom(x: int) -> None:
    raise ValueError(f"no {x}")


def test_a_traceback_goes_from_the_users_line_to_the_line_of_the_call(client: Client) -> None:
    futures = client.map(boom, range(3))
    wait(futures)
    asks: list[Callable[[], object]] = [
        futures[0].result,
        lambda: client.gather(futures),
        lambda: client.gather({"a": futures}),
    ]
    for ask in asks:
        with pytest.raises(ValueError, match="no 0") as caught:
            ask()
        assert [name for name in frames_of(caught.value) if name != __file__] == ["/somewhere/user.py"] * 2


def test_an_asynchronous_client_folds_too(cluster: FakeCluster) -> None:
    async def main() -> Any:
        async with Client(cluster, asynchronous=True) as client:
            future = client.submit(boom, 1)
            asked: list[Any] = [future, future.result(), client.gather([future])]
            for awaitable in asked:
                with pytest.raises(ValueError, match="no") as caught:
                    await awaitable
                assert not [name for name in frames_of(caught.value) if name.startswith(himalia.__path__[0])]

    asyncio.run(main())


def test_himalias_own_refusals_show_the_users_line_only(client: Client) -> None:
    future = client.submit(snooze, 5)
    with pytest.raises(TimeoutError) as caught:
        future.result(timeout=0.01)
    assert frames_of(caught.value) == [__file__]


def test_an_error_that_nobody_foresaw_keeps_all_frames() -> None:
    def inner() -> None:
        with folded():
            raise RuntimeError("a fault of himalia")

    with pytest.raises(RuntimeError) as caught:
        inner()
    assert len(frames_of(caught.value)) == 2


# Repeating a call here


def add_or_raise(x: int, y: int) -> int:
    if y > 1:
        raise ZeroDivisionError(f"{x}/{y}")
    return x + y


def test_a_failed_call_is_repeated_here_with_its_inputs_and_all_its_locals(client: Client) -> None:
    one = client.submit(add_or_raise, 1, 0)
    future = client.submit(add_or_raise, one, 2)
    with pytest.raises(ZeroDivisionError, match="1/2") as caught:
        client.recreate_error_locally(future)
    last = caught.traceback[-1]
    assert last.locals == {"x": 1, "y": 2}
    assert frames_of(caught.value) == [__file__, __file__]


def test_the_root_of_a_failure_is_what_is_repeated(client: Client) -> None:
    root = client.submit(add_or_raise, 1, 2)
    last = client.submit(add_or_raise, client.submit(add_or_raise, root, 0), 0)
    with pytest.raises(ZeroDivisionError, match="1/2"):
        client.recreate_error_locally([last])


def test_an_asynchronous_client_repeats_in_its_loop(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with Client(cluster, asynchronous=True) as client:
            future = client.submit(add_or_raise, client.submit(add_or_raise, 1, 0), 2)
            with pytest.raises(ZeroDivisionError, match="1/2"):
                await awaiting(client.recreate_error_locally(future))

    asyncio.run(main())


def test_what_did_not_fail_is_not_repeated(client: Client) -> None:
    future = client.submit(add_or_raise, 1, 0)
    wait(future)
    with pytest.raises(UsageError, match="has not failed, it is finished") as caught:
        client.recreate_error_locally([future])
    assert frames_of(caught.value) == [__file__]
    with pytest.raises(UsageError, match="no futures"):
        client.recreate_error_locally(3)


def test_what_killed_its_workers_is_not_repeated_in_this_process() -> None:
    with pytest.raises(UsageError, match="took down every worker"):
        find_root([failed("x", kind="killed", text="x was running")])
    with pytest.raises(UsageError, match="nothing that could be repeated here: its data are gone"):
        find_root([failed("x", kind="lost", text="its data are gone")])
