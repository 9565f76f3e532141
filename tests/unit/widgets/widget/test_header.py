from __future__ import annotations

import msgspec

from himalia.messages.telemetry import StoreUse
from himalia_widgets.view.history import History
from himalia_widgets.widget.header import describe_header
from tests.unit.widgets.synthetic import made_up


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
