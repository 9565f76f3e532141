"""What user code was doing, as a client shows it: the functions in which the most time was spent.

Decides how stacks become a table.  Who is looked at, and how often, is the nannies' business; the flame graph is the
widgets'.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

import msgspec

from himalia.messages.answers import ProfileSamples
from himalia.plural import plural
from himalia.show.unseen import RULE

ROWS: Final = 15
"""Functions in a table."""
STYLE: Final = "text-align:left;padding:1px 12px 1px 0;font-family:var(--jp-code-font-family,monospace)"
FEW: Final = 20
"""Samples that say nothing yet; a worker that is looked at closely gives so many in less than a second.  A guess."""
ADVICE: Final = (
    f"{RULE}. This question began that: ask again while they run. To see the whole of a computation, call "
    "client.profile() before it, and at least every ten seconds during it."
)

Sample = tuple[float, str, int]


class FunctionTime(msgspec.Struct, frozen=True):
    """Samples of one function: in itself (``own``), and in it or what it called (``total``)."""

    function: str
    file: str
    own: int
    total: int


class Profile:
    """Samples of what calls did.

    Attributes
    ----------
    samples : dict
        By worker: ``(time, stack, count)``; a stack is ``function (file:line)`` joined by ``;``, outermost first.
    problems : dict
        By nanny address: why that host can't be looked at.
    """

    def __init__(self, answer: ProfileSamples, *, stop: float = float("inf")) -> None:
        self.problems = dict(answer.problems)
        # The end is looked for here: a question names a beginning only.
        self.samples: dict[str, list[Sample]] = {
            name: [sample for sample in samples if sample[0] <= stop] for name, samples in answer.samples.items()
        }

    @property
    def count(self) -> int:
        """Samples in all."""
        return sum(count for rows in self.samples.values() for _, _, count in rows)

    def functions(self) -> list[FunctionTime]:
        """Return all functions, those with the most samples of their own first."""
        return count_functions(row for rows in self.samples.values() for row in rows)

    def __repr__(self) -> str:
        return "\n".join([self._headline(), *(f"{own:>6}  {total:>6}  {name}" for own, total, name in self._table())])

    def _repr_html_(self) -> str:
        cells = ["".join(f"<td style='{STYLE}'>{escape(cell)}</td>" for cell in row) for row in self._table()]
        rows = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<p>{escape(self._headline())}</p><table>{rows}</table>"

    def _headline(self) -> str:
        parts = [f"{address}: {why}" for address, why in self.problems.items()]
        if self.count:
            parts.insert(0, f"{plural(self.count, 'sample')} of {plural(len(self.samples), 'worker')}")
            parts += [ADVICE] if self.count < FEW else []
        elif not parts:
            parts.append(f"No samples. {ADVICE}")
        return "\n".join(parts)

    def _table(self) -> list[tuple[str, str, str]]:
        if not self.count:
            return []
        found = [
            (f"{one.own / self.count:.0%}", f"{one.total / self.count:.0%}", f"{one.function} ({one.file})")
            for one in self.functions()[:ROWS]
        ]
        return [("own", "total", "function"), *found]


def count_functions(samples: Iterable[Sample]) -> list[FunctionTime]:
    """Return how often each function was seen; a recursive one counts once in each stack."""
    own: dict[str, int] = {}
    total: dict[str, int] = {}
    for _, stack, count in samples:
        # Without its line, which is another one in nearly each sample.
        names = [frame.rpartition(":")[0] for frame in stack.split(";")]
        own[names[-1]] = own.get(names[-1], 0) + count
        for name in set(names):
            total[name] = total.get(name, 0) + count
    found = []
    for name, seen in total.items():
        function, _, file = name.rpartition(" (")
        found.append(FunctionTime(function, file, own.get(name, 0), seen))
    return sorted(found, key=lambda one: (-one.own, -one.total, one.function))
