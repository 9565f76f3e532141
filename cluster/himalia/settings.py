"""Numbers that machines and shells are given; nothing here is read from the environment behind their backs.

Every number has its unit and where it came from; ``guess`` is an honest origin.
"""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * KIB


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One set of numbers for one process; they travel to nobody, each process is started with its own."""

    tick_interval: float = 0.1
    """Seconds between two ``Ticked`` events: small against every lease below, and what a person takes for at once.
dask.distributed steals and looks at memory as often."""
    heartbeat_interval: float = 0.5
    """Seconds between a nanny's heartbeats: tables of a view move twice a second.  dask.distributed has the same
    for up to ten workers."""
    host_lease: float = 30.0
    """Seconds a cut-off host is waited for.  distributed's worker-ttl is 300 s, TCP alone would take 15 minutes."""
    loopback_lease: float = 5.0
    """The same for a host on loopback: it is this machine, or the end of a tunnel, which may come back in a moment."""
    local_lease: float = 1.0
    """The same for a peer on a Unix socket: there a cut means that the process is gone."""
    client_lease: float = 60.0
    """Seconds a cut-off client keeps its futures: a laptop's lid closed for a moment."""
    client_window: int = 32 * MIB
    """Bytes under way to a client beyond which it is sent less: more than what one that reads gets between two ticks
    (320 MB/s), and ten followers that stand still cost 40 MiB (``scheduler/window.py``)."""
    inline_limit: int = 32 * KIB
    """Bytes of a packed value that still rides inside a message.  Copying it costs less than 10 µs a hop."""
    copy_limit: int = 256 * KIB
    """Bytes up to which a reader copies a range of the arena instead of mapping it (a mapping costs about 40 µs)."""
    fork_workers: bool = True
    """Whether workers are forks of a process that has imported what they need, where the system has forks (Linux)."""
    nursery: int = 8 * MIB
    """Bytes of arena a worker is granted at once, so that most results need no question.  With 1 MiB, calls
    that return 256 KiB took a third longer; 32 MiB gained nothing (measured with two workers on two cores)."""
    strikes: int = 3
    """Worker deaths after which a call is blamed."""
    queue_seconds: float = 0.05
    """Seconds of expected work that a host is sent ahead of what its threads run, so that it never starves."""
    queue_limit: int = 1000
    """Calls that a host is sent ahead at most."""
    unknown_duration: float = 0.02
    """Seconds a call of a group never seen before is expected to take; the first completion replaces it.  Guess: below
    ``queue_seconds``, so that two or three wait ready behind each that runs, and not far below, or many long calls lie
    on one host before anybody knows better.  (dask.distributed: 0.5, but it sends 1.1 a thread.)"""
    bandwidth: float = 200e6
    """Bytes/s between two hosts.  As much crosses loopback with both ends in one thread (measured), a gigabit line
    carries 125e6; dask.distributed begins with 100e6."""
    latency: float = 0.001
    """Seconds that any transfer takes at least.  Over loopback a small value takes 0.13 ms (measured); a busy loop on
    either side adds its turn.  dask.distributed reckons with 0.1 s where it steals (``LATENCY``)."""
    steal_duration: float = 0.005
    """Seconds below which a queued call isn't worth moving to an idle host."""
    interrupt_grace: float = 1.0
    """Seconds a cancelled call has to react to its interrupt before its worker is replaced (2 s are promised)."""
    memory_target: float = 0.60
    """Fraction of the store's limit above which the coldest ranges go to disk (distributed's default)."""
    memory_pause: float = 0.80
    """Fraction above which no new work starts (distributed's default)."""
    memory_terminate: float = 0.95
    """Fraction of a worker's own limit above which it is restarted (distributed's default)."""
    telemetry_ring: int = 20_000
    """Records the scheduler keeps.  At about 400 bytes each: 8 MB."""
    telemetry_records: int = 2_000
    """Records in one push to a follower: what a plot of a few hundred pixels can show."""
    function_cache: int = 1_000
    """Functions a sender assumes its peer remembers; older ones are forgotten and sent again when needed."""
    log_lines: int = 1_000
    """Lines of output kept per worker."""
    output_rate: int = 200
    """Lines/s that one worker's calls may print before lines are dropped and counted; five seconds' worth at once."""
    profile_interval: float = 1.0
    """Seconds between two looks at calls that have been running for longer than that."""
    profile_lease: float = 10.0
    """Seconds that sampling stays fast after a profile was asked for."""


DEFAULT = Settings()
