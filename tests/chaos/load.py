"""What runs while processes are killed: calls of many kinds, each of which knows its right answer.

A round submits some of everything at once and checks what comes back; it never retries, and never looks away.
"""

from __future__ import annotations

import operator
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from himalia import Client
from himalia.errors import DataLostError

Check = tuple[str, Any, Callable[[Any], bool]]
"""What it is, its future, and whether a result is right."""


class Wrong(Exception):
    """A value isn't what it should be, or a call has an error that isn't its own."""


class Invalid(Exception):
    """Raised by calls on purpose."""

    def __init__(self, field: str, number: int) -> None:
        super().__init__(f"{field}: {number}")
        self.number = number


def work(number: int, seconds: float) -> int:
    """Take some time."""
    time.sleep(seconds)
    return number * number


def compute(number: int, size: int) -> Any:
    """Fill an array."""
    return np.full(size, number, dtype="i8")


def fail(number: int) -> int:
    """Raise."""
    raise Invalid("number", number)


def checks(client: Client, chance: random.Random, turn: int) -> Iterator[Check]:
    """Submit one round, and yield what to expect of it."""
    base = turn * 1000
    for number in range(base, base + 20):
        yield "short", client.submit(work, number, 0.0, pure=False), lambda value, n=number: value == n * n  # type: ignore[misc]
    for number in range(base, base + 3):
        seconds = chance.uniform(0.1, 1.0)
        yield "long", client.submit(work, number, seconds, pure=False), lambda value, n=number: value == n * n  # type: ignore[misc]
    arrays = [client.submit(compute, base + n, 50_000 * (1 + n), pure=False) for n in range(4)]
    yield "array", arrays[-1], lambda value: bool((value == base + 3).all()) and value.size == 200_000
    sums = [client.submit(np.sum, array, pure=False) for array in arrays]
    yield (
        "sum",
        client.submit(sum, sums, pure=False),
        lambda value: int(value) == sum((base + n) * 50_000 * (1 + n) for n in range(4)),
    )
    level = client.map(operator.mul, range(32), range(32), pure=False)
    while len(level) > 1:
        level = [client.submit(operator.add, *level[at : at + 2], pure=False) for at in range(0, len(level), 2)]
    yield "tree", level[0], lambda value: value == sum(n * n for n in range(32))
    yield (
        "error",
        client.submit(fail, base, pure=False),
        lambda value: isinstance(value, Invalid) and value.number == base,
    )
    placed = client.scatter({f"placed-{turn}": list(range(turn, turn + 100))})[f"placed-{turn}"]
    yield "scatter", client.submit(sum, placed, pure=False), lambda value: value == sum(range(turn, turn + 100))
    if turn % 3 == 0:
        yield "dask", client.compute(_collection(turn)), lambda value: float(value) == float((turn + 1) * 2 * 300 * 300)
    if turn % 3 == 1:
        yield "in place", client.compute(_written(turn)), lambda value: float(value) == (5.0 * turn + 2) * 800 * 800
    if turn % 3 == 2:
        yield "overlap", client.compute(_overlapping(turn)), lambda value: float(value) == float(turn * 27 * 800 * 800)


def _collection(turn: int) -> Any:
    import dask.array as da

    array = da.full((300, 300), turn + 1, chunks=(100, 100))
    return (array + array.T).sum()


def _written(turn: int) -> Any:
    """Return a sum to which a call that writes to its input contributes twice, and that input itself."""
    import dask.array as da

    # Not what da.full() makes: that is one element that looks like many, and nothing can write to it.
    array = da.full((800, 800), turn - 1, chunks=(200, 400), dtype="f8") + 1
    array = array.rechunk((400, 200))  # or the calls below become one, which changes an array of its own
    return array.map_blocks(double).sum() + array.map_blocks(double, meta=array._meta).sum() + array.sum()


def double(block: Any) -> Any:
    """Write to the input."""
    block *= 2
    block += 1
    return block


def _overlapping(turn: int) -> Any:
    import dask.array as da

    array = da.full((800, 800), turn, chunks=(200, 200), dtype="i8")
    for _ in range(3):
        array = array.map_overlap(add_neighbours, depth=1, boundary="reflect")
    return array.sum()


def add_neighbours(block: Any) -> Any:
    """Add what is beside each element, which is the same."""
    return block + np.roll(block, 1, 0) + np.roll(block, 1, 1)


def run_round(client: Client, chance: random.Random, turn: int, *, timeout: float, may_lose: bool) -> tuple[int, int]:
    """Run a round; return how many calls were checked, and how many honestly reported lost scattered data.

    Raises
    ------
    Wrong
        If anything else happened.
    """
    count = lost = 0
    deadline = time.monotonic() + timeout
    for kind, future, is_right in list(checks(client, chance, turn)):
        try:
            value: Any = future.result(max(0.1, deadline - time.monotonic()))
        except DataLostError as error:
            if not (may_lose and kind == "scatter"):
                raise Wrong(f"{kind} of round {turn}: {error!r}") from error
            lost += 1
            continue
        except Invalid as error:
            value = error
        except Exception as error:
            said = future.explain() if future.status == "pending" else ""
            raise Wrong(f"{kind} of round {turn}: {error!r} {said}") from error
        if not is_right(value):
            raise Wrong(f"{kind} of round {turn} gave {str(value)[:100]}")
        count += 1
    return count, lost
