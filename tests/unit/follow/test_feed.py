from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from himalia.comm.security import Credentials, new_credentials
from himalia.follow.feed import Feed
from himalia.follow.thread_feed import ThreadFeed


class Target(NamedTuple):
    credentials: Credentials
    addresses: list[str]


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
