from __future__ import annotations

import re
import subprocess
from collections import Counter
from importlib.resources import files
from pathlib import Path

from himalia_widgets.widget import assets
from tests.unit.widgets.javascript import find_node

FOLDER = Path(str(files("himalia_widgets.widget") / "js"))


def test_every_module_is_in_the_script_and_none_is_left_out() -> None:
    assert sorted(assets.MODULES) == sorted(path.stem for path in FOLDER.glob("*.js"))
    script = assets.script()
    assert script.count("\nimport ") == 0  # not `in`: pytest would explain its failure by a diff, in gigabytes
    assert re.findall(r"^export (\w+)", script, re.MULTILINE) == ["default"]


def test_names_of_modules_do_not_meet_in_the_one_script() -> None:
    names = re.findall(r"^(?:async )?(?:const|let|function|class) (\w+)", assets.script(), re.MULTILINE)
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_no_module_is_used_before_it_is_defined() -> None:
    for index, name in enumerate(assets.MODULES):
        needed = re.findall(r"from \"\./(\w+)\.js\"", (FOLDER / f"{name}.js").read_text("utf-8"))
        assert set(needed) <= set(assets.MODULES[:index]), name


def test_nothing_in_the_page_makes_markup_of_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc"
    )
    assert forbidden.findall(assets.script()) == []


def test_the_script_is_a_module_that_a_browser_understands(tmp_path: Path) -> None:
    (tmp_path / "widget.mjs").write_text(assets.script(), "utf-8")
    subprocess.run([find_node(), "--check", str(tmp_path / "widget.mjs")], check=True, timeout=30)


def test_the_style_stays_inside_the_widget() -> None:
    selectors = re.findall(r"(?:^|\}|\*/|\{)\s*([^{}@/]+)\{", assets.style())
    assert [text for text in selectors if not text.strip().startswith(".himalia-widget")] == []
