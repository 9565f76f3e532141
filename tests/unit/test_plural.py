from __future__ import annotations

import re

import pytest

from himalia.messages.telemetry import TaskCounts
from himalia.plural import plural
from himalia_widgets.cell.cell_bar import CellTotals, facts
from himalia_widgets.plots import PLOTS, make_plot
from himalia_widgets.view.history import History
from tests.unit.widgets import synthetic


def test_one_thing_is_singular_and_many_have_commas() -> None:
    assert [plural(count, "worker") for count in (0, 1, 2, 2097)] == [
        "0 workers",
        "1 worker",
        "2 workers",
        "2,097 workers",
    ]


def test_a_cell_of_one_task_says_so() -> None:
    assert facts(CellTotals(TaskCounts(done=1)))[0] == "1 of 1 task"


@pytest.mark.parametrize("name", PLOTS)
def test_no_hover_of_a_plot_tells_of_one_calls(name: str) -> None:
    history: History = synthetic.history(3, hosts=1, workers=1, threads=1)
    told = [text for source in make_plot(name).columns(history).values() for text in source.get("detail", [])]
    assert not [text for text in told if re.search(r"\b1 (call|task|thread|worker|sample|transfer|host)s\b", str(text))]
