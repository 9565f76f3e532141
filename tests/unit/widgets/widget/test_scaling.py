from __future__ import annotations

import msgspec

from himalia.messages.telemetry import ClusterEvent
from himalia_widgets.widget.scaling import describe_scaling
from tests.unit.widgets.synthetic import made_up


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
