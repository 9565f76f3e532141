from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NOTES = sorted(ROOT.glob("docs/notes/*.md"))
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
README = (ROOT / "README.md").read_text()


def python_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize(
    "promise", ["make demo", "make test", "## Ten lines", "different from Dask", "Moving from Dask"]
)
def test_the_readme_has_what_a_newcomer_needs(promise: str) -> None:
    assert promise in README


def test_the_makefile_has_every_target_that_documents_name() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    assert set(re.findall(r"(?:^|`)make (\w+)", text, flags=re.MULTILINE)) <= targets
    assert {"demo", "lab", "test", "lint", "bench", "clean", "help"} <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_documents_name_exist(path: Path) -> None:
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", path.read_text())
    homes = [ROOT, ROOT / "cluster" / "himalia"]
    assert [name for name in named if not any((home / name).exists() for home in homes)] == []


def names_in(path: Path) -> set[str]:
    """The functions and classes of a file, and the methods as ``Class.method``."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, FUNCTION | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, FUNCTION)}
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_functions_that_documents_name_are_in_their_files(path: Path) -> None:
    """Written as ``path/file.py:function`` or ``path/file.py:Class.method``."""
    named = re.findall(r"`([\w/]+\.py):([\w.]+)`", path.read_text())
    homes = [ROOT, ROOT / "cluster" / "himalia"]
    missing = []
    for file, name in named:
        found = [home / file for home in homes if (home / file).exists()]
        if not found or name not in names_in(found[0]):
            missing.append(f"{file}:{name}")
    assert missing == []


def test_every_word_of_the_glossary_is_there_once_and_in_order() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs" / "glossary.md").read_text(), flags=re.MULTILINE)
    assert len(words) > 30
    assert words == sorted(set(words))


def test_comments_name_documents_that_are_here() -> None:
    """A reader has this repository, and no other."""
    elsewhere = re.compile(
        r"\b(?:DESIGN|STYLE|RELIABILITY|JUPYTER|VIEWS|DEPLOY|ATTACH)\b(?:\.md\b|,? §|, lesson| [A-Z]\d)|issue \d+ §"
    )
    files = [*ROOT.glob("*.toml"), *DOCUMENTS]
    for folder in ("cluster", "widgets", "labextension", "scripts", "tests"):
        files += [path for path in (ROOT / folder).rglob("*.py") if path != Path(__file__)]
    assert [f"{path}: {found[0]}" for path in files if (found := elsewhere.search(path.read_text()))] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_documents_is_python(path: Path) -> None:
    for block in python_blocks(path.read_text()):
        ast.parse(block)


@pytest.mark.parametrize("path", NOTES, ids=lambda path: path.name)
def test_a_note_tells_question_options_choice_cost_and_what_would_change_our_mind(path: Path) -> None:
    text = path.read_text()
    number = path.name.split("-")[0]
    assert text.startswith(f"# {number}: ")
    parts = ["**Question.**", "**Options.**", "**Choice.**", "**Cost.**", "**What would change our mind.**"]
    assert [part for part in parts if part not in text] == []


def test_notes_have_numbers_of_their_own() -> None:
    numbers = [path.name.split("-")[0] for path in NOTES]
    assert len(numbers) == len(set(numbers))


def test_constraints_name_versions_and_no_places() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.match(r"[a-z0-9_.-]+==[^\s/@]+( ; [^/@]+)?$", line)] == []
