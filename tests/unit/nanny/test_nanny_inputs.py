from __future__ import annotations

import pytest

from himalia.machine import Send
from himalia.messages.nanny import DataAdded, DataLost, FreeData, InputMissing, Withdraw, Withdrawn
from himalia.messages.parts import HeldData, HostInfo, HostsChanged
from himalia.names import HostId, Key, PeerId
from himalia.nanny import events as e
from himalia.nanny.holding import PLACED_LIMIT
from himalia.testing.builders import make_compute, make_dependency, make_host_info
from himalia.testing.stages.nanny import NannyStage, finished, sent

TWO, THREE = make_host_info("nanny-2"), make_host_info("nanny-3")
X, Y = Key("x"), Key("y")
ME = HostId(PeerId("nanny-1"))


def stage_with_hosts() -> NannyStage:
    stage = NannyStage()
    stage.scheduler(HostsChanged([TWO, THREE], []))
    return stage


def fetched(key: Key, host: HostInfo = TWO, attempt: int = 1) -> e.DataFetched:
    return e.DataFetched(key, host.host, HeldData(key, attempt, 8))


def missing(key: Key, host: HostInfo = TWO) -> e.DataFetched:
    return e.DataFetched(key, host.host, None, "it isn't there")


NEEDS_X = make_compute("a", 5, make_dependency("x", 1, "nanny-2", "nanny-3"))


def test_an_input_that_is_here_is_used() -> None:
    stage = stage_with_hosts()
    stage.scheduler(make_compute("x", 1))
    stage.returns(1)
    call = make_compute("a", 2, make_dependency("x", 1, "nanny-1"))
    assert stage.scheduler(call) == [e.Dispatch(2, call, None)]


def test_a_missing_input_is_fetched_announced_and_used() -> None:
    stage = stage_with_hosts()
    assert stage.scheduler(NEEDS_X) == [e.Fetch(TWO, [(X, 1)])]
    stage.now += 2.0
    assert stage.event(fetched(X)) == [sent(DataAdded(X, 1, 8)), e.Dispatch(1, NEEDS_X, None)]
    assert stage.returns(1)[-1] == finished(NEEDS_X, transfer=2.0, moved=8)


def test_inputs_of_one_host_are_fetched_together() -> None:
    call = make_compute("a", 5, make_dependency("x", 1, "nanny-2"), make_dependency("y", 2, "nanny-2"))
    assert stage_with_hosts().scheduler(call) == [e.Fetch(TWO, [(X, 1), (Y, 2)])]


def test_an_input_is_fetched_once_for_all_who_wait() -> None:
    stage = stage_with_hosts()
    other = make_compute("b", 6, make_dependency("x", 1, "nanny-2"))
    stage.scheduler(NEEDS_X)
    assert stage.scheduler(other) == []
    assert stage.event(fetched(X)) == [sent(DataAdded(X, 1, 8)), e.Dispatch(1, NEEDS_X, None)]
    assert stage.returns(1)[-1] == e.Dispatch(2, other, None)


def test_the_next_holder_is_asked_when_one_fails() -> None:
    stage = stage_with_hosts()
    stage.scheduler(NEEDS_X)
    assert stage.event(missing(X)) == [e.Fetch(THREE, [(X, 1)])]


def test_a_task_is_given_back_with_all_who_failed() -> None:
    stage = stage_with_hosts()
    stage.scheduler(NEEDS_X)
    stage.event(missing(X))
    tried = [(X, 1, TWO.host), (X, 1, THREE.host)]
    assert stage.event(missing(X, THREE)) == [sent(InputMissing(NEEDS_X.key, 5, tried))]
    assert not stage.state.tasks
    assert not stage.state.fetches


def test_an_input_believed_to_be_here_is_reported_as_missing_here() -> None:
    call = make_compute("a", 5, make_dependency("x", 1, "nanny-1"))
    assert stage_with_hosts().scheduler(call) == [sent(InputMissing(call.key, 5, [(X, 1, ME)]))]


def test_a_holder_that_nobody_introduced_counts_as_failed() -> None:
    call = make_compute("a", 5, make_dependency("x", 1, "nanny-9", "nanny-2"))
    assert stage_with_hosts().scheduler(call) == [e.Fetch(TWO, [(X, 1)])]


@pytest.mark.parametrize(("here", "needed"), [(-7, 4), (-7, -8), (4, -8)])
def test_a_value_of_another_use_of_the_key_is_not_read_in_its_place(here: int, needed: int) -> None:
    stage = stage_with_hosts()
    stage.event(e.DataStored(HeldData(X, here, 8)))
    call = make_compute("a", 5, make_dependency("x", needed, "nanny-2"))
    assert stage.scheduler(call) == [e.Fetch(TWO, [(X, needed)])]
    dispatched = stage.event(fetched(X, attempt=needed))
    assert [type(instruction) for instruction in dispatched] == [Send, e.Dispatch]


