from __future__ import annotations

import msgspec

from himalia.messages.answers import ClusterInfo
from himalia_widgets.widget.worker_table import WorkerTable
from tests.unit.widgets.synthetic import made_up


def without_worker(info: ClusterInfo, name: str) -> ClusterInfo:
    kept = {address: worker for address, worker in info.workers.items() if worker.name != name}
    return msgspec.structs.replace(info, workers=kept)


def test_a_page_is_told_of_each_worker_once_and_then_only_of_what_changed() -> None:
    cluster, history = made_up(hosts=2, workers=2)
    table = WorkerTable()
    rows, gone = table.membership(history)
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    assert gone == []
    assert len(table.changes(history, 0.0)["number"]) == 4
    assert table.membership(history) == ([], [])
    assert table.changes(history, 1.0) == {}
    history.take(cluster.step(5.0), now=cluster.now)
    assert set(table.changes(history, 2.0)) == {"number", "cpu", "memory", "running", "store", "spilled", "seen"}


def test_workers_that_leave_are_named_and_new_ones_get_numbers_of_their_own() -> None:
    cluster, history = made_up(hosts=1, workers=3)
    table = WorkerTable()
    rows, _ = table.membership(history)
    info = cluster.info()
    history.take_info(without_worker(info, rows[1]["name"]))
    assert table.membership(history) == ([], [1])
    history.take_info(info)
    again, gone = table.membership(history)
    assert [row["number"] for row in again] == [3]
    assert gone == []


def test_a_worker_that_is_another_process_now_is_told_again() -> None:
    cluster, history = made_up(hosts=1, workers=2)
    table = WorkerTable()
    table.membership(history)
    info = cluster.info()
    next(iter(info.workers.values())).pid = 4711
    history.take_info(info)
    rows, gone = table.membership(history)
    assert [row["pid"] for row in rows] == [4711]
    assert gone == []


def test_after_forgetting_everything_is_told_again() -> None:
    _, history = made_up(hosts=1, workers=2)
    table = WorkerTable()
    table.membership(history)
    table.changes(history, 0.0)
    table.forget()
    assert len(table.membership(history)[0]) == 2
    assert len(table.changes(history, 0.0)["number"]) == 2
