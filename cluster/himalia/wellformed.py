r"""Texts and names of people and peers, made fit for a wire; every such text passes here where it enters.

A Python string may hold what UTF-8 can't write: a file name that isn't UTF-8 has *lone surrogates* (PEP 383), and so
has whatever is made of it: a key, an error's text, a line of output.  Encoding would fail for it much later, with a
message that nobody can answer any more.  Texts for people are shown with ``\udce9`` in such places.  Names stay
different from each other: one that had to be changed ends with a digest of what it was, the same wherever it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final, overload

import msgspec

from himalia.names import Key

NAME_LIMIT: Final = 4096
"""Characters of a key or another name; longer ones end with a digest too.  As many as a path
has on Linux; Dask writes some hundreds."""
LABEL_LIMIT: Final = 200
"""Characters of a label: a name of a function or type that stands in keys, legends and tables.  The longest
of 27,000 functions and types of Python, NumPy, pandas, Dask and Bokeh has 113 with its module (counted)."""
_SIZE: Final = 8
"""Bytes of the digest of a name that was changed."""


def well_formed(text: str) -> str:
    r"""Return ``text`` itself if UTF-8 can write it, else with ``\udce9`` in the place of what it can't."""
    # Known without a look at the characters, and so it is with nearly all.
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # Not "replace": people can tell which byte it was.
        return text.encode(errors="backslashreplace").decode()
    return text


def text_of(value: object, limit: int) -> str:
    """Return ``str(value)``, well-formed and of at most ``limit`` characters; raises nothing, whatever the value is."""
    try:
        text = str.__str__(str(value))  # a subclass may have any __str__; what comes is a plain string
    except BaseException:  # a user's class may raise anything here
        return f"<a {label_of(type(value))} whose text can't be made>"[:limit]
    # Cut before, for a text may have gigabytes; and after, for an escape is longer than what it stands for.
    return well_formed(text[:limit])[:limit]


def name_of(given: object, limit: int = NAME_LIMIT) -> str:
    """Return ``str(given)`` as a name: the same for the same text, and different ones for different texts.

    Raises
    ------
    Exception
        Whatever ``given`` raises when it is made a string.
    """
    # Its type exactly: a subclass may have any __str__, and would come back as another class.
    text = given if type(given) is str else str.__str__(str(given))
    if len(text) <= limit and (text.isascii() or well_formed(text) is text):
        return text
    # Of the whole text as it was, so that names with the same beginning stay different.
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=_SIZE).hexdigest()
    return f"{well_formed(text[:limit])[: limit - 2 * _SIZE - 1]}-{digest}"


@overload
def names_of(given: str | Iterable[str]) -> list[str]: ...


@overload
def names_of(given: str | Iterable[str] | None) -> list[str] | None: ...


def names_of(given: str | Iterable[str] | None) -> list[str] | None:
    """Return several names, or the one, as a list; ``None``, which means all, as it is."""
    return None if given is None else list(map(name_of, [given] if isinstance(given, str) else given))


def key_of(given: object) -> Key:
    """Return the key that a person gave, as it is called on the cluster; see :func:`name_of`."""
    return Key(name_of(given))


def label_of(kind: object) -> str:
    """Return the name of a function or class, well-formed and short; it may be anything, or not be there."""
    name = getattr(kind, "__name__", None)
    if not isinstance(name, str) or not name:
        name = type(kind).__name__
    return text_of(name, LABEL_LIMIT)


def repaired(value: object) -> Any:
    """Return a copy of a message in which every text is well-formed; whatever else is in it stays as it is."""
    if isinstance(value, str):
        return well_formed(str.__str__(value))
    if isinstance(value, msgspec.Struct):
        # Structs too are made anew: messages are never changed once they are made.
        return type(value)(*[repaired(getattr(value, field)) for field in value.__struct_fields__])
    if isinstance(value, dict):
        return {repaired(key): repaired(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple([repaired(inner) for inner in value])
    if isinstance(value, list):
        return [repaired(inner) for inner in value]
    return value
