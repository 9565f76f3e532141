from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable
from typing import Any, Self

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from himalia import exceptions
from himalia.client.engine.tracebacks import traceback_of
from himalia.errors import StoreFullError, UnreachableError
from himalia.names import Key
from himalia.worker.results import ANSWER_LIMIT, describe, user_frames


def sent(error: BaseException) -> Any:
    """Return what arrives of an exception."""
    return exceptions.unpack(exceptions.pack(error, user_frames), traceback_of)


def raised(function: Callable[[], Any]) -> BaseException:
    """Return what a function raises, with its traceback."""
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


class Keywords(Exception):
    def __init__(self, *, field: str, reason: str = "wrong") -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


class Slots(LookupError):
    __slots__ = ("__hidden", "unset", "value")

    def __init__(self, value: int) -> None:
        super().__init__("slots")
        self.value = value
        self.__hidden = value + 1

    def hidden(self) -> int:
        return self.__hidden


class Deaf(Exception):
    """Refuses to be changed, and to be printed."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)
        self.__dict__["two"] = two

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Liar(Exception):
    def __init__(self, text: str, more: int) -> None:
        super().__init__(text)
        self.more = more

    def __reduce__(self) -> Any:
        return ValueError, ("something else",)


class Refusing(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("not me")


class Truthful(Exception):
    """Knows best how it is made again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)
        self.both = [one, two]
        self.lock = threading.Lock()

    def __reduce__(self) -> Any:
        return type(self), tuple(self.both)


class Locked(Exception):
    def __init__(self) -> None:
        super().__init__("locked", threading.Lock())
        self.lock = threading.Lock()
        self.fine = {"a": [1]}


class Disk(OSError):
    def __init__(self, name: str) -> None:
        super().__init__(28, "no room", name)
        self.name = name


class Many(ExceptionGroup[Exception]):
    def __new__(cls, errors: list[Exception], code: int) -> Self:
        made = super().__new__(cls, f"{len(errors)} of them", errors)
        made.code = code
        return made

    code: int

    def derive(self, errors: Any) -> Many:  # type: ignore[override]
        return Many(errors, self.code)


