from __future__ import annotations

from collections.abc import Callable
from typing import Any

from himalia.client.described import SchedulerInfo
from himalia.client.profile import Profile
from himalia.messages.answers import ProfileSamples, TelemetryReport
from himalia.messages.client import Telemetry
from himalia_widgets.cell.recorder import CellRecorder
from tests.unit.widgets.synthetic import MadeUpCluster


class FakeClient:
    """What a recorder asks of a client, of which others may follow the telemetry too."""

    def __init__(self) -> None:
        self.made = MadeUpCluster()
        self.followers: list[Callable[[Telemetry], object]] = []

    def scheduler_info(self) -> SchedulerInfo:
        return SchedulerInfo(self.made.info())

    def telemetry(self, since: float) -> TelemetryReport:
        return TelemetryReport([], [], 0)

    def profile(self, start: float) -> Profile:
        return Profile(ProfileSamples({}))

    def get_versions(self) -> dict[str, Any]:
        return {}

    def follow_telemetry(self, callback: Callable[[Telemetry], object]) -> Callable[[], None]:
        self.followers.append(callback)
        return lambda: self.followers.remove(callback)


def test_what_others_follow_is_left_as_it_came() -> None:
    client, seen = FakeClient(), []
    recorder = CellRecorder(client)
    recorder.begin()
    client.follow_telemetry(lambda telemetry: seen.append(len(telemetry.records)))
    push = client.made.step(5.0)
    told = len(push.records)
    for follower in client.followers:
        follower(push)
    recorder.end()
    assert seen == [told] != [0]
    assert len(recorder.history.calls) == 0  # single calls are asked for at the end
    assert recorder.history.hosts
