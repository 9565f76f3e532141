"""Why a worker process died, as far as that is known.

A call that was running is to blame for a crash and for memory that ran out.  Of a signal that somebody else sent (a
person, a batch system, a container that is stopped) it knows as little as anybody, so it must not pay for that; the
scheduler counts such deaths for little (``scheduler/deaths.py``).  What tells the two apart:

- signals that only faults raise, and exit codes: a crash;
- the kernel's count of processes that it killed for want of memory, which rose: memory;
- a process says beforehand that it sends a signal to itself (``worker/self_signals.py``): a crash;
- any other signal that can be sent: from outside.
"""

from __future__ import annotations

from typing import Final

from himalia.messages.nanny import DeathCause

SENT: Final = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM"})
"""Signals that are sent by somebody, and by no fault."""


def judge(exit: str, *, was_told: bool, out_of_memory: bool | None) -> tuple[str, DeathCause]:
    """Return how a process ended in a few words, and what follows for what it ran.

    Parameters
    ----------
    exit : str
        ``exit code 1`` or ``signal SIGKILL``.
    was_told : bool
        Whether it said that it sends itself a signal.
    out_of_memory : bool or None
        Whether the kernel killed something for want of memory meanwhile; ``None`` where it doesn't tell.
    """
    word, _, name = exit.partition(" ")
    # SIGSEGV, SIGABRT and the like can be sent by anybody, too, but nobody does.
    if word != "signal" or name not in SENT:
        return exit, "crash"
    if was_told:
        return f"{exit}, which it sent to itself", "crash"
    # The kernel kills for want of memory by SIGKILL only.
    if name != "SIGKILL":
        return f"{exit}, sent from outside", "outside"
    if out_of_memory:
        return f"{exit}, by a kernel that was out of memory", "memory"
    if out_of_memory is None:
        return f"{exit}, sent from outside (or by a kernel without memory, which this system doesn't tell)", "outside"
    return f"{exit}, sent from outside (not for want of memory: the kernel counts those)", "outside"
