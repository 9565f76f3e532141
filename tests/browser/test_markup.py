from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from tests.browser.markup import HOSTILE, assert_no_markup, hits_in, markup_in


def test_there_are_two_hundred_different_strings() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) == 200


def test_escaped_text_is_not_found_in_html() -> None:
    assert markup_in("".join(f"<p title='{html.escape(text)}'>{html.escape(text)}</p>" for text in HOSTILE)) == []


def test_what_is_not_escaped_is_found_in_html() -> None:
    assert markup_in("<p><b data-hit>bold</b></p>") == ["<b data-hit>"]


def test_escaped_text_does_nothing_in_a_page(open_page: Callable[..., Any]) -> None:
    page = open_page("about:blank")
    page.set_content("".join(f"<p title='{html.escape(text)}'>{html.escape(text)}</p>" for text in HOSTILE))
    assert_no_markup(page)


def test_what_becomes_markup_is_seen_in_a_page(open_page: Callable[..., Any]) -> None:
    page = open_page("about:blank")
    page.set_content(
        "<svg data-hit onload=top.__hit=1></svg><style>*{--hit:1}</style><p>86236531</p><math><mi>x</mi></math>"
        "<div><template shadowrootmode=open><i data-hit>x</i></template></div><a href='javascript:top.__hit=1'>x</a>"
    )
    page.wait_for_function("() => window.__hit")
    found = {hit.partition(":")[0] for hit in hits_in(page)}
    assert found == {"a payload ran", "an element", "a style sheet", "evaluated", "a formula", "a link"}
    assert sum("<i data-hit" in hit for hit in hits_in(page)) == 1
