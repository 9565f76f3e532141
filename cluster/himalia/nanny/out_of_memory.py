"""The kernel's own count of processes that it killed for want of memory.

It is looked at when a worker starts and when one was killed, so that nobody has to guess what a SIGKILL meant.  The
whole host's count (``/proc/vmstat``) and that of our control group are read, whichever exist; a container may hide
both.
"""

from __future__ import annotations

from typing import Final

VMSTAT: Final = "/proc/vmstat"
GROUPS: Final = "/sys/fs/cgroup"


class OutOfMemoryCount:
    """How often the kernel killed for want of memory since the last look."""

    def __init__(self) -> None:
        self._files = [VMSTAT, *_group_files()]
        self._last = self._read()

    def rose(self) -> bool | None:
        """Return whether a count rose since the last call; ``None`` if the kernel doesn't tell."""
        before, self._last = self._last, self._read()
        # A control group can vanish under a running process.
        known = before.keys() & self._last.keys()
        return any(self._last[path] > before[path] for path in known) if known else None

    def _read(self) -> dict[str, int]:
        found = {}
        for path in self._files:
            count = _read_count(path)
            if count is not None:
                found[path] = count
        return found


def _read_count(path: str) -> int | None:
    try:
        with open(path) as file:
            for line in file:
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    except (OSError, ValueError):
        pass
    return None


def _group_files() -> list[str]:
    """Return where this process's control group may count: of version 2, and of version 1's memory controller."""
    try:
        with open("/proc/self/cgroup") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return []
    files = []
    for fields in lines:
        if len(fields) == 3 and fields[0] == "0":
            files.append(f"{GROUPS}{fields[2]}/memory.events")
        elif len(fields) == 3 and "memory" in fields[1].split(","):
            files.append(f"{GROUPS}/memory{fields[2]}/memory.oom_control")
    return files
