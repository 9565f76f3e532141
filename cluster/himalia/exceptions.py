"""What a call raised, as bytes and back: by its structure, never by calling the constructor of its class again.

Pickle makes an exception by ``cls(*args)``, which fails as soon as a constructor takes other arguments than what it
hands to ``super().__init__``, and leaves cause, context and notes behind.  Here every exception that hangs together
with the one that was raised becomes a :class:`ChainLink`: its class, its ``args``, its attributes, each pickled apart,
so that one that can't travel is missing alone, and says so in a note.  Whoever reads the links makes an object without
running its class's code, and ties them together again.

A class that can't be found where it is read is replaced by the nearest of its bases that can; a class that says itself
how it is pickled (``__reduce__`` or the like) is believed, if what it says works.

How an exception is shown is decided elsewhere.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from himalia import serialize
from himalia.decoders import decoder_of
from himalia.messages.parts import Frame
from himalia.wellformed import text_of, well_formed

LINKS: Final = 64
"""Exceptions that travel together at most.  Sentry reports 5 (``LinkedErrors``), Python prints them all."""
PART: Final = 32 * 1024
"""Bytes of one argument or attribute; a larger one travels as the beginning of its text."""
WHOLE: Final = 80 * 1024
"""Bytes of all links; together with text and frames, an answer still is a datagram."""
NOTE: Final = 8 * 1024
"""Characters of one note."""
TOO_MUCH: Final = f"is larger than {PART // 1024} KiB, or can't be pickled"
ARGS: Final = 200
"""Arguments that are kept of an exception whose arguments are small one by one and too large together: the beginnings
of their texts, :data:`SHORT` characters in all, then have five each."""
SHORT: Final = 1000
"""Characters of what stands for a part that is too large, or can't be pickled."""
KEPT_APART: Final = frozenset(
    {"args", "__notes__", "__traceback__", "__cause__", "__context__", "__suppress_context__"}
)
MEMBERS: Final = (types.MemberDescriptorType, types.GetSetDescriptorType)
"""How slots appear in a class: a user's, and those of the exceptions that are written in C (``errno``, ``code``)."""
PICKLED_BY: Final = ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__", "__getnewargs_ex__")
NONE: Final = -1


class ChainLink(msgspec.Struct, array_like=True):
    """One exception."""

    names: list[str]
    """Its class and the bases of that, as a person calls them."""
    classes: list[bytes]
    """The same, pickled."""
    whole: bytes
    """The exception as its class pickles it, if the class says how."""
    args: list[bytes]
    attributes: list[tuple[str, bytes]]
    notes: list[str]
    cause: int
    """Number of the link, or NONE; so below."""
    context: int
    suppress_context: bool
    members: list[int]
    """Of a group; so is ``message``."""
    message: str
    frames: list[Frame]


_known_classes: weakref.WeakKeyDictionary[type, tuple[list[str], list[bytes]]] = weakref.WeakKeyDictionary()
"""Names and pickles of classes; one of a notebook takes half a millisecond to pickle."""

_encode = msgspec.msgpack.Encoder().encode
_decode = decoder_of(list[ChainLink]).decode

FramesOf = Callable[[types.TracebackType | None], Sequence[Frame]]


def pack(error: BaseException, frames_of: FramesOf) -> bytes:
    """Return an exception, its causes, contexts and members, as bytes; raises nothing.

    Parameters
    ----------
    error : BaseException
    frames_of : callable
        Traceback → its frames.  That of ``error`` itself travels elsewhere.
    """
    try:
        return _pack(error, frames_of)
    except BaseException:  # whatever a class of a user thought of: the text is left
        return b""


def _pack(error: BaseException, frames_of: FramesOf) -> bytes:
    found, is_cut = _linked(error)
    numbers = {id(one): number for number, one in enumerate(found)}
    links: list[ChainLink] = []
    size = 0
    for number, one in enumerate(found):
        # Those of the first travel with the error's text, for people who have no use for the pickle.
        link = _describe(one, numbers, frames_of if number else lambda trace: ())
        size += len(_encode(link))
        # The nearest first, so it is the farthest that stay behind; the first one always goes.
        if size > WHOLE and number:
            is_cut = True
            break
        links.append(link)
    for link in links:
        # After all are made: a cause may have been numbered before there was no room for it.
        _forget_beyond(link, len(links))
    if is_cut:
        links[0].notes.append(f"(only the {len(links)} nearest of the errors that led to this one are shown)")
    return _encode(links)


