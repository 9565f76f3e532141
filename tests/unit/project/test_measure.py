"""The numbers of scripts/measure.py, on a small tree whose numbers are known."""

from __future__ import annotations

from pathlib import Path

from scripts.measure import circles, comments, measure, read


def make_tree(root: Path, **files: str) -> Path:
    folder = root / "cluster" / "himalia"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return root


def test_a_circle_through_a_function_counts_where_functions_do(tmp_path: Path) -> None:
    later = "def f():\n    from himalia import b\n"
    known = read(make_tree(tmp_path, __init__="", a=later, b="from himalia.a import f\n", c="import himalia.b\n"))
    assert circles(known, deep=False) == []
    assert circles(known, deep=True) == [["himalia.a", "himalia.b"]]


def test_comments_for_tools_are_no_comments() -> None:
    assert comments("x = 1  # why\n# type: ignore\n# that is so\ny = '# no'  # noqa: E501\n") == 2


def test_two_trees_have_the_same_rows(tmp_path: Path) -> None:
    here = measure(Path(__file__).parents[3])
    assert measure(make_tree(tmp_path, __init__="", a="def f() -> None:\n    pass\n")).keys() == here.keys()
    assert here["circles of imports, when loaded"] == "none"
