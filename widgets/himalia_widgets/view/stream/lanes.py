"""Which rows a task stream has: one for each thread of a worker, in the order of worker and thread.

Where that would be more rows than a person can tell apart, one for each worker, or for each host.  Decides the rows
and what is written beside them; what is drawn in them is decided in ``stream.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from himalia.show.natural import natural
from himalia_widgets.view.calls import Lane
from himalia_widgets.view.history import History
from himalia_widgets.view.text import hover, label

MOST: Final = 200
"""Rows of one plot: in 400 pixels each still has two, a bar and what sets it off from the next."""
SPILLS: Final = "spill"
"""Last part of the name of a host's row for what its store moved to disk and back; the worker's is empty there."""


class Layout(NamedTuple):
    """Rows from top to bottom."""

    names: tuple[tuple[str, ...], ...]
    """What identifies each row; two layouts are the same if these are."""
    labels: tuple[str, ...]
    """What to write beside each row."""
    titles: tuple[str, ...]
    """The same in full, as a hover says it."""
    threads: tuple[int, ...]
    """Calls that may run at the same time in each row."""
    row_of_lane: npt.NDArray[np.int32]
    """Row of each of ``history.calls.lanes``; -1: not shown."""
    row_of_name: dict[tuple[str, ...], int]
    spill_row: dict[str, int]
    """Row for the store of each host, by host id."""

    @property
    def shared(self) -> bool:
        """Whether a row shows several threads."""
        return any(count > 1 for count in self.threads)

    def row_of_thread(self, host: str, worker: str, thread: int) -> int:
        """Return the row of a thread that may not have finished a call yet; -1 if it isn't shown."""
        rows = self.row_of_name
        # Whatever the rows are: only one of these three is a name here.
        return rows.get((host, worker, str(thread)), rows.get((host, worker), rows.get((host,), -1)))


def arrange(history: History, *, worker: str | None = None, most: int = MOST) -> Layout:
    """Return the rows for what is there now and what ran in the time that the history remembers.

    Parameters
    ----------
    worker : str, optional
        Show this worker's threads only.
    most : int
        Rows at most, as long as there are fewer hosts.
    """
    lanes = known_lanes(history, worker)
    by: Callable[[Lane], tuple[str, ...]] = by_thread
    if len(lanes) > most:
        # Hosts are shown however many there are.
        by = by_worker if len({by_worker(lane) for lane in lanes}) <= most else by_host
    hosts = dict.fromkeys(lane.host for lane in lanes)
    titles = {host: history.host_name(host) for host in hosts}
    # The id too: hosts may have one name, and their rows mustn't mix.
    ordered = sorted(lanes, key=lambda lane: (natural(titles[lane.host]), lane.host, natural(lane.worker), lane.thread))
    rows: dict[tuple[str, ...], int] = {}
    threads: list[int] = []
    # Below the workers of a host; where rows are hosts, or one worker's, there is no such place.
    spilling = history.spilling if worker is None and by is not by_host else set()
    spill_row: dict[str, int] = {}
    for index, lane in enumerate(ordered):
        name = by(lane)
        if name not in rows:
            rows[name] = len(threads)
            threads.append(0)
        threads[rows[name]] += 1
        last = index + 1 == len(ordered) or ordered[index + 1].host != lane.host
        if last and lane.host in spilling:
            spill_row[lane.host] = rows[(lane.host, "", SPILLS)] = len(threads)
            threads.append(1)
    # Of all lanes that ever were: calls in the ring name them by number.
    row_of_lane = np.array([rows.get(by(lane), -1) for lane in history.calls.lanes], np.int32)
    names = tuple(rows)
    firsts = [at == 0 or names[at - 1][:2] != name[:2] for at, name in enumerate(names)]
    labels = tuple(write(*row, titles) for row in zip(names, threads, firsts, strict=True))
    in_full = tuple(write_in_full(name, titles) for name in names)
    return Layout(names, labels, in_full, tuple(threads), row_of_lane, rows, spill_row)


def change(history: History) -> tuple[int, ...]:
    """Return what differs when the rows may differ; cheaper than :func:`arrange`."""
    # The minute, since lanes also go by time alone.
    return (history.membership, len(history.calls.lanes), len(history.spilling), int(history.now // 60))


def known_lanes(history: History, worker: str | None) -> list[Lane]:
    """Return the threads of workers that are there, and those that have finished a call lately."""
    oldest = history.now - history.seconds
    # A worker that never ran anything has rows, and one that is gone keeps them as long as its calls are shown.
    found = {Lane(view.host_id, view.name, thread) for _, view in history.workers for thread in range(view.nthreads)}
    calls = history.calls
    found.update(calls.lanes[number] for number, ended in calls.last_seen.items() if ended >= oldest)
    return [lane for lane in found if worker is None or lane.worker == worker]


def by_thread(lane: Lane) -> tuple[str, ...]:
    """Name a row for each thread."""
    return (lane.host, lane.worker, str(lane.thread))


def by_worker(lane: Lane) -> tuple[str, ...]:
    """Name a row for each worker."""
    return (lane.host, lane.worker)


def by_host(lane: Lane) -> tuple[str, ...]:
    """Name a row for each host."""
    return (lane.host,)


def write(name: tuple[str, ...], threads: int, is_first: bool, titles: dict[str, str]) -> str:
    """Return what stands beside a row; the name of a worker only beside the first of its threads."""
    match name:
        # First: a worker's thread has a name of the same length.
        case (host, "", _):
            return label(f"{titles[host]} disk", 28)
        case (_, worker, thread):
            return label(worker, 28) if is_first else f"· {thread}"
        case (_, worker):
            return label(worker, 28)
        case _:
            return label(f"{titles[name[0]]} ({threads})", 28)


def write_in_full(name: tuple[str, ...], titles: dict[str, str]) -> str:
    """Return what a hover says of a row."""
    match name:
        case (host, "", _):
            return hover(f"{titles[host]} disk")
        case (_, worker, thread):
            return hover(f"{worker} · {thread}")
        case (_, worker):
            return hover(worker)
        case _:
            return hover(titles[name[0]])
