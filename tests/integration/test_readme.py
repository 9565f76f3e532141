"""The lines of the README, run as a new user would run them: a script in a fresh directory, no ``__main__`` guard."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_ten_lines_of_the_readme_print_what_they_say(tmp_path: Path, nothing_left: None) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    (tmp_path / "ten_lines.py").write_text(block)
    result = subprocess.run([sys.executable, "ten_lines.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == re.findall(r"print\(.*# ([\d.]+)", block)
    assert result.stderr == ""
