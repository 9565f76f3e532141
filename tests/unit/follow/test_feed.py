from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from himalia.comm.security import Credentials, new_credentials
from himalia.follow.feed import Feed, cannot_scale
from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ClusterInfo, HostView
from himalia.names import HostId, PeerId


class Target(NamedTuple):
    credentials: Credentials
    addresses: list[str]
    cluster_name: str = "moons"

    def source_factory(self, *, full: bool = False) -> Callable[[], Feed]:
        return partial(Feed, self.credentials, self.addresses, title=self.cluster_name, full=full)


def test_who_follows_a_cluster_that_isn_t_there_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Feed.open, "__defaults__", (0.1,))  # seconds for one address
    ends: list[str] = []
    has_ended = threading.Event()

    def end(reason: str) -> None:
        ends.append(reason)
        has_ended.set()

    target = Target(new_credentials(), [f"unix://{tmp_path}/nobody.sock"])
    leave = ThreadFeed.of(target).subscribe(lambda telemetry: None, on_end=end)
    assert has_ended.wait(20.0)
    leave()
    (reason,) = ends
    assert "nobody.sock" in reason


def test_workers_are_scaled_only_where_there_is_one_host_to_have_them() -> None:
    views = {HostId(PeerId(name)): HostView("") for name in "ab"}
    one = dict(list(views.items())[:1])
    assert cannot_scale(ClusterInfo(hosts=one)) == ""
    assert "2 hosts" in cannot_scale(ClusterInfo(hosts=views))
    assert cannot_scale(ClusterInfo()) == "No host is here that could start workers."
    assert "Waiting" in cannot_scale(None)
