"""Break one decision of the runtime at a time, and see whether the simulator notices: ``python scripts/mutants.py``.

Each mutant is one wrong line, as a tired engineer might write it: a comparison that lets too much through, a book that
isn't kept, somebody who isn't told.  It is found if one of so many seeds fails with it.  One that isn't found says what
the simulated world lacks.  ``tests/unit/project/test_mutants.py`` sees to it that the lines to break still exist.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cluster" / "himalia"
# Wires that are made of real endpoints (himalia.testing): what is broken in comm/ shows on these alone.
REAL = "real"


class Mutant(NamedTuple):
    """One wrong line."""

    file: str
    """Below ``cluster/himalia``."""
    old: str
    """What stands there once."""
    new: str
    why: str
    """What goes wrong with it."""
    wires: str = ""
    """Which wires it is looked for on; empty: those that each seed draws."""


MUTANTS = (
    # What the scheduler believes
    Mutant(
        "scheduler/transitions.py",
        "    if task is None or task.attempt != message.attempt or task.status is not ASSIGNED or task.host is not host:\n"
        "        waste(host, message.attempt, message.timing)\n        discard",
        "    if task is None or task.status is not ASSIGNED or task.host is not host:\n"
        "        waste(host, message.attempt, message.timing)\n        discard",
        "the result of an older attempt is taken for that of the newer one",
    ),
    Mutant(
        "scheduler/freeing.py",
        "        if task.wanted_by or task.waiters or task.protected or task.status is FORGOTTEN:",
        "        if task.waiters or task.protected or task.status is FORGOTTEN:",
        "what a client holds is freed",
    ),
    Mutant(
        "scheduler/freeing.py",
        "        if task.wanted_by or task.waiters or task.protected or task.status is FORGOTTEN:",
        "        if task.wanted_by or task.protected or task.status is FORGOTTEN:",
        "inputs are freed before what needs them has run",
    ),
    Mutant(
        "scheduler/transitions.py",
        "            if dependent.waiting_on == 0:\n                ready.append(dependent)",
        "            if dependent.waiting_on <= 1:\n                ready.append(dependent)",
        "a call is placed one input too early",
    ),
    Mutant(
        "scheduler/transitions.py",
        "        client.window.held.pop(task.key, None)  # a key that is used again must not get news of the task before\n",
        "        pass\n",
        "news that were held back come after the release of their future",
    ),
    Mutant(
        "scheduler/freeing.py",
        "    state.to_free.setdefault(host, []).append((key, attempt))\n    bury",
        "    bury",
        "results that nobody wants any more stay at their host",
    ),
    Mutant(
        "scheduler/transitions.py",
        "    if task.retries > 0:\n        task.retries -= 1",
        "    if task.retries > 1:\n        task.retries -= 1",
        "one retry less than was asked for",
    ),
    Mutant(
        "scheduler/freeing.py",
        "        elif task.status is FINISHED and not (task.placed and task.dependents):",
        "        elif task.status is FINISHED:",
        "placed data go though something that was lost has to be computed from them again",
    ),
    Mutant(
        "scheduler/deaths.py",
        "            elif dependent.status is WAITING:\n                dependent.waiting_on += 1\n    needed",
        "            elif dependent.status is WAITING:\n                pass\n    needed",
        "a waiting call doesn't hear that its input was lost",
    ),
    Mutant(
        "scheduler/deaths.py",
        "            if dependent.status is QUEUED:\n                move(dependent, WAITING)",
        "            if dependent.status is RELEASED:\n                move(dependent, WAITING)",
        "a call that is held back keeps its place though its input was lost",
    ),
    Mutant(
        "scheduler/deaths.py",
        "    lost = [task for task in list(host.held) if drop_holder(task, host)]",
        "    lost = [task for task in list(host.held) if drop_holder(task, host) and False]",
        "results of a host that left are not computed again",
    ),
    Mutant(
        "scheduler/deaths.py",
        "            start_again(state, task)\n            continue\n        text = killed_text",
        "            continue\n        text = killed_text",
        "a call whose worker died isn't run again",
    ),
    Mutant(
        "scheduler/deaths.py",
        "        task.strikes += weight",
        "        task.strikes += 2 * weight",
        "a call is blamed for half as many deaths as it takes",
    ),
    Mutant(
        "scheduler/deaths.py",
        "    if not message.blamed:\n        return 0.0",
        "    if not message.blamed:\n        return 1.0",
        "calls are blamed for what their nanny did",
    ),
    Mutant(
        "scheduler/deaths.py",
        "        if task is None or host is None or task.status is not FINISHED or task.attempt != attempt:\n",
        "        if task is None or host is None or task.status is not FINISHED:\n",
        "a complaint about an older result strikes the newer one",
    ),
    Mutant(
        "scheduler/deaths.py",
        "    if task is None or task.status is not FINISHED or task.attempt != message.attempt:\n        state.to_free",
        "    if task is None or task.status is not FINISHED:\n        state.to_free",
        "a copy of an older result counts as one of the newer",
    ),
    Mutant(
        "scheduler/placement.py",
        "    state.send(host, Withdraw(task.key, attempt, interrupt))\n",
        "    state.send(host, Withdraw(task.key, attempt, False))\n",
        "cancelled calls run on",
    ),
    Mutant(
        "scheduler/placement.py",
        "        worker.assigned += 1\n        change_used(worker, zombie.resources, +1)\n",
        "        worker.assigned += 1\n",
        "what a withdrawn call still occupies is given away",
    ),
    Mutant(
        "scheduler/placement.py",
        "    others = () if host in holders else tuple([holder.id for holder in holders])",
        "    others = () if holders else tuple([holder.id for holder in holders])",
        "a host isn't told where the inputs of its calls are",
    ),
    # What a nanny does with calls
    Mutant(
        "nanny/withdrawing.py",
        "    move(task, WITHDRAWING)\n    task.interrupt = interrupt\n",
        "    move(task, WITHDRAWING)\n    task.interrupt = False\n",
        "a call that may have begun is recalled, but never interrupted",
    ),
    Mutant(
        "nanny/transitions.py",
        "        if place.inline is None:\n            state.out.append(HandBack(worker, place.offset, place.sizes))\n        if task",
        "        if task",
        "a result that nobody wants keeps its range of the arena",
    ),
    Mutant(
        "nanny/withdrawing.py",
        "        if state.now >= task.kill_at and name in state.workers:",
        "        if state.now >= task.kill_at + 60.0 and name in state.workers:",
        "a worker that is deaf to its interrupt runs a cancelled call on",
    ),
    Mutant(
        "nanny/withdrawing.py",
        "        if not is_sure:\n            state.out.append(Recall(run))\n",
        "",
        "a run that was given up is run as well by a worker that was slow to begin it",
    ),
    Mutant(
        "nanny/withdrawing.py",
        "    if is_sure:\n        state.out.append(RunLost(run))",
        "    if is_sure:\n        pass",
        "inputs of runs that died in a queue count as mapped for ever",
    ),
    Mutant(
        "nanny/withdrawing.py",
        "        if run not in state.runs or run in where or (head and run >= head):",
        "        if run not in state.runs or run in where or head:",
        "a call that died with the worker that took it is never run again, as long as others wait in the queue",
    ),
    Mutant(
        "nanny/deaths.py",
        "        elif task.worker is None:\n            state.suspects.setdefault(task.run, 0)\n",
        "",
        "nobody looks for calls that a dead worker may have taken along",
    ),
    Mutant(
        "nanny/fetching.py",
        "        for fetch in [fetch for fetch in state.fetches.values() if fetch.host in left]:\n            ask_next(state, fetch)",
        "        pass",
        "inputs are waited for from a host that left",
    ),
    Mutant(
        "nanny/fetching.py",
        "        give_back(state, task, missing)",
        "        give_back(state, task, [])",
        "the scheduler isn't told which input couldn't be had, and where",
    ),
    Mutant(
        "nanny/runs.py",
        "        if worker is None or not worker.planned:\n            give_back(state, task, [])\n            return\n",
        "        if worker is None:\n            give_back(state, task, [])\n            return\n",
        "calls wait for a worker that won't be started again",
    ),
    Mutant(
        "nanny/dispatching.py",
        "            if state.paused and under_way:",
        "            if state.paused:",
        "a nanny whose memory is full never starts what would free some",
    ),
    Mutant(
        "names.py",
        "    return attempt == needed or (0 <= needed < attempt)",
        "    return attempt == needed or needed < attempt",
        "what a name stands for later is read in the place of what was placed under it",
    ),
    # What a nanny does with memory
    Mutant(
        "nanny/store/ledger.py",
        "        if block.freed and not block.is_used:\n            del",
        "        if block.freed:\n            del",
        "a range is given away while somebody maps it",
    ),
    Mutant(
        "nanny/store/ledger.py",
        "        return self.mappings > 0 or self.pins > 0",
        "        return self.mappings > 0",
        "a range is given away, or moved to disk, while it is sent to another host",
    ),
    Mutant(
        "nanny/store/ledger.py",
        "        for offset, count in self._readers.pop(owner, {}).items():",
        "        for offset, count in ():",
        "what a client mapped that died is kept for ever",
    ),
    Mutant(
        "nanny/exchange.py",
        "        self._store.unmap(WORKERS, self._readers.left(name, running))\n",
        "        self._readers.left(name, running)\n",
        "what a worker mapped that died is kept for ever",
    ),
    Mutant(
        "nanny/exchange.py",
        '        self._store.release_owner(f"{name}/{pid}")\n',
        "",
        "what a worker was granted that died is kept for ever",
    ),
    Mutant(
        "nanny/exchange.py",
        "        self._store.hand_back(owner, message.unused)\n",
        "",
        "what is left of a grant is lost with the next one",
    ),
    Mutant(
        "nanny/store/spilling.py",
        "        self.spilled -= job.held.nbytes\n        self.add(job.held)",
        "        self.spilled -= job.held.nbytes",
        "what was read back can't move to disk a second time",
    ),
    Mutant(
        "nanny/store/spilling.py",
        "        if self._spilling is not None and self._spilling.held is held:\n            self._stop_spilling()\n",
        "",
        "a result that is freed on its way to disk keeps its place there",
    ),
    Mutant(
        "nanny/store/spilling.py",
        "            self._disk.release(held.disk)\n            held.disk = None\n",
        "            self._disk.release(held.disk)\n",
        "a copy on disk that was given up is taken for one that is there",
    ),
    Mutant(
        "nanny/store/loading.py",
        "        for block in job.blocks:\n            self._store.unpin(block)",
        "        pass",
        "inputs that were read back stay in memory for ever",
    ),
    Mutant(
        "nanny/store/room.py",
        "            if pages(request.nbytes) <= self._store.limit:\n                return False\n            request.refused(error)",
        "            request.refused(error)",
        "no room now is taken for no room ever",
    ),
    Mutant(
        "nanny/store/store.py",
        "        return others + held.block.length <= self.mapped_limit or self._ledger.maps(reader, held.block)",
        "        return True",
        "clients map all of the store, and nothing can move to disk any more",
    ),
    # What a client believes
    Mutant(
        "client/engine/settling.py",
        "    if record is None or record.fence:\n        unexpected(state, message.key, record)\n        return\n"
        "    move(record, FINISHED)\n",
        "    if record is None:\n        unexpected(state, message.key, record)\n        return\n"
        "    move(record, FINISHED)\n",
        "news of what a name stood for before settle the future that has it now",
    ),
    Mutant(
        "client/engine/letting_go.py",
        "        remember(state, released)\n",
        "",
        "a name that is used again in the moment of its release isn't known as such",
    ),
    Mutant(
        "client/engine/submissions.py",
        "    closes = not state.unfinished\n",
        "    closes = True\n",
        "a submission in pieces loses its first ones when another comes between",
    ),
    Mutant(
        "client/engine/settling.py",
        "    if not record.holders:\n        move(record, PENDING)\n",
        "    if not record.holders:\n",
        "a value that no host could deliver isn't waited for again",
    ),
    # What goes between them
    Mutant(
        "comm/session.py",
        "        return [frame for _, frame in self._kept]",
        "        return [frame for _, frame in self._kept][1:]",
        "one frame is lost when a connection breaks",
    ),
    Mutant(
        "comm/session.py",
        "        while kept and kept[0][0] <= number:",
        "        while kept and kept[0][0] <= number + 1:",
        "a frame is forgotten before the peer has it",
    ),
    Mutant(
        "comm/endpoint.py",
        "            link.heard, link.heard_at = False, now\n",
        "            link.heard = False\n",
        "what a peer says doesn't count as a sign of life",
        REAL,
    ),
    Mutant(
        "comm/endpoint.py",
        "        link.acknowledge()\n        if link.patient:",
        "        if link.patient:",
        "what is owed is acknowledged only if something else is said",
        REAL,
    ),
    Mutant(
        "comm/endpoint.py",
        "link.session.resume(peer.received)), link.session.received)",
        "link.session.resume(peer.received)), 0)",
        "a peer that comes back is told that nothing of what it said is here",
        REAL,
    ),
    Mutant(
        "comm/link.py",
        "            transport.writelines(self._first)\n",
        "",
        "what the peer didn't get over the last connection isn't sent over the next one",
        REAL,
    ),
)


def texts(mutant: Mutant) -> tuple[str, str]:
    """Return a file as it is and with the mutation.

    Raises
    ------
    LookupError
        If what is to be changed isn't there, or is there twice.
    """
    text = (PACKAGE / mutant.file).read_text()
    # A mutant that changes nothing would count as missed, and one that changes two places as found too easily.
    if text.count(mutant.old) != 1:
        raise LookupError(f"{mutant.file} has {text.count(mutant.old)} times: {mutant.old}")
    return text, text.replace(mutant.old, mutant.new)


def hunt(mutant: Mutant, seeds: int, start: int) -> str:
    """Return how the simulator finds a mutant, or nothing."""
    _, mutated = texts(mutant)
    with tempfile.TemporaryDirectory(prefix="himalia-mutant-") as directory:
        # A copy for each: several run at a time, and the tree that somebody works on stays as it is.
        shutil.copytree(PACKAGE, Path(directory) / "himalia", ignore=shutil.ignore_patterns("__pycache__"))
        (Path(directory) / "himalia" / mutant.file).write_text(mutated)
        command = [sys.executable, "-m", "himalia.testing.simulate", "--seeds", str(seeds), "--start", str(start)]
        if mutant.wires:
            command += ["--wires", mutant.wires]
        # With nothing else of the environment: a hunt is the same, whoever starts it.
        done = subprocess.run(
            command, env={"PYTHONPATH": directory, "PATH": ""}, capture_output=True, text=True, check=False
        )
    # Any failure counts, also an error before the first seed: a person would notice that as well.
    if done.returncode == 0:
        return ""
    lines = done.stdout.splitlines()
    seed = next((line for line in lines if line.startswith("seed ")), "before the first seed")
    error = next((line for line in lines if "Error" in line and not line.startswith(" ")), done.stderr[-200:])
    return f"{seed.partition(' at ')[0]}: {error[:150]}"


def hunt_all(mutants: tuple[Mutant, ...], seeds: int, start: int, workers: int) -> Iterator[tuple[Mutant, str, float]]:
    """Yield each mutant with how it was found, and the seconds that took."""

    def timed(mutant: Mutant) -> tuple[Mutant, str, float]:
        began = time.monotonic()
        return mutant, hunt(mutant, seeds, start), time.monotonic() - began

    # Threads will do: each waits for a process.
    with ThreadPoolExecutor(workers) as pool:
        # In their order, whichever ends first.
        yield from pool.map(timed, mutants)


def main() -> int:
    """Run from the command line; the exit code says whether all were found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="seeds for each mutant (default 1000)")
    parser.add_argument("--start", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--workers", type=int, default=2, help="mutants at a time (default 2)")
    parser.add_argument("--only", default="", help="those whose file or description contains this")
    options = parser.parse_args()
    chosen = tuple(mutant for mutant in MUTANTS if options.only in mutant.file + mutant.why)
    missed = 0
    for mutant, how, seconds in hunt_all(chosen, options.seeds, options.start, options.workers):
        missed += not how
        print(f"{'found ' if how else 'MISSED'} {seconds:6.1f} s  {mutant.file}: {mutant.why}  [{how}]", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} mutants found within {options.seeds:,} seeds each")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
