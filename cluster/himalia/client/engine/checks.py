"""The invariants of a client's records, checked by tests and the simulator after every event."""

from __future__ import annotations

from himalia.client.engine.state import CANCELLED, ERROR, FINISHED, LOST, PENDING, EngineState, RecordStatus


def check(state: EngineState) -> None:
    """Raise AssertionError if the records contradict each other or the table of ``state.py``."""
    for key, record in state.records.items():
        assert record.key == key, f"{key} is kept under another key"
        # A plain word would be equal to its status, and fail every comparison by `is`.
        assert type(record.status) is RecordStatus, f"{key} is {record.status!r}, which is no status"
        # It leaves the table in the step that cancels it (end_cancelled).
        assert record.status is not CANCELLED, f"{key} is {record.status} and still in the table"
        assert record.refs > 0, f"{key} has no future"
        has_error = record.error is not None
        assert has_error == (record.status in (ERROR, LOST)), f"{key} is {record.status} with {record.error}"
        if record.status is FINISHED:
            assert record.data is not None or record.holders, f"{key} is finished, and nobody has it"
        if record.watchers is not None:
            assert record.status is PENDING, f"{key} is {record.status} and still watched"
        if record.fence:
            assert record in state.fenced.get(record.fence, ()), f"{key} waits for an answer that nobody will give"
    # Doubts are judged, and forgotten, together with the release of their keys.
    assert state.gone or all(key in state.released or key in state.releasing for key in state.doubtful), state.doubtful
    assert not (state.gone and state.open), "requests wait for a scheduler that is gone"
