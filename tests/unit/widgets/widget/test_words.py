"""What the widget says, in node: sentences and numbers that are made in the page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.unit.widgets.javascript import find_node

SCRIPT = """
const [module, name, calls] = process.argv.slice(2);
const found = (await import(`./js/${module}`))[name];
console.log(JSON.stringify(JSON.parse(calls).map((call) => found(...call))));
"""


def say(folder: Path, module: str, name: str, *calls: list[Any]) -> list[Any]:
    """Return what a function of a module of the widget returns for each list of arguments."""
    shutil.copytree(str(files("himalia_widgets")) + "/widget/js", folder / "js")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "say.mjs").write_text(SCRIPT)
    command = [find_node(), "say.mjs", module, name, json.dumps(calls)]
    printed = subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30).stdout
    found: list[Any] = json.loads(printed)
    return found


def test_workers_that_were_asked_for_are_counted_in_a_sentence(tmp_path: Path) -> None:
    assert say(tmp_path, "scale.js", "describe", [0, 0], [1, 1], [2, 2], [1, 0], [4, 3], [2, 4], [0, 1]) == [
        "No workers are requested.",
        "The 1 requested worker is here.",
        "All 2 requested workers are here.",
        "0 of 1 requested worker here, 1 missing.",
        "3 of 4 requested workers here, 1 missing.",
        "4 workers here, 2 requested: the others leave when their calls have ended.",
        "1 worker here, 0 requested: it leaves when its calls have ended.",
    ]


def test_numbers_are_written_as_cards_and_the_dashboard_write_them(tmp_path: Path) -> None:
    assert say(tmp_path, "format.js", "count", [0], [-0.2], [999], [2097], [1234567]) == [
        "0", "0", "999", "2,097", "1,234,567",
    ]  # fmt: skip


def test_times_that_count_seconds_are_whole(tmp_path: Path) -> None:
    assert say(tmp_path, "format.js", "ago", [0.4], [3.2], [9.7], [61]) == [
        "now", "3 s ago", "10 s ago", "1 min 1 s ago",
    ]  # fmt: skip


def test_long_lines_of_output_are_folded_and_nothing_of_them_is_lost(tmp_path: Path) -> None:
    line = "loading a file whose name is as long as /data/2024/observations-of-everything.parquet"
    folded = say(tmp_path, "logs.js", "fold", ["short", 24], ["", 24], [line, 24], ["x" * 50, 24], ["ab\U0001f30d", 3])
    assert folded == [
        ["short"],
        [""],
        ["loading a file whose ", "name is as long as ", "/data/2024/observations-", "of-everything.parquet"],
        ["x" * 24, "x" * 24, "xx"],
        ["ab", "\U0001f30d"],
    ]


def test_nothing_is_seen_now_of_a_cluster_that_has_ended(tmp_path: Path) -> None:
    noon = 43_200.0
    calls = [[noon, noon + 1, False], [noon, noon + 9, False], [noon, noon + 1, True], [0, noon, True]]
    now, ago, ended, never = say(tmp_path, "workers.js", "lastSeen", *calls)
    assert (now, ago, never) == ("now", "9 s ago", "–")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", ended)
