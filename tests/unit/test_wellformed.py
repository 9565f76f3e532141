from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himalia.wellformed import NAME_LIMIT, key_of, label_of, name_of, repaired, text_of, well_formed

ANY_TEXT = st.text(st.characters(codec=None, categories=None))  # with lone surrogates
NAME = os.fsdecode(b"caf\xe9.txt")


@given(ANY_TEXT)
def test_a_text_that_utf8_can_write_stays_as_it_is_and_others_can_be_written(text: str) -> None:
    made = well_formed(text)
    made.encode()
    try:
        text.encode()
    except UnicodeEncodeError:
        assert "\\ud" in made
    else:
        assert made is text


@given(st.lists(ANY_TEXT, unique=True, max_size=20))
def test_different_names_stay_different_and_a_name_the_same(names: list[str]) -> None:
    made = [name_of(name) for name in names]
    assert len(set(made)) == len(names)
    assert [name_of(name) for name in names] == made
    for name in made:
        assert (len(name.encode()) and len(name) <= NAME_LIMIT) or name == ""


def test_long_names_that_differ_at_their_end_stay_different() -> None:
    one, two = name_of("x" * 10_000 + "1"), name_of("x" * 10_000 + "2")
    assert one != two
    assert len(one) == len(two) == NAME_LIMIT


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("value", [NAME, Odd(), 10**4000, b"\xff", [NAME], "x" * 100_000])
def test_whatever_has_a_text_or_none_is_told_in_so_many_characters(value: object) -> None:
    text = text_of(value, 100)
    text.encode()
    assert 0 < len(text) <= 100


def test_names_of_what_is_odd() -> None:
    def function() -> None:
        pass

    function.__name__ = NAME
    assert label_of(function) == "caf\\udce9.txt"
    assert label_of(Odd()) == "Odd"
    assert key_of(("x", 1)) == "('x', 1)"


def test_a_message_is_repaired_at_any_depth() -> None:
    assert repaired({"a": [NAME, (NAME, 1)], NAME: None}) == {
        "a": ["caf\\udce9.txt", ("caf\\udce9.txt", 1)],
        "caf\\udce9.txt": None,
    }
