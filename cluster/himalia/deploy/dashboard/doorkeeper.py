"""The process that keeps a dashboard's port until somebody comes: the first visitor pays for the server, not the start.

``python -I -S doorkeeper.py FD COMMAND…`` inherits a listening socket.  With the first connection it becomes COMMAND,
which accepts that connection; with the end of its standard input, the leash, it ends.  The configuration that lies in
the leash (with secrets) it leaves unread, for COMMAND.  It imports nothing beyond the standard library.
"""

from __future__ import annotations

import os
import select
import sys


def keep(door: int, command: list[str]) -> None:
    """Wait for a visitor or the end, and return only at the end."""
    poll = select.poll()
    poll.register(0, 0)  # of the leash its end alone, which is always reported
    poll.register(door, select.POLLIN)
    if not any(fd == 0 for fd, _ in poll.poll()):
        # The same process: its leash, its number and the socket stay, so whoever started it notices nothing.
        os.execv(command[0], command)


if __name__ == "__main__":
    keep(int(sys.argv[1]), sys.argv[2:])
    # Python's own shutdown would only take time: nothing here has to be closed.
    os._exit(0)
