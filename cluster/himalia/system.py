"""What this machine is and has: identity, processors, memory, package versions.

This file asks the system; what follows from the answers (how many workers, how much memory each) is decided elsewhere.
Files of ``/proc`` and ``/sys`` that aren't there, or that say something unexpected, count as "no limit".
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import os
import platform
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PACKAGES: Final = (
    "cloudpickle",
    "msgspec",
    "dask",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
    "torch",
    "xarray",
    "uvloop",
)
"""Packages whose versions are compared between client and workers: those whose objects users send most."""

_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
_NO_LIMIT: Final = 1 << 60
"""Cgroup v1 says "unlimited" with a number about this large."""


@functools.cache
def machine_identity() -> str:
    """Return what two processes have in common if they may open each other's memory: boot, process namespace, user.

    A container has its own namespace of processes, and so does not count as the same machine as its host.
    """
    boot = _read(Path("/proc/sys/kernel/random/boot_id"))
    if boot is None:  # macOS
        import psutil

        boot = f"{platform.node()} {psutil.boot_time():.0f}"
    try:
        # Numbers of processes are compared by this identity, and mean something within one namespace only.
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    text = f"{boot} {namespace} {os.getuid()}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def cpu_count() -> int:
    """Return the processors this process may use: affinity and cgroup quotas count, a part of one counts as one."""
    # Not all processors: batch systems and containers pin a job to its own.
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _cgroups("cpu"):
        quota = _cpu_quota(group)
        if quota is not None:
            # Rounded up: half a processor still needs a worker.
            count = min(count, math.ceil(quota))
    return max(count, 1)


def memory_limit() -> int:
    """Return the bytes of memory that this process and its children may use: machine, cgroups, resource limits."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for group in _cgroups("memory"):
        # The names of cgroups 2 and 1; hosts of either kind are in use.
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(group / name)
            # Version 2 says "max", version 1 a number near 2**63: both mean that there is no limit.
            if text is not None and text.isdecimal() and 0 < int(text) < _NO_LIMIT:
                limit = min(limit, int(text))
    # Some batch systems limit jobs by these, and not by cgroups.
    for kind in (resource.RLIMIT_RSS, resource.RLIMIT_AS):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY and soft > 0:
            limit = min(limit, soft)
    return limit


def host_memory() -> int:
    """Return the bytes of memory in use on this machine, by anybody."""
    import psutil

    memory = psutil.virtual_memory()
    return int(memory.total - memory.available)


def rss(pid: int) -> int:
    """Return the bytes of memory that belong to a process alone; 0 if it is gone.

    Pages shared with others are left out: mapped results are the store's, and are counted there.
    """
    if sys.platform == "linux":
        text = _read(Path(f"/proc/{pid}/statm"))
        if text is None:
            return 0
        resident, shared = (int(field) for field in text.split()[1:3])
        return (resident - shared) * resource.getpagesize()
    import psutil

    try:
        # Of macOS: what is shared isn't told apart there.
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def open_files() -> int:
    """Return how many files, sockets and pipes this process has open."""
    if sys.platform == "linux":
        return len(os.listdir("/proc/self/fd")) - 1  # the listing itself is one
    import psutil

    return int(psutil.Process().num_fds())


def network_bytes() -> tuple[int, int]:
    """Return the bytes that this machine received and sent since it started, on all interfaces but loopback."""
    if sys.platform == "linux":
        lines = (_read(Path("/proc/net/dev")) or "").splitlines()[2:]
        counters = [rest.split() for name, _, rest in (line.partition(":") for line in lines) if name.strip() != "lo"]
        return sum(int(fields[0]) for fields in counters), sum(int(fields[8]) for fields in counters)
    import psutil

    cards = psutil.net_io_counters(pernic=True)
    others = [card for name, card in cards.items() if not name.startswith("lo")]
    return sum(card.bytes_recv for card in others), sum(card.bytes_sent for card in others)


@functools.cache
def trim_heap() -> None:
    """Give the free memory of this process's heap back to the system; any thread, others run meanwhile."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except AttributeError:  # not glibc
            pass


def give_way(nice: int) -> None:
    """Let other processes of this machine go first; ``nice`` as in ``nice(1)``.  For a process that leads its session.

    Where Linux groups processes by session (``sched_autogroup_enabled``), niceness counts within a session only, and
    the session has one of its own.
    """
    # Cached by its decorator, since a nice value adds up with each call.
    os.nice(nice)
    try:
        Path("/proc/self/autogroup").write_text(str(nice))
    except OSError:
        pass  # there are no such groups


def versions() -> dict[str, str]:
    """Return the versions of Python, of himalia and of the packages in :data:`PACKAGES` that are installed."""
    from importlib import metadata

    from himalia.version import __version__

    found = {"python": platform.python_version(), "himalia": __version__}
    for name in PACKAGES:
        try:
            # From the metadata: an import of torch takes seconds.
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found


def process_state(pid: int) -> str:
    """Return the letter of a process's state (``man proc``: R, S, D, T, t, Z); empty where that isn't known."""
    if sys.platform != "linux":
        return ""
    try:
        # After the last parenthesis: the name before it may have some itself.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal (SIGSTOP); one that a debugger holds isn't meant."""
    return process_state(pid) == "T"


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return None


def _cgroups(controller: str) -> Iterator[Path]:
    """Yield the directories of this process's cgroup and of all above it: the tightest limit of them holds."""
    for line in (_read(Path("/proc/self/cgroup")) or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            root = _CGROUP_ROOT
        elif controller in controllers.split(","):
            root = _CGROUP_ROOT / controllers if (_CGROUP_ROOT / controllers).exists() else _CGROUP_ROOT / controller
        else:
            continue
        group = root / path.lstrip("/")
        while group != root and root in group.parents:
            yield group
            group = group.parent
        yield root  # in a container the root is its own group


def _cpu_quota(group: Path) -> float | None:
    """Return the processors a cgroup may use, as a fraction."""
    quota, period = "", ""
    if (text := _read(group / "cpu.max")) is not None:
        quota, _, period = text.partition(" ")
    else:
        quota = _read(group / "cpu.cfs_quota_us") or ""
        period = _read(group / "cpu.cfs_period_us") or ""
    if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:
        return int(quota) / int(period)
    return None
