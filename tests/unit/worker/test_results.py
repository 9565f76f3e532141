"""What a call's end becomes in a message."""

from __future__ import annotations

import os

import pytest

from himalia.client.packing.remote import run_node
from himalia.worker.results import OWN_FILES, user_frames


def test_files_that_are_of_no_interest_to_a_user_exist() -> None:
    assert [path for path in OWN_FILES if not os.path.exists(path)] == []


def test_a_graphs_node_that_raises_shows_no_frame_of_ours() -> None:
    def node(values: object) -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad") as caught:
        run_node(node, {})
    frames = user_frames(caught.value.__traceback__)
    assert [frame.function for frame in frames][-1].endswith("node")
    assert not any("remote.py" in frame.filename for frame in frames)
