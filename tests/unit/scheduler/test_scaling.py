from __future__ import annotations

from himalia.messages.answers import Reply
from himalia.messages.client import Scale
from himalia.testing.stages.scheduler import SchedulerStage


def test_a_nanny_that_comes_back_is_told_how_many_workers_were_wished_for() -> None:
    stage = SchedulerStage()
    stage.add_host("a", called="laptop")
    stage.message("alice", Scale(7, 3))
    stage.leave("a")
    stage.take()
    stage.add_host("b", called="laptop")
    assert [(peer, message.workers) for peer, message in stage.taken(Scale)] == [("b", 3)]
    stage.add_host("c", called="elsewhere")
    assert stage.taken(Scale) == []


def test_a_wish_for_workers_outlives_the_nanny_that_is_being_replaced() -> None:
    stage = SchedulerStage()
    stage.add_host("a", called="laptop")
    stage.leave("a")
    stage.take()
    stage.message("alice", Scale(7, 5))
    ((_, reply),) = stage.taken(Reply)
    assert not reply.error
    stage.add_host("b", called="laptop")
    assert [(peer, message.workers) for peer, message in stage.taken(Scale)] == [("b", 5)]