def unpack(data: bytes, traceback_of: Callable[[Sequence[Frame]], types.TracebackType | None]) -> BaseException:
    """Return the exception of :func:`pack`; a new object each time.

    Raises
    ------
    Exception
        If not even ``Exception`` can be made of it, which would be a fault of the writer.
    """
    links = _decode(data)
    made: dict[int, BaseException] = {}
    for number in range(len(links)):
        _make(number, links, made, traceback_of)
    # After all are made: causes and contexts may run in a circle, members can't.
    for number, link in enumerate(links):
        error = made[number]
        _assign(error, "__cause__", made.get(link.cause))
        _assign(error, "__context__", made.get(link.context))
        _assign(error, "__suppress_context__", link.suppress_context)
    return made[0]


# Writing


def _linked(error: BaseException) -> tuple[list[BaseException], bool]:
    """Return an exception and all that hang together with it, the nearest first; and whether there are too many."""
    found = {id(error): error}
    near = [error]
    # Level by level and not down each chain: of too many the nearest are kept.
    for one in near:  # which grows
        for other in (one.__cause__, one.__context__, *_members(one)):
            if other is not None and id(other) not in found:
                if len(found) == LINKS:
                    return near, True
                found[id(other)] = other
                near.append(other)
    return near, False


def _members(error: BaseException) -> Sequence[BaseException]:
    # The member of C itself: a subclass may have a property of that name.
    return BaseExceptionGroup.exceptions.__get__(error) if isinstance(error, BaseExceptionGroup) else ()