def test_a_class_whose_constructor_takes_something_else_arrives_as_itself() -> None:
    error = sent(Keywords(field="length"))
    assert (type(error), str(error), error.field) == (Keywords, "length: wrong", "length")


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "no such file", "a", None, "b"),
        Disk("sda"),
        StoreFullError("no room", 7, 5),  # of our own base first, and then MemoryError
        UnreachableError("gone"),
        UnicodeDecodeError("utf-8", b"caf\xe9", 3, 4, "unexpected end"),
        SystemExit(7),
        StopIteration([1, 2]),
        KeyError("k"),
        ImportError("m", name="n", path="p"),
        SyntaxError("bad", ("file", 1, 2, "text", 1, 3)),
        NameError("n", name="n"),
        KeyboardInterrupt(),
        asyncio.CancelledError("why"),
        OSError("just text"),
        ZeroDivisionError("division by zero"),
        Exception(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_python_and_its_library_raise_arrives_whole(error: BaseException) -> None:
    got = sent(error)
    assert (type(got), str(got), repr(got)) == (type(error), str(error), repr(error))
    for name in (
        "errno",
        "strerror",
        "filename",
        "filename2",
        "code",
        "value",
        "name",
        "path",
        "lineno",
        "start",
        "object",
    ):
        assert getattr(got, name, None) == getattr(error, name, None), name


def test_slots_and_their_private_names() -> None:
    error = sent(Slots(3))
    assert (type(error), error.value, error.hidden(), hasattr(error, "unset")) == (Slots, 3, 4, False)


def test_nothing_of_a_users_class_is_called_that_could_raise() -> None:
    error = sent(Deaf(1, 2))
    assert (type(error), error.args, error.two) == (Deaf, (1,), 2)


@pytest.mark.parametrize("error", [Liar("text", 3), Refusing("text")], ids=["liar", "refusing"])
def test_a_class_that_cannot_say_how_it_is_pickled_is_not_believed(error: Exception) -> None:
    got = sent(error)
    assert (type(got), got.args, vars(got)) == (type(error), error.args, vars(error))


def test_a_class_that_says_how_it_is_pickled_is_believed() -> None:
    error = sent(Truthful(1, 2))
    assert (type(error), error.both, error.lock.locked()) == (Truthful, [1, 2], False)


def test_what_cannot_travel_stays_behind_alone_and_is_named() -> None:
    error = sent(Locked())
    assert (type(error), error.fine, hasattr(error, "lock")) == (Locked, {"a": [1]}, False)
    assert error.args[0] == "locked"
    assert "unlocked _thread.lock" in error.args[1]
    assert "attribute lock stayed behind" in error.__notes__[0]


class BadRows(Exception):
    def __init__(self, rows: list[Any], table: str) -> None:
        self.rows, self.table = rows, table
        super().__init__(rows, table)

    def __str__(self) -> str:
        return f"{len(self.rows)} bad rows in {self.table}"


def test_what_an_exception_tells_of_some_thousand_rows_arrives_whole() -> None:
    error = sent(BadRows(list(range(5000)), "flights"))
    assert error.rows == list(range(5000))
    assert (error.args[1], str(error), hasattr(error, "__notes__")) == ("flights", "5000 bad rows in flights", False)


def test_what_is_too_large_is_named_with_the_limit_and_the_text_is_kept() -> None:
    notes = sent(BadRows(list(range(100_000)), "flights")).__notes__
    assert any("its attribute rows stayed behind: [0, 1, 2" in note and "larger than 32 KiB" in note for note in notes)
    assert any("its args[0] is the beginning of a text" in note for note in notes)
    assert "(it said: 100000 bad rows in flights)" in notes


@pytest.mark.parametrize("count", [0, 4, 40, 4000])
def test_many_parts_that_are_each_small_enough_are_still_one_message(count: int) -> None:
    error = describe(BadRows(["x" * 20_000] * 4, "t"), Key("k"), "w")
    many = describe(Exception(*[f"{number:020000d}" for number in range(count)]), Key("k"), "w")
    for one in (error, many):
        assert len(msgspec.msgpack.encode(one)) <= ANSWER_LIMIT


def test_a_class_that_cannot_travel_is_its_nearest_base_and_named() -> None:
    class Homebound(Keywords):
        lock = threading.Lock()

    error = sent(Homebound(field="f"))
    assert type(error) is Keywords
    assert any("Homebound, which can't be pickled" in note for note in error.__notes__)


def test_a_class_that_is_not_found_here_is_its_nearest_base_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = exceptions.pack(Keywords(field="f"), user_frames)
    monkeypatch.delitem(globals(), "Keywords")
    error = exceptions.unpack(data, traceback_of)
    assert (type(error), str(error), error.field) == (Exception, "f: wrong", "f")  # type: ignore[attr-defined]
    assert "Keywords, which can't be found here" in error.__notes__[0]


def test_a_class_of_the_function_that_raised_it() -> None:
    class Local(ValueError):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(one)
            self.two = two

    error = sent(Local(1, 2))
    assert (type(error), error.args, error.two) == (Local, (1,), 2)


def test_causes_and_contexts_with_their_own_lines() -> None:
    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            error.add_note("looked in vain")
            raise Keywords(field="f") from error

    def inner() -> None:
        try:
            [][1]
        except IndexError:
            raise KeyError("k")

    error = sent(raised(outer))
    assert type(error.__cause__) is KeyError and error.__cause__.__notes__ == ["looked in vain"]
    assert type(error.__cause__.__context__) is IndexError
    text = "".join(traceback.format_exception(error))
    assert "direct cause" in text and "During handling" in text
    assert "in inner" in text and "[][1]" in text


def test_from_none_stays_from_none() -> None:
    def fail() -> None:
        try:
            dict[str, int]()["k"]
        except KeyError:
            raise Keywords(field="f") from None

    error = sent(raised(fail))
    assert error.__suppress_context__ and error.__cause__ is None
    assert type(error.__context__) is KeyError


def test_errors_that_cause_each_other() -> None:
    one, two = ValueError("one"), TypeError("two")
    one.__cause__, two.__cause__, two.__context__ = two, one, two
    error = sent(one)
    assert error.__cause__.__cause__ is error
    assert error.__cause__.__context__ is error.__cause__


def test_an_attribute_that_is_the_error_itself_or_another_one() -> None:
    error: Any = ValueError("one")
    error.other = TypeError("two")
    error.me = error
    got = sent(error)
    assert repr(got.other) == "TypeError('two')"
    assert isinstance(got, ValueError)


def test_groups_in_groups() -> None:
    group = Many([Keywords(field="a"), Many([Slots(1), KeyError("k")], 2)], 1)
    group.add_note("a note")
    error = sent(group)
    assert (type(error), error.code, str(error)) == (Many, 1, "2 of them (2 sub-exceptions)")
    assert error.__notes__ == ["a note"]
    assert error.subgroup(Slots) is not None
    assert error.exceptions[1].code == 2
    assert [type(one) for one in error.exceptions[1].exceptions] == [Slots, KeyError]


def test_a_group_of_what_is_no_exception() -> None:
    error = sent(BaseExceptionGroup("stop", [KeyboardInterrupt(), ValueError(1)]))
    assert (type(error), [type(one) for one in error.exceptions]) == (
        BaseExceptionGroup,
        [KeyboardInterrupt, ValueError],
    )


def test_notes_that_are_no_text() -> None:
    error = ValueError("x")
    error.__notes__ = ["one", 2]  # type: ignore[list-item]
    assert sent(error).__notes__ == ["one", "2"]


@pytest.mark.parametrize(
    "error", [ValueError("x" * 50_000_000), Keywords(field="y" * 1_000_000), ValueError(list(range(1_000_000)))]
)
def test_a_huge_one_is_itself_with_less_text(error: Exception) -> None:
    data = exceptions.pack(error, user_frames)
    got = exceptions.unpack(data, traceback_of)
    assert type(got) is type(error)
    assert len(data) <= exceptions.WHOLE
    assert " characters)" in str(got)


def test_a_long_chain_is_cut_and_says_so() -> None:
    error: BaseException | None = None
    for number in range(5000):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    assert error is not None
    got = sent(error)
    assert str(got.__cause__) == "4998"
    assert "nearest of the errors" in got.__notes__[-1]
    assert len(describe(error, "k", "w").exception) <= exceptions.WHOLE  # type: ignore[arg-type]


@given(
    st.recursive(
        st.builds(ValueError, st.text()) | st.builds(KeyError, st.integers()) | st.builds(Slots, st.integers()),
        lambda errors: st.builds(
            lambda message, some: ExceptionGroup(message, some), st.text(), st.lists(errors, min_size=1, max_size=3)
        ),
        max_leaves=8,
    ),
    st.lists(st.text(), max_size=2),
)
def test_whatever_hangs_together_arrives_together(error: Exception, notes: list[str]) -> None:
    for note in notes:
        error.add_note(note)
    error.__cause__ = KeyError("cause")
    got = sent(error)
    assert repr(got) == repr(error)
    assert getattr(got, "__notes__", []) == notes
    assert repr(got.__cause__) == "KeyError('cause')"
