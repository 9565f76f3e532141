from __future__ import annotations

from himalia.messages.answers import ClusterInfo
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import ClusterEvent, HostMetrics
from himalia.telemetry.snapshot import Snapshot


def push(time: float, *numbers: int, **hosts: HostMetrics) -> Telemetry:
    return Telemetry(
        time, [], [], 0, hosts, events=[ClusterEvent(number, time, "host-joined", "h", "") for number in numbers]
    )


def test_an_event_that_is_told_again_is_no_other_one() -> None:
    known = Snapshot()
    known.take(push(1.0, 0, 1))
    known.take(push(2.0, 0, 1, 2))  # as a recording does that begins anew
    assert [event.number for event in known.telemetry().events] == [0, 1, 2]


def test_its_tables_stay_the_same_objects() -> None:
    known = Snapshot()
    hosts = known.hosts
    known.take(push(1.0, host=HostMetrics()))
    assert list(hosts) == ["host"]
    assert known.take_info(ClusterInfo()) == ["host"]
    assert hosts == {}
