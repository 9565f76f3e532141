from __future__ import annotations

from typing import Any

import msgspec

from himalia.messages.answers import ClusterInfo
from himalia.messages.telemetry import ClusterEvent, StoreUse
from himalia_widgets.view.history import History
from himalia_widgets.widget.facts import WorkerTable, describe_header
from himalia_widgets.widget.questions import find_group, find_key
from himalia_widgets.widget.scaling import describe_scaling
from tests.unit.widgets import synthetic
from tests.unit.widgets.synthetic import MadeUpCluster


def made_up(**options: Any) -> tuple[MadeUpCluster, History]:
    cluster, history = MadeUpCluster(**options), History()
    history.take_info(cluster.info())
    history.take(cluster.step(5.0), now=cluster.now)
    return cluster, history


def without_worker(info: ClusterInfo, name: str) -> ClusterInfo:
    kept = {address: worker for address, worker in info.workers.items() if worker.name != name}
    return msgspec.structs.replace(info, workers=kept)


def test_the_header_counts_what_the_scheduler_counted() -> None:
    _, history = made_up(hosts=2, workers=3, threads=2)
    header = describe_header(history)
    groups = history.groups.values()
    assert (header["workers"], header["threads"]) == (6, 12)
    assert header["done"] == sum(group.finished for group in groups)
    assert header["failed"] == sum(group.erred for group in groups)
    assert header["running"] + header["waiting"] == sum(group.assigned + group.waiting for group in groups)
    assert header["running"] <= 12
    hosts = history.hosts.values()
    assert header["store"] == sum(host.store_bytes for host in hosts)
    assert header["store_limit"] == sum(host.memory_limit for host in history.info.hosts.values())
    assert header["spilled"] == sum(host.spilled_bytes for host in hosts)
    assert header["own_memory"] == sum(memory for host in hosts for _, memory, _ in host.workers.values())


def test_the_header_says_nothing_before_anything_is_known() -> None:
    assert describe_header(History()) == {}


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


def test_scaling_says_how_many_are_missing_and_why() -> None:
    cluster, history = made_up(hosts=1, workers=2)
    event = ClusterEvent(99, cluster.now, "worker-died", "lab-0-2", "signal SIGKILL")
    push = msgspec.structs.replace(cluster.step(0.5), events=[event])
    history.take(push, now=cluster.now)
    told = describe_scaling(history, expected=4, obstacle="")
    assert (told["can"], told["requested"], told["arrived"]) == (True, 4, 2)
    assert told["missing"][0] == "lab-0-2 died: signal SIGKILL"
    assert told["missing"][-1] == "1 is still starting."
    assert told["events"][0][1] == "lab-0-2 died: signal SIGKILL"


def test_scaling_is_refused_with_the_reason_that_the_source_gives() -> None:
    _, history = made_up(hosts=2, workers=2)
    told = describe_scaling(history, expected=None, obstacle="It is closed.")
    assert (told["can"], told["reason"]) == (False, "It is closed.")
    assert told["requested"] == told["arrived"] == 4


def test_what_a_plot_shows_leads_back_to_the_key_and_the_group() -> None:
    history = synthetic.history(5.0)
    key = history.calls["key"][3]
    assert find_key(key, history) == key
    assert find_key("412 calls", history) == ""
    assert find_group("merge", history) == "merge"
    assert find_group("nothing", history) == ""


def test_the_header_names_who_maps_results_so_that_they_can_not_move() -> None:
    _, history = made_up(hosts=2, workers=1)
    first, second = history.hosts
    uses = [StoreUse(clients={"client-1": 5, "client-2": 7}, workers={"w-0": 1}), StoreUse(clients={"client-1": 4})]
    for host, use in zip((first, second), uses, strict=True):
        history.hosts[host] = msgspec.structs.replace(history.hosts[host], use=use)
    header = describe_header(history)
    assert header["held"] == 17
    assert header["holders"] == [
        ["notebook or script client-1", 9],
        ["notebook or script client-2", 7],
        ["code of w-0", 1],
    ]
