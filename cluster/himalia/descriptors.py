"""How many files this process may have open.

It imports nothing that isn't there: it is called when no file can be opened any more, and by workers, whose start is
short.
"""

from __future__ import annotations

import resource


def allow_more_files() -> bool:
    """Raise the soft limit of open files to the hard one, and return whether that was possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return False
    try:
        # The soft limit is low for programs that use select(), which fails beyond 1024; ours don't.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS answers so above kern.maxfilesperproc
        return False
    return True
