"""What the numbers, texts and lists of messages may be: types whose bounds are checked while a message is decoded.

Every field of a message has one of these (a test walks them all), so that a machine never meets NaN, a negative size,
or a list that costs it minutes: such a message is refused as a whole, with the reason, before anybody looks into it.

What people write is cut where it enters (a line of output, an error's text), or refused there (a key, an option); what
our own processes count stays far below.  So whoever sends something beyond a bound is broken or hostile, and its
session ends; nobody else's does.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from msgspec import Meta, MsgspecError, Struct
from msgspec.msgpack import decode, encode

NAME_LENGTH: Final = 16_384
"""Characters of a key or another name: four times what a client makes (``wellformed.py``)."""
TEXT_LENGTH: Final = 65_536
"""Characters of a text for people: eight times what a worker keeps of an error (``worker/results.py``)."""
BLOB_LENGTH: Final = 64 * 1024 * 1024
"""Bytes of a pickle: what a frame may have."""
DIGEST_LENGTH: Final = 64
"""Bytes of a digest; ours have 16."""
FEW: Final = 10_000
"""Entries of a list that our side keeps short: keys of one wish, lines of one call, workers of a host."""
MANY: Final = 4_000_000
"""Entries of what is as long as the cluster's books: inputs of a call, results of a host.  A frame ends before."""
MOST: Final = 2**53
"""Anything that is counted, and bytes of one thing: 8 PiB, which a float still counts exactly."""
TOTAL: Final = 2**62
"""Sums of those.  What is shown of a sum is cut there: a wrong number of one peer shall not end another's session."""
LARGE: Final = 1e18
"""Amounts, and seconds since the epoch: the age of the universe fits.  Sums may have the square of it."""

T = TypeVar("T")
K = TypeVar("K")

Count = Annotated[int, Meta(ge=0, le=MOST)]
"""How many, how large, which one."""
Serial = Annotated[int, Meta(ge=-TOTAL, le=TOTAL)]
"""A number that may be negative: attempts of placed data, ranks, digests, sums."""
Amount = Annotated[float, Meta(ge=0.0, le=LARGE)]
"""Seconds, rates, fractions and resources; never NaN, infinite or negative."""
Difference = Annotated[float, Meta(ge=-LARGE, le=LARGE)]
"""The same, or less than nothing: priorities, -1 for a duration that isn't known, moments, what is measured twice
and subtracted."""
Sum = Annotated[float, Meta(ge=-(LARGE**2), le=LARGE**2)]
"""Amounts of many calls."""
Interval = Annotated[float, Meta(ge=0.0, le=3600.0)]
"""Seconds between two pushes; 0: none any more."""
Crew = Annotated[int, Meta(ge=0, le=1024)]
"""Workers that one host is asked to keep; a larger number is a slip.  Kubernetes plans for 110 pods a node."""

Name = Annotated[str, Meta(max_length=NAME_LENGTH)]
Text = Annotated[str, Meta(max_length=TEXT_LENGTH)]
Blob = Annotated[bytes, Meta(max_length=BLOB_LENGTH)]

Few = Annotated[list[T], Meta(max_length=FEW)]
Many = Annotated[list[T], Meta(max_length=MANY)]
FewOf = Annotated[tuple[T, ...], Meta(max_length=FEW)]
ManyOf = Annotated[tuple[T, ...], Meta(max_length=MANY)]
Table = Annotated[dict[K, T], Meta(max_length=FEW)]
LongTable = Annotated[dict[K, T], Meta(max_length=MANY)]


def cut(text: str) -> str:
    """Return a text that was put together of others as one that fits: each had its bounds, their sum has none."""
    return text[:TEXT_LENGTH]


def problem_of(message: Struct) -> str:
    """Return why a peer would refuse a message or part; an empty text if it wouldn't.

    For what a person supplies and what is sent rarely: it costs an encoding and a decoding.
    """
    try:
        # By the peer's own check: a list of rules beside it would drift away from it.
        decode(encode(message), type=type(message))
    except (MsgspecError, OverflowError, UnicodeError) as error:
        return str(error).rstrip(".")
    return ""