def test_a_value_behind_another_one_of_its_key_is_here_too() -> None:
    stage = stage_with_hosts()
    stage.event(e.DataStored(HeldData(X, -7, 8)))
    stage.event(e.DataStored(HeldData(X, -9, 8)))
    call = make_compute("a", 5, make_dependency("x", -7))
    assert [type(instruction) for instruction in stage.scheduler(call)] == [e.Dispatch]


def test_a_host_that_leaves_is_not_waited_for() -> None:
    stage = stage_with_hosts()
    stage.scheduler(NEEDS_X)
    assert stage.scheduler(HostsChanged([], [TWO.host])) == [e.Fetch(THREE, [(X, 1)])]
    assert stage.event(missing(X, TWO)) == []


def test_an_old_copy_is_not_good_enough() -> None:
    stage = stage_with_hosts()
    needs = make_compute("a", 5, make_dependency("x", 4, "nanny-2", "nanny-3"))
    stage.scheduler(needs)
    assert stage.event(fetched(X, attempt=3)) == [sent(DataAdded(X, 3, 8)), e.Fetch(THREE, [(X, 4)])]


def test_what_arrives_for_a_withdrawn_task_is_kept_and_announced() -> None:
    stage = stage_with_hosts()
    stage.scheduler(NEEDS_X)
    assert stage.scheduler(Withdraw(NEEDS_X.key, 5, interrupt=False)) == [
        sent(Withdrawn(NEEDS_X.key, 5, started=False))
    ]
    assert stage.event(fetched(X)) == [sent(DataAdded(X, 1, 8))]


def test_what_cannot_be_had_for_a_withdrawn_task_is_nobody_s_news() -> None:
    stage = stage_with_hosts()
    stage.scheduler(NEEDS_X)
    stage.scheduler(Withdraw(NEEDS_X.key, 5, interrupt=False))
    assert stage.event(missing(X)) == [e.Fetch(THREE, [(X, 1)])]
    assert stage.event(missing(X, THREE)) == []
    assert not stage.state.fetches


def test_only_the_named_attempt_is_freed() -> None:
    stage = stage_with_hosts()
    stage.scheduler(make_compute("x", 3))
    stage.returns(1)
    assert stage.scheduler(FreeData([(X, 2)])) == []
    assert stage.scheduler(FreeData([(X, 3)])) == [e.FreeFromStore(X, 3)]


def test_an_unreadable_result_is_reported_once() -> None:
    stage = stage_with_hosts()
    stage.scheduler(make_compute("x", 3))
    stage.returns(1)
    unreadable = e.DataUnreadable(X, 3, "checksum")
    assert stage.event(unreadable) == [e.FreeFromStore(X, 3), sent(DataLost(X, 3))]
    assert stage.event(unreadable) == []


def test_a_task_whose_input_turns_out_to_be_unreadable_is_given_back() -> None:
    stage = stage_with_hosts()
    stage.scheduler(NEEDS_X)
    stage.event(fetched(X))
    assert stage.event(e.DispatchFailed(1, [X], "checksum")) == [
        e.FreeFromStore(X, 1),
        sent(DataLost(X, 1)),
        sent(InputMissing(NEEDS_X.key, 5, [(X, 1, ME)])),
    ]


def test_placed_data_whose_client_went_without_announcing_them_are_announced_so_that_they_are_freed() -> None:
    stage = stage_with_hosts()
    lease = stage.state.settings.client_lease
    client = PeerId("client-1")
    stage.event(e.DataStored(HeldData(X, -1, 8), client))
    assert stage.tick(5 * lease) == []  # it is here, and has more to place
    stage.event(e.WriterGone(client))
    assert stage.tick(1.9 * lease) == []
    assert stage.tick(0.2 * lease) == [sent(DataAdded(X, -1, 8))]
    stage.event(e.DataStored(HeldData(X, -2, 8), client))
    assert stage.tick(PLACED_LIMIT) == [sent(DataAdded(X, -2, 8))]  # it forgot, or was interrupted


def test_what_a_client_places_is_usable_without_announcement() -> None:
    stage = stage_with_hosts()
    assert stage.event(e.DataStored(HeldData(X, -1, 8))) == []
    call = make_compute("a", 2, make_dependency("x", -1, "nanny-1"))
    assert stage.scheduler(call) == [e.Dispatch(1, call, None)]
