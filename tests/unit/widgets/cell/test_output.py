from __future__ import annotations

from himalia.messages.client import CallOutput
from himalia.messages.telemetry import LogLine
from himalia.names import Key
from himalia_widgets.cell.output import LINES, OPEN, TEXT, CellLines
from tests.browser.markup import HOSTILE, markup_in


def lines_of(*texts: str, worker: str = "a", source: str = "stdout", dropped: int = 0) -> CellLines:
    lines = CellLines()
    add(lines, *texts, worker=worker, source=source, dropped=dropped)
    return lines


def add(lines: CellLines, *texts: str, worker: str = "a", source: str = "stdout", dropped: int = 0) -> None:
    written = [LogLine(0.0, source, text) for text in texts]
    lines.add(CallOutput(Key("x"), "c/1", worker, written, dropped))


def test_the_same_line_is_shown_once_with_its_count_and_its_workers() -> None:
    lines = lines_of("same", "other")
    for worker in ("b", "c"):
        add(lines, "same", worker=worker)
    assert lines.as_text() == "same  ×3\nother"
    assert 'title="a, b, c">same<span class="h-count">×3</span>' in lines.as_html()


def test_many_workers_are_counted_not_named() -> None:
    lines = CellLines()
    for number in range(25):
        add(lines, "same", worker=f"w{number}")
    assert "w19, and 5 more" in lines.as_html()


def test_only_the_newest_lines_are_unfolded() -> None:
    markup = lines_of(*[f"line {i}" for i in range(OPEN + 3)]).as_html()
    folded, _, shown = markup.partition("</details>")
    assert "3 earlier lines" in folded
    assert "line 2<" in folded
    assert "line 3<" in shown
    assert "<details" not in lines_of("a").as_html()


def test_warnings_and_errors_look_different() -> None:
    lines = lines_of("a")
    for source in ("stderr", "WARNING", "ERROR", "INFO"):
        add(lines, "a", source=source)
    markup = lines.as_html()
    assert [markup.count(f'class="h-line h-{kind}"') for kind in ("stdout", "stderr", "warning", "error")] == [1] * 4


def test_it_is_bounded_and_says_what_is_missing() -> None:
    lines = lines_of(*[str(i) for i in range(LINES + 5)], dropped=9)
    assert len(lines.lines) == LINES
    assert "5 earlier lines" in lines.as_html()
    assert "9 lines were dropped" in lines.as_text()
    long = lines_of(*["x" * 1000 + str(i) for i in range(100)])
    assert len(long.as_text()) < TEXT + 1000


def test_no_string_of_a_user_becomes_markup() -> None:
    for number, text in enumerate(HOSTILE):
        lines = lines_of(text, worker=f"{text} {number}")
        assert not markup_in(lines.as_html().partition("</style>")[2])
