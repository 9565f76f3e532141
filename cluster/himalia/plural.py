"""Numbers of things in sentences.  Decides commas and the form of the noun, nothing else."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return how many there are of something whose plural has an *s*.

    >>> plural(1, "worker"), plural(0, "worker"), plural(2097, "line")
    ('1 worker', '0 workers', '2,097 lines')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
