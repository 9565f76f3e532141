from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, cast

import pytest

from himalia_widgets.cell import report
from himalia_widgets.cell.figures import profile_figure


@pytest.mark.parametrize("kind", ["figure", "report"])
def test_what_is_written_takes_the_place_of_a_link_and_is_not_for_everybody_to_write(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "page", lambda recorder, problem: "<html>")
    precious, path = tmp_path / "precious", tmp_path / "result.html"
    precious.write_text("years of work")
    path.symlink_to(precious)
    before = os.umask(0)
    try:
        if kind == "figure":
            profile_figure({}, str(path))
        else:
            report.write(cast(Any, None), str(path))
    finally:
        os.umask(before)
    assert precious.read_text() == "years of work"
    assert "<html" in path.read_text()
    assert stat.S_IMODE(path.lstat().st_mode) == 0o664