def _describe(error: BaseException, numbers: dict[int, int], frames_of: FramesOf) -> ChainLink:
    kind = type(error)
    names, classes = _classes(kind)
    notes = [text_of(note, NOTE) if isinstance(note, str) else _short(note) for note in _notes(error)]
    given = len(notes)
    # A base stands for it, which without a word would look like the class itself.
    if names[0] != _name(kind):
        notes.append(f"(it is a {_name(kind)}, which can't be pickled)")
    attributes = []
    for name, value in _attributes(error):
        data = _pickled(value)
        if data is None:
            notes.append(f"(its attribute {name} stayed behind: {_short(value, 60)} {TOO_MUCH})")
        else:
            attributes.append((well_formed(name), data))
    arguments = []
    # Of a group they are the message and the members, which travel as such.
    for number, value in enumerate(() if isinstance(error, BaseExceptionGroup) else error.args):
        data = _pickled(value)
        if data is None:
            notes.append(f"(its args[{number}] is the beginning of a text: {_short(value, 60)} {TOO_MUCH})")
            data = serialize.dumps_packed(_short(value))
        arguments.append(data)
    link = ChainLink(
        names=names,
        classes=classes,
        whole=_own_pickle(error),
        args=arguments,
        attributes=attributes,
        notes=notes,
        cause=_number(error.__cause__, numbers),
        context=_number(error.__context__, numbers),
        suppress_context=error.__suppress_context__,
        members=[numbers[id(member)] for member in _members(error) if id(member) in numbers],
        message=_short(error.message) if isinstance(error, BaseExceptionGroup) else "",
        frames=list(frames_of(error.__traceback__)),
    )
    if len(_encode(link)) > WHOLE * 3 // 4:  # many parts that are each small enough
        link.attributes = []
        link.notes.append("(its attributes stayed behind: together they are too large)")
    if len(_encode(link)) > WHOLE * 3 // 4:
        link.args = [serialize.dumps_packed(_short(value, SHORT // max(1, len(error.args)))) for value in error.args]
        link.whole = b""
        link.notes.append("(its args are the beginnings of texts: together they are too large)")
        if len(link.args) > ARGS:
            link.notes.append(f"(only the first {ARGS} of its {len(link.args):,} args are shown)")
            del link.args[ARGS:]
    if len(link.notes) > given:  # its class may not be able to say any more what it said
        link.notes.append(f"(it said: {text_of(error, SHORT)})")
    return link


def _classes(kind: type[BaseException]) -> tuple[list[str], list[bytes]]:
    """Return names and pickles of a class and its bases, up to the first that is found everywhere."""
    known = _known_classes.get(kind)
    if known is not None:
        return known
    names, classes = [], []
    for base in kind.__mro__:
        # The bases go along for a reader who can't use the class itself.
        data = _pickled(base, WHOLE // 2) if issubclass(base, BaseException) else None
        if data is not None:
            names.append(_name(base))
            classes.append(data)
            if base.__module__ == "builtins":
                break
    # Weak: classes of a notebook are made anew each time their cell runs.
    _known_classes[kind] = names, classes
    return names, classes


def _own_pickle(error: BaseException) -> bytes:
    """Return what the class of an exception makes of it, if it says how, and if that is of any use; else nothing."""
    kind = type(error)
    own = (base for base in kind.__mro__ if base.__module__ != "builtins")
    if isinstance(error, BaseExceptionGroup) or not any(name in vars(base) for base in own for name in PICKLED_BY):
        return b""
    data = _pickled(error)
    if data is None:
        return b""
    try:
        # Tried here, where something can be put in its place: what a class says of itself may be wrong.
        copy = serialize.loads_packed(data)
        # Not ==, which an array answers with an array and a user's class with anything.
        is_same = type(copy) is kind and repr(copy.args) == repr(error.args)
    except Exception:  # whatever the class does
        return b""
    return data if is_same else b""


def _attributes(error: BaseException) -> Iterator[tuple[str, object]]:
    """Yield what an exception has beyond its ``args``: in its ``__dict__``, in slots, in members of C structures."""
    for name, value in getattr(error, "__dict__", {}).items():
        # A __dict__ may hold anything; what the interpreter keeps there itself is written elsewhere.
        if type(name) is str and name not in KEPT_APART:
            yield name, value
    for base in type(error).__mro__:
        if base is object or base is BaseException or base is AttributeError:  # whose ``obj`` may be anything
            continue
        for name, member in list(vars(base).items()):
            if isinstance(member, MEMBERS) and name not in KEPT_APART and name not in ("__dict__", "__weakref__"):
                if issubclass(base, BaseExceptionGroup) and name in ("message", "exceptions"):
                    continue  # read-only; they are made with the group
                try:
                    value = member.__get__(error)
                except Exception:  # a slot that was never set
                    continue
                # Members of C say None where they were never set.
                if value is not None:
                    yield _mangled(name, base), value


def _mangled(name: str, owner: type) -> str:
    """Return the attribute name of a slot: of ``__slots__ = ("__a",)``, its class is a part."""
    if name.startswith("__") and not name.endswith("__"):
        return f"_{owner.__name__.lstrip('_')}{name}"
    return name


def _notes(error: BaseException) -> list[object]:
    notes = getattr(error, "__notes__", None)
    # Anybody may assign anything to __notes__.
    return list(notes) if isinstance(notes, list | tuple) else []


def _number(error: BaseException | None, numbers: dict[int, int]) -> int:
    return NONE if error is None else numbers.get(id(error), NONE)


def _forget_beyond(link: ChainLink, count: int) -> None:
    """Let a link refer to none that doesn't travel."""
    link.cause = link.cause if link.cause < count else NONE
    link.context = link.context if link.context < count else NONE
    link.members = [number for number in link.members if number < count]


def _pickled(value: object, limit: int = PART) -> bytes | None:
    """Return a pickle that can be read again and isn't too large, or ``None``."""
    try:
        frames = serialize.dumps(value)
        if serialize.nbytes(frames) > limit:
            return None
        data = serialize.pack(frames)
        if not isinstance(value, str | int | float | bytes | type(None)):
            # What pickles may not unpickle: a class whose constructor wants other arguments, or that can't be imported.
            # Better to learn it here, where something can be put in its place.
            serialize.loads_packed(data)
    except BaseException:  # a user's class may raise anything here
        return None
    return data


def _short(value: object, limit: int = SHORT) -> str:
    """Return the beginning of a value's text."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except BaseException:  # as above
        text = f"<{type(value).__name__}>"
    text = well_formed(text)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def _name(kind: type) -> str:
    return text_of(
        kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}", SHORT
    )


# Reading


def _make(
    number: int,
    links: Sequence[ChainLink],
    made: dict[int, BaseException],
    traceback_of: Callable[[Sequence[Frame]], types.TracebackType | None],
) -> BaseException:
    """Make the exception of one link, after the members of it, if it is a group."""
    # A member may be the cause of another, and be made already.
    if number in made:
        return made[number]
    link = links[number]
    members = [_make(member, links, made, traceback_of) for member in link.members]
    error, missing = _new(link, members)
    made[number] = error
    notes = link.notes + missing
    if notes:
        _assign(error, "__notes__", notes)
    _assign(error, "__traceback__", traceback_of(link.frames))
    return error


def _new(link: ChainLink, members: Sequence[BaseException]) -> tuple[BaseException, list[str]]:
    """Return a new exception of a link's class, or of the nearest base of it, and notes on what is missing."""
    if link.whole:
        try:
            return serialize.loads_packed(link.whole), []
        except Exception:  # it was tried where it was written, but this is another place
            pass
    kind, missing = _find_class(link.classes)
    notes = [f"(it is a {link.names[0]}, which can't be found here: {missing})"] if missing else []
    if members:
        error = _new_group(kind, link.message, members)
    else:  # a group, too, of which no member fitted in
        error = _bare(Exception if issubclass(kind, BaseExceptionGroup) else kind)
        _assign(
            error, "args", tuple([_loaded(data) for data in link.args]) or ((link.message,) if link.message else ())
        )
    for name, data in link.attributes:
        try:
            _assign(error, name, serialize.loads_packed(data))
        except Exception as problem:
            notes.append(f"(its attribute {name} can't be read here: {type(problem).__name__}: {problem})")
    return error, notes


def _find_class(classes: Sequence[bytes]) -> tuple[type[BaseException], str]:
    missing = ""
    for data in classes:
        try:
            kind = serialize.loads_packed(data)
            # A name may mean something else here.
            if isinstance(kind, type) and issubclass(kind, BaseException):
                return kind, missing
        except Exception as problem:
            missing = missing or f"{type(problem).__name__}: {problem}"
    return Exception, missing


def _new_group(kind: type[BaseException], message: str, members: Sequence[BaseException]) -> BaseException:
    if not issubclass(kind, BaseExceptionGroup):
        kind = BaseExceptionGroup  # its own class is not found here
    if issubclass(kind, Exception) and not all([isinstance(member, Exception) for member in members]):
        kind = BaseExceptionGroup  # a member became another class
    # Not kind(...): a subclass may have any __init__; only C's own is called.
    error: BaseException = BaseExceptionGroup.__new__(kind, message, list(members))
    return error


def _bare(kind: type[BaseException]) -> BaseException:
    """Return an exception on which nothing of a user was called."""
    base: type | None = kind
    while base is not None:  # not in the order of its methods: C knows one base of each class, and refuses all others
        if "__new__" in vars(base) and not isinstance(vars(base)["__new__"], staticmethod):
            return vars(base)["__new__"](kind)  # type: ignore[no-any-return]  # the innermost one written in C
        base = base.__base__
    return BaseException.__new__(kind)


def _assign(error: BaseException, name: str, value: object) -> None:
    """Give an exception an attribute, past whatever its class does about that."""
    try:
        # Not setattr(): frozen dataclasses and the like refuse it.
        object.__setattr__(error, name, value)
    except AttributeError:  # a property without a setter stands before it; the value was in the dict
        error.__dict__[name] = value


def _loaded(data: bytes) -> object:
    try:
        return serialize.loads_packed(data)
    except Exception as problem:
        return f"<can't be read here: {type(problem).__name__}: {problem}>"


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an exception, whatever its class thinks of being changed, and whatever its notes are."""
    try:
        _assign(error, "__notes__", [*_notes(error), note])
    except (AttributeError, TypeError):  # it has no place for any
        pass
