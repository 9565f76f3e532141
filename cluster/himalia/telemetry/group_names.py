"""Names of groups: what tasks of one kind share, found in their keys.

What in a key is a name, and what is a digest, a number or a place in a grid?
"""

from __future__ import annotations

import functools
import re
from typing import Final

DIGEST: Final = re.compile(r"[-_][0-9a-f]{8,}$")
"""The end that makes a key unique: 8 hex digits or more."""
UUID: Final = re.compile(r"[-_][0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
# Only one number and only at the end: what comes before it may be a part of the name (x-2-train-17).
NUMBER: Final = re.compile(r"[-_]\d+$")


def group_name(key: object) -> str:
    """Return the group of a key: a string, or a tuple that begins with one.

    >>> group_name("inc-6e8d0ffa1e7bb9c5")
    'inc'
    >>> group_name(("random_sample-9bd2c1e8a7", 0, 3))
    'random_sample'
    """
    if isinstance(key, tuple) and key:
        # The rest is a place in a grid of blocks.
        key = key[0]
    if not isinstance(key, str):
        return type(key).__name__
    return _group_of_text(key)


# Keys of a collection share their first part, so most of a graph is looked up here.
@functools.lru_cache(10_000)
def _group_of_text(text: str) -> str:
    if text.startswith("("):  # a tuple that was made a string
        text = text[1:].split(",", 1)[0].strip("'\" ")
    # UUID first: its last part by itself is a digest, too.
    for pattern in (UUID, DIGEST, NUMBER):
        shorter = pattern.sub("", text)
        # What is nothing but a digest stays whole: a legend needs some name.
        if shorter and shorter != text:
            return shorter
    return text
