"""Telling the nanny when a call ends its own process by a signal.

To the nanny, ``os.kill(os.getpid(), signal.SIGKILL)`` looks like a SIGKILL that somebody else sent, for which the call
would not be to blame.  So the few functions that send signals say it first, if the receiver is this process.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from typing import Any


def watch_own_end(tell: Callable[[int], None]) -> None:
    """Have ``tell(signal)`` called before this process sends itself a signal that may end it."""
    own = os.getpid()
    # All ways in which a pid names this process: itself, its group, everybody.
    group = {own, 0, -1, -os.getpgrp()}

    def watched(send: Callable[..., Any], is_own: Callable[[Any], bool]) -> Callable[..., Any]:
        @functools.wraps(send)
        def wrapper(*args: Any) -> Any:
            # A fork that ends itself ends no worker; signal 0 only asks whether somebody is there.
            if args and args[-1] and os.getpid() == own and is_own(args[0]) and _may_end(args[-1]):
                tell(int(args[-1]))
            return send(*args)

        return wrapper

    os.kill = watched(os.kill, lambda pid: pid in group)
    os.killpg = watched(os.killpg, lambda pid: pid in (0, os.getpgrp()))
    signal.raise_signal = watched(signal.raise_signal, lambda number: True)


def _may_end(number: Any) -> bool:
    """Whether a signal ends a process that does nothing about it."""
    try:
        return signal.getsignal(number) in (signal.SIG_DFL, None) or number == signal.SIGKILL
    except (ValueError, TypeError):  # the call itself will say so
        return False
