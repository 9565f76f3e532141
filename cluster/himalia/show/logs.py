"""Log lines as people read them: of many processes, as text, as static HTML that folds.

How lines are written is said here; which ones there are, elsewhere.
"""

from __future__ import annotations

from collections.abc import Container
from html import escape

from himalia.messages.answers import ProcessLogs
from himalia.plural import plural


class Logs(dict[str, str]):
    """The output of processes by their names; in a notebook each folds."""

    def _repr_html_(self) -> str:
        # Folded: the output of a whole cluster is long, and somebody looks for one process.
        return "".join(
            f"<details><summary>{escape(name)} ({plural(len(text.splitlines()), 'line')})</summary>"
            f'<pre style="white-space: pre-wrap;">{escape(text)}</pre></details>'
            for name, text in self.items()
        )


def texts_of(logs: ProcessLogs, nannies: Container[str] = ()) -> dict[str, list[str]]:
    """Return the lines of each process, as they were written; a line says why there are none.

    What the nannies of these names logged is called so: the nanny of a LocalCluster has the cluster's name.
    """
    found = {
        f"log of nanny {name}" if name in nannies else name: [line.text for line in lines]
        for name, lines in logs.lines.items()
    }
    # In the place of its lines, so that a host that said nothing isn't taken for one that is quiet.
    return found | {address: [why] for address, why in logs.problems.items()}
