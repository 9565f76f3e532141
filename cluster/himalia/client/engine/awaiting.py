"""Methods that wait in a client whose methods block, and return awaitables in one that is asynchronous.

Such a method is typed as what it returns when it blocks: most clients do, and one method has one type.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Final, TypeVar, cast

T = TypeVar("T")


def awaiting(value: T) -> Awaitable[T]:
    """Return what a method of an asynchronous client returned, as the awaitable that it is.

    For code that has an asynchronous client: methods are typed as what they return when they block.
    """
    return cast("Awaitable[T]", value)


class Nothing:
    """An awaitable None that nobody has to await."""

    def __await__(self) -> Generator[object, None, None]:
        return
        yield  # never reached; it makes this a generator, which is what __await__ has to return


# One for all: unlike a coroutine it may be awaited many times, or never, and Python doesn't complain.
NOTHING: Final = Nothing()
"""What methods of an asynchronous client return that are done at once."""
