"""What user code was doing: samples of stacks as a tree, and the tree as the rectangles of a flame graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

Samples = Mapping[str, Iterable[tuple[float, str, int]]]
"""By worker: time in epoch seconds, stack (``function (file:line)`` joined by ``;``, outermost first), count."""

DEEPEST: Final = 60
"""Frames drawn of a stack."""
NARROWEST: Final = 1 / 1000
"""Part of the whole below which a frame is less than a pixel."""


@dataclass(slots=True)
class Node:
    """A frame in a certain place of the tree."""

    frame: str
    count: int = 0
    """Samples in it or in what it called."""
    own: int = 0
    """Samples in it."""
    children: dict[str, Node] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Flame:
    """One rectangle: ``left`` and ``right`` are parts of the whole, ``depth`` counts from 0, the outermost."""

    left: float
    right: float
    depth: int
    function: str
    place: str
    """``file:line``."""
    count: int
    own: int


def tree(
    samples: Samples,
    *,
    since: float = 0.0,
    function: str | None = None,
    worker: str | None = None,
) -> Node:
    """Return the samples as one tree below a root without a name.

    Parameters
    ----------
    since : float
        Only samples from then on, epoch seconds.
    function : str, optional
        Only stacks in which it occurs, from there on.
    worker : str, optional
        Only this worker's.
    """
    root = Node("")
    for name, rows in samples.items():
        if worker is not None and name != worker:
            continue
        for time, stack, count in rows:
            if since <= time:
                # Deeper than is drawn, since a function may begin far in; not all of it, since recursion has no end.
                frames = stack.split(";")[: DEEPEST * 4]
                if function is not None:
                    first = next((at for at, frame in enumerate(frames) if split(frame)[0] == function), None)
                    if first is None:
                        continue
                    # Without its callers: the tree begins at it, wherever it was called from.
                    frames = frames[first:]
                add(root, frames[:DEEPEST], count)
    return root


def add(root: Node, frames: list[str], count: int) -> None:
    """Count one stack."""
    node = root
    node.count += count
    for frame in frames:
        child = node.children.get(frame)
        if child is None:
            child = node.children[frame] = Node(frame)
        node = child
        node.count += count
    node.own += count


def flames(root: Node, *, most: int = 4000) -> list[Flame]:
    """Return the rectangles, widest first at each level, without those too narrow to be seen."""
    if not root.count:
        return []
    found: list[Flame] = []
    level = [(0.0, root)]
    depth = 0
    while level and len(found) < most:
        below = []
        for left, node in level:
            for child in sorted(node.children.values(), key=lambda child: -child.count):
                # Of all samples, not of its parent's: a rectangle is never wider than what it stands on.
                width = child.count / root.count
                if width >= NARROWEST:
                    function, place = split(child.frame)
                    found.append(Flame(left, left + width, depth, function, place, child.count, child.own))
                    below.append((left, child))
                # Past what is too narrow, too, so that the others stand where they belong.
                left += width
        level = below
        depth += 1
    return found[:most]


def functions(samples: Samples, *, most: int = 200) -> list[tuple[str, int]]:
    """Return the functions that occur, with the number of samples they are in, most frequent first."""
    counts: dict[str, int] = {}
    for rows in samples.values():
        for _, stack, count in rows:
            # Once for each stack: a function that calls itself isn't in it twice.
            for name in {split(frame)[0] for frame in stack.split(";")}:
                counts[name] = counts.get(name, 0) + count
    return sorted(counts.items(), key=lambda item: -item[1])[:most]


def split(frame: str) -> tuple[str, str]:
    """Return function and place of ``function (file:line)``."""
    function, _, place = frame.rpartition(" (")
    return (function, place.rstrip(")")) if function else (frame, "")
