"""What the hover of a single call says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from himalia_widgets.view import units
from himalia_widgets.view.history import History
from himalia_widgets.view.text import hover


def call_texts(history: History, indices: npt.NDArray[np.intp]) -> dict[str, list[str]]:
    """Return what the hover says of single calls."""
    calls, table = history.calls, history.calls.columns
    names = {number: hover(calls.groups[number]) for number in set(table["group"][indices].tolist())}
    places = {number: calls.lanes[number] for number in set(table["lane"][indices].tolist())}
    where = {number: hover(f"{lane.worker} · {lane.thread}") for number, lane in places.items()}
    numbers = zip(
        *(
            table[name][indices].tolist()
            for name in ("transfer", "deserialize", "compute", "serialize", "nbytes", "moved")
        ),
        table["failed"][indices].tolist(),
        strict=True,
    )
    return {
        "name": [names[number] for number in table["group"][indices].tolist()],
        "key": [hover(key) for key in table["key"][indices].tolist()],
        "time": [units.seconds(value) for value in (table["end"][indices] - table["start"][indices]).tolist()],
        "detail": [describe(*one) for one in numbers],
        "where": [where[number] for number in table["lane"][indices].tolist()],
    }


def describe(
    transfer: float, deserialize: float, compute: float, serialize: float, nbytes: int, moved: int, failed: bool
) -> str:
    """Return the phases and sizes of a call in one line; phases that took no time worth a word are left out."""
    worth = 0.02 * (transfer + deserialize + compute + serialize)
    said = [("transfer", transfer), ("deserialize", deserialize), ("compute", compute), ("serialize", serialize)]
    parts = [f"{phase} {units.seconds(taken)}" for phase, taken in said if taken > worth]
    if len(parts) == 1 and compute > worth:
        parts = []
    if moved:
        parts.append(f"fetched {units.size(moved)}")
    parts.append("failed" if failed else f"result {units.size(nbytes)}")
    return " · ".join(parts)
