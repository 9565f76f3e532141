"""Who waits for room, and what keeps a store full, is said in one sentence."""

from __future__ import annotations

from himalia.messages.nanny import Heartbeat
from himalia.messages.telemetry import HostMetrics, StoreUse
from himalia.names import Key
from himalia.scheduler.explaining.task import explain
from himalia.scheduler.overview import describe_host
from himalia.testing.stages.scheduler import SchedulerStage, spec

MILLION = 1_000_000


def stage_with(use: StoreUse) -> SchedulerStage:
    """Return a scheduler with a call ``x`` at a host of whose store it was told."""
    stage = SchedulerStage("host-1")
    stage.submit("alice", spec("x"))
    seen = next(iter(stage.machine.state.hosts.values())).sent
    stage.message("host-1", Heartbeat(HostMetrics(use=use), (1, 0), (0, 0), seen))
    return stage


def test_a_call_that_waits_for_room_says_how_much_it_needs_and_who_has_it() -> None:
    use = StoreUse(
        free=50 * MILLION,
        calls=400 * MILLION,
        clients={"client-7": 200 * MILLION},
        workers={"host-1-0": 100 * MILLION},
        waiting={Key("x"): 300 * MILLION},
    )
    assert explain(stage_with(use).machine.state, Key("x")) == (
        "x waits for room in the store of host host-1.local: needs 300,000,000 bytes, free 50,000,000 of "
        "1,000,000,000, in use by notebook or script client-7 (200,000,000 mapped), code of host-1-0 that keeps inputs "
        "(100,000,000), inputs of calls under way (400,000,000), results and what is being written (250,000,000). It "
        "goes on when some of that has ended, was released or has moved to disk. If nothing of it does, it gets room "
        "over the limit."
    )


def test_a_full_disk_is_named() -> None:
    use = StoreUse(waiting={Key("x"): MILLION}, disk="No space left on device")
    assert "The disk there takes no more: No space left on device." in explain(stage_with(use).machine.state, Key("x"))


def test_a_call_that_has_room_says_nothing_of_it() -> None:
    use = StoreUse(waiting={Key("y"): MILLION})
    assert "runs there or is next in line" in explain(stage_with(use).machine.state, Key("x"))


def test_a_finished_call_names_who_maps_a_good_part_of_its_store() -> None:
    stage = stage_with(StoreUse(clients={"client-7": 200 * MILLION}))
    stage.finish("x", nbytes=8)
    assert explain(stage.machine.state, Key("x")) == (
        "x is finished: 8 bytes at host-1.local. Of the store of host-1.local (1,000,000,000 bytes) much can't move to "
        "disk, held by notebook or script client-7 (200,000,000 mapped); who reads more there gets copies."
    )
    assert describe_host(stage.machine.state, *stage.machine.state.hosts.values()).store_clients == {
        "client-7": 200 * MILLION
    }


def test_a_finished_call_says_nothing_of_little_that_is_mapped() -> None:
    stage = stage_with(StoreUse(clients={"client-7": 100 * MILLION}))
    stage.finish("x", nbytes=8)
    assert explain(stage.machine.state, Key("x")) == "x is finished: 8 bytes at host-1.local."
