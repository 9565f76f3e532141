"""How tests that wait for other processes are dealt to several: a file's together, in the order of the command line.

What the tests of a file share, such as a cluster or a kernel, is then started once.  Files whose tests share nothing
are dealt out test by test, so that no process has a long file to itself while the others are done.
"""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadFileScheduling

APART: Final = {
    f"tests/integration/{name}.py"
    for name in (
        "test_command_line",
        "test_interrupts",
        "test_kills",
        "test_nanny_process",
        "test_pages_that_stand_still",
        "test_several_hosts",
        "test_standing_still",
        "test_worker_process",
    )
}
"""Files whose tests share nothing."""


class Spreading(LoadFileScheduling):
    """Deals files out as ``--dist loadfile`` does, but those of ``APART`` test by test."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the name of the portion that a test belongs to: what xdist asks a scheduler of this kind."""
        file = nodeid.partition("::")[0]
        return nodeid if file in APART else file
