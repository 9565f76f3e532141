"""Exceptions whose names, texts and notes no wire can carry as they are, or whose classes refuse to be changed."""

from __future__ import annotations

import dataclasses
import traceback
from typing import Any

import msgspec
import pytest

from himalia.client.engine.errors_view import rebuild
from himalia.errors import StoreDamagedError, StoreFullError, UnreachableError
from himalia.messages.parts import TaskError
from himalia.names import Key
from himalia.worker.results import ANSWER_LIMIT, describe, type_name

X = Key("x")
NAME = b"caf\xe9.txt".decode(errors="surrogateescape")


def sent(error: BaseException, before: str = "") -> Any:
    """What a client raises for what a call raised."""
    try:
        raise error
    except BaseException as caught:
        data = msgspec.msgpack.encode(describe(caught, X, "w-1", before))
    assert len(data) <= ANSWER_LIMIT
    return rebuild(msgspec.msgpack.decode(data, type=TaskError), X)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int


class BadNotes(Exception):
    __notes__: Any = "no list"


class Odd(Exception):
    """Carries what it is given."""


def test_a_text_that_utf8_can_not_write_arrives() -> None:
    error = sent(ValueError(f"can't read {NAME}"))
    assert type(error) is ValueError
    assert error.args == (f"can't read {NAME}",)


def test_names_that_utf8_can_not_write_do_no_harm() -> None:
    code = compile(f"def fail():\n    raise Odd({NAME!r})", NAME, "exec")
    scope: dict[str, Any] = {"Odd": type("Odder", (Odd,), {"__qualname__": NAME, "__module__": NAME})}
    exec(code, scope)
    scope["fail"].__code__ = scope["fail"].__code__.replace(co_name=NAME, co_qualname=NAME)
    with pytest.raises(Odd) as caught:
        scope["fail"]()
    caught.value.__dict__[NAME] = NAME
    caught.value.add_note(NAME)
    caught.value.__cause__ = OSError(2, "gone", NAME)
    error = sent(caught.value)
    assert isinstance(error, Odd) and isinstance(error.__cause__, OSError)
    assert error.__cause__.filename == NAME
    assert any("caf\\udce9.txt" in str(note) for note in error.__notes__)
    assert "caf\\udce9.txt" in "".join(traceback.format_exception(error))
    assert "caf\\udce9.txt" in type_name(scope["Odd"]())


def test_a_class_that_refuses_to_be_changed_arrives() -> None:
    error = sent(Frozen(3))
    assert type(error) is Frozen and error.code == 3
    assert error.__notes__ == ["Raised by x on w-1."]


@pytest.mark.parametrize("notes", [["plain", 3, None], ("a", "b"), "text", 7, [object()], [NAME]])
def test_notes_may_be_anything(notes: Any) -> None:
    odd = Odd("a")
    odd.__notes__ = notes
    error = sent(odd)
    assert type(error) is Odd
    assert error.__notes__[-1] == "Raised by x on w-1."
    assert "".join(traceback.format_exception(error))


def test_a_class_may_have_something_in_the_place_of_notes() -> None:
    assert sent(BadNotes("a")).__notes__ == ["Raised by x on w-1."]


@pytest.mark.parametrize(
    "error", [StoreFullError("full", 3, 2), StoreDamagedError("bad", "k", 2), UnreachableError("nobody")]
)
def test_classes_with_two_bases_that_are_written_in_c_arrive(error: Exception) -> None:
    got = sent(error)
    assert type(got) is type(error)
    assert (str(got), vars(got).keys() - {"__notes__"}) == (str(error), vars(error).keys() - {"__notes__"})


def test_what_failed_beside_the_call_is_a_note() -> None:
    assert sent(ValueError("no"), "It returned, but. ").__notes__ == ["It returned, but.", "Raised by x on w-1."]


def test_the_largest_error_is_a_datagram() -> None:
    wide = "\U0001f600" * 100_000
    error: BaseException = Odd(wide, *[wide] * 20)
    for _ in range(5):
        outer = Odd(wide)
        outer.__cause__ = error
        outer.add_note(wide)
        error = outer
    assert isinstance(sent(error), Odd)
