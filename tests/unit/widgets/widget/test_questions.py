from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from himalia.errors import HimaliaError, ScaleError
from himalia.messages.answers import ErrorView, Scaled, TaskView
from himalia.names import Key
from himalia_widgets.view.history import History
from himalia_widgets.widget.questions import find_group, find_key, make_question
from tests.unit.widgets import synthetic
from tests.unit.widgets.foreign import ForeignSource


class Answering(ForeignSource):
    """Answers as a scheduler does, with structs."""

    def __init__(self, failure: HimaliaError | None = None) -> None:
        super().__init__()
        self.failure = failure

    async def scale(self, workers: int) -> Scaled:
        if self.failure is not None:
            raise self.failure
        return Scaled([f"w-{n}" for n in range(workers)])

    async def restart_workers(self, names: list[str]) -> dict[str, str]:
        return dict.fromkeys(names, "OK")

    async def describe_task(self, key: str) -> TaskView:
        return TaskView(Key(key), status="erred", error=ErrorView(Key(key), "exception", "no", "w-0", 1))


def ask(message: dict[str, Any], source: Answering) -> Any:
    return asyncio.run(make_question(message, History())(source))


@pytest.mark.parametrize(
    "message",
    [
        {"action": "scale", "workers": 2},
        {"action": "restart", "worker": "w-0"},
        {"action": "describe", "key": "x", "group": ""},
    ],
)
def test_what_a_page_is_answered_can_be_sent_to_it(message: dict[str, Any]) -> None:
    json.dumps(ask(message, Answering()))


def test_a_nanny_that_does_not_scale_says_why_on_the_page() -> None:
    with pytest.raises(ScaleError, match="it is ending"):
        ask({"action": "scale", "workers": 2}, Answering(ScaleError("it is ending")))


def test_what_a_plot_shows_leads_back_to_the_key_and_the_group() -> None:
    history = synthetic.history(5.0)
    key = history.calls["key"][3]
    assert find_key(key, history) == key
    assert find_key("412 calls", history) == ""
    assert find_group("merge", history) == "merge"
    assert find_group("nothing", history) == ""
