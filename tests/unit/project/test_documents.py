from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NOTES = sorted(ROOT.glob("docs/notes/*.md"))
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
