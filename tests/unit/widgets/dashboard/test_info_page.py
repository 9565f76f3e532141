"""The page Info, in node: what it shows of a task's description, which a replay knows less of than a scheduler."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

from himalia.show.plain import plain_task
from himalia_widgets.dashboard.tables import describe_calls
from himalia_widgets.replay.described import describe
from himalia_widgets.replay.source import ReplaySource
from tests.unit.widgets.javascript import find_node
from tests.unit.widgets.replay.test_replay import recorded

PACKAGE = Path(str(files("himalia_widgets")))


def show(folder: Path, task: dict[str, object]) -> list[str]:
    """Return the texts of the page for what the server answers."""
    shutil.copytree(PACKAGE / "dashboard" / "assets", folder, dirs_exist_ok=True)
    shutil.copytree(PACKAGE / "widget" / "js", folder / "widget")
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(Path(__file__).with_name("info_page.mjs"), folder)
    command = [find_node(), "info_page.mjs", json.dumps(task)]
    printed = subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30).stdout
    found: list[str] = json.loads(printed)
    return found


def test_all_that_a_scheduler_knows_of_a_task_is_shown(tmp_path: Path) -> None:
    task: dict[str, object] = {
        "key": "inc-1", "group": "inc", "span": "c/1", "status": "finished", "why": "It is done.",
        "priority": [0, 1, 2], "tries": 1, "retries": 3, "nbytes": 2048, "type": "int", "host": "tcp://h", "worker": "",
        "holders": ["tcp://h"],
        "workers": ["w-1"], "resources": {"GPU": 1}, "dependencies": [["load-1", "finished"]], "ndependencies": 60,
        "dependents": [], "ndependents": 0, "error": None, "events": [[2.0, "retried", "its worker died"]],
    }  # fmt: skip
    assert show(tmp_path, task) == [
        "inc-1 finished", "It is done.", "Function", "inc", "Submitted by", "c/1", "Priority", "0, 1, 2",
        "Attempts", "1 (3 retries left)", "Type", "int", "Size", "2.00 KiB", "Worker", "tcp://h", "Held by", "tcp://h",
        "Only at", "w-1", "Resources", "GPU: 1",
        "Inputs (60)", "load-1 finished", "Dependents (0)", "none", "Events", "retried its worker died now",
    ]  # fmt: skip


def test_each_time_that_it_was_computed_is_a_row(tmp_path: Path) -> None:
    source = ReplaySource(recorded(3), "moons")
    source.seek(source.reel.ended)
    calls = describe_calls(source.history, "inc-2-1")
    assert [(call["worker"], call["failed"]) for call in calls] == [("w-0", False)]
    failed = calls[0] | {"failed": True, "worker": "w-1"}
    found = show(
        tmp_path, {"key": "inc-2-1", "status": "unknown", "why": "No.", "events": [], "calls": [failed, *calls]}
    )
    rows = found[found.index("w-1") :]
    assert rows[0] == "w-1"
    assert [text for text in rows if "fail" in text or "finished" in text] == ["failed", "finished, 100 B"]


def test_of_a_call_in_a_recording_what_telemetry_told_is_shown(tmp_path: Path) -> None:
    found = show(tmp_path, plain_task(describe(ReplaySource(recorded(3), "moons").history, "inc-2-1")))
    assert found[0] == "inc-2-1 finished"
    assert found[2:] == ["Function", "inc", "Attempts", "1", "Size", "100 B", "Worker", "w-0"]


def test_of_a_key_that_nobody_knows_the_reason_is_shown(tmp_path: Path) -> None:
    assert show(tmp_path, {"key": "x", "status": "unknown", "why": "No.", "events": []}) == ["x unknown", "No."]
