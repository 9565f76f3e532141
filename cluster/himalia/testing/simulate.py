"""Run simulated clusters, one for each seed: ``python -m himalia.testing.simulate --seeds 10000 --workers 4``.

A run has three parts: users act and things break; then nothing breaks any more, and every future must come to its end
within bounded virtual time; then everybody lets go of everything, and nothing may be left.  A failing seed says how
to replay it.  The same seed gives the same trace, whatever the hash seed.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import msgspec

from himalia.nanny.watchdog import STOPPED_LIMIT
from himalia.settings import KIB
from himalia.testing.cluster import SimulatedCluster
from himalia.testing.faults import Breaker, draw_behaviour, draw_faults, draw_weather, draw_wire_faults
from himalia.testing.network import MODEL, REAL, Wires
from himalia.testing.plan import Plan
from himalia.testing.shrink import copy, shrink
from himalia.testing.workload import Workload, draw_hosts

REAL_SHARE = 1 / 8
"""Share of the seeds whose messages go through real endpoints."""
POLL = 0.05
"""Virtual seconds between two looks whether all is over."""
QUIET_WITHIN = 1000.0
"""Virtual seconds after the last fault until which every future must have come to its end.  Nearly all need under ten;
a host whose only worker is killed again and again by several poisonous calls backs off for up to 30 s each time."""
EMPTY_WITHIN = 20.0 + STOPPED_LIMIT
"""Virtual seconds after the last release until which nothing may be left: what a worker that was stopped for good had
taken goes with it."""

DESERTED_WITHIN = 20.0
"""Virtual seconds until the scheduler has forgotten the clients that left, or died: it may stand still for six, and
gives those whose connection broke meanwhile a lease from then on."""


class Outcome(msgspec.Struct, kw_only=True):
    """How a run ended."""

    seed: int
    wires: Wires = MODEL
    error: str = ""
    last: list[str] = []
    events: int = 0
    frames: int = 0
    faults: int = 0
    virtual: float = 0.0
    digest: int = 0
    outcomes: dict[str, int] = {}
    recomputed: int = 0
    """Executions beyond the first of each key."""


def draw_plan(seed: int, wires: Wires | None = None) -> Plan:
    """Draw everything that one seed decides; the wires, too, if they aren't given."""
    # Two streams, so that a seed draws the same plan whatever carries its messages.
    random, wiring = Random(f"{seed}/plan"), Random(f"{seed}/wires")
    is_real = wiring.random() < REAL_SHARE
    span = random.choice((0.3, 1.0, 2.0))
    hosts = draw_hosts(random)
    clients = random.choice((1, 1, 2, 3))
    workload = Workload(random, hosts, clients, span)
    plan = Plan(
        seed=seed,
        hosts=hosts,
        clients=clients,
        tasks=workload.tasks,
        placed=workload.placed,
        ops=workload.ops,
        faults=draw_faults(random, hosts, clients, span),
        weather=draw_weather(random),
        behaviour=draw_behaviour(random),
        settings={
            # At their ends things go ways that the usual values hardly take: nothing inline, every function forgotten,
            # no window.
            "queue_seconds": random.choice((0.0, 0.05, 1.0)),
            "function_cache": random.choice((1, 2, 1000)),
            "inline_limit": random.choice((0, 1000, 32 * KIB)),
            "client_window": random.choice((1, 2 * KIB, 32 * KIB, 32 * KIB * KIB)),
            "copy_limit": random.choice((0, 10_000, 256 * KIB)),
            "nursery": random.choice((4 * KIB, 64 * KIB, 8 * KIB * KIB)),
        },
        calm_at=span + 0.5,
        wires=wires or (REAL if is_real else MODEL),
    )
    if plan.wires == REAL and plan.faults:
        plan.faults += draw_wire_faults(wiring, len(hosts), clients, span)
        plan.faults.sort(key=lambda fault: fault.time)
    return plan


class SimulatedRun:
    """One plan, run to its end.

    Parameters
    ----------
    plan : Plan
    listener : callable, optional
        Is shown every line of the trace.
    """

    def __init__(self, plan: Plan, listener: Callable[[float, str, object], None] | None = None) -> None:
        self.cluster = SimulatedCluster(plan)
        self.world = self.cluster.world
        self.world.listener = listener
        self.breaker = Breaker(self.cluster)
        self.cluster.start()

    def run(self) -> None:
        """Let everything happen; raises what is wrong."""
        self.world.run(until=self.cluster.plan.calm_at)
        self.finish()

    def finish(self) -> None:
        """Wait for every future, let everybody drop all of them, and leave; nothing may be left after each."""
        # Whether it came is for the check to say, which knows what is missing.
        self._wait(self._is_quiet, QUIET_WITHIN)
        self.cluster.witness.check_quiet()
        for client in list(self.cluster.clients.values()):
            client.release_all()
        # While clients still live: what goes only with its client would be a leak in a long session.
        self._wait(self.cluster.witness.is_empty, EMPTY_WITHIN)
        self.cluster.witness.check_empty()
        self.cluster.witness.check_books()
        self.cluster.is_closing = True
        for client in list(self.cluster.clients.values()):
            client.leave()
        self._wait(self.cluster.witness.is_deserted, DESERTED_WITHIN)
        self.cluster.witness.check_deserted()

    def _is_quiet(self) -> bool:
        # A list: each client is asked, and reads what it hasn't, even if one isn't done.
        return all([client.has_everything() for client in list(self.cluster.clients.values())])

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until the condition holds, looking now and then."""
        end = self.world.now + seconds
        while self.world.now < end:
            if condition():
                return True
            # Not after each event, since the condition goes through all futures.
            self.world.run(until=self.world.now + POLL)
        return condition()

    def outcome(self, error: str = "") -> Outcome:
        """Report how it went."""
        world, witness = self.world, self.cluster.witness
        return Outcome(
            seed=self.cluster.plan.seed,
            wires=self.cluster.plan.wires,
            error=error,
            last=[describe(*line) for line in world.last] if error else [],
            events=world.events,
            frames=self.cluster.network.frames,
            faults=self.breaker.done,
            virtual=world.now,
            digest=world.digest,
            outcomes=dict(witness.outcomes),
            recomputed=sum(count - 1 for count in witness.executions.values()),
        )


def describe(now: float, actor: str, what: object) -> str:
    """One line of a trace."""
    return f"{now:10.5f}  {actor:24} {what!r:.400}"


def run_plan(plan: Plan, listener: Callable[[float, str, object], None] | None = None) -> Outcome:
    """Run a plan and report how it ended; never raises for what it finds."""
    run = None
    try:
        run = SimulatedRun(plan, listener)
        run.run()
        return run.outcome()
    except Exception:
        error = traceback.format_exc()
        # It may fail while it is set up, before there is a run to report.
        return Outcome(seed=plan.seed, wires=plan.wires, error=error) if run is None else run.outcome(error)
    finally:
        if run is not None:
            # Coroutines that wait are closed in order, not by the collector (ProcessLoop.end).
            run.cluster.network.end()


def run_seed(seed: int, wires: Wires | None = None) -> Outcome:
    """Draw a plan and run it."""
    return run_plan(draw_plan(seed, wires))


def run_seeds(seeds: range, workers: int, wires: Wires | None = None) -> Iterator[Outcome]:
    """Run many seeds, on so many processes."""
    run = partial(run_seed, wires=wires)
    if workers <= 1:
        yield from map(run, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers) as pool:
        # In small portions, as they end: a seed that fails is shown at once.
        yield from pool.imap_unordered(run, seeds, chunksize=max(1, min(20, len(seeds) // (4 * workers))))


def report_failure(outcome: Outcome, lines: int) -> str:
    """What somebody needs to look into a failing seed."""
    return "\n".join(
        [
            f"seed {outcome.seed} failed at {outcome.virtual:.5f} s, after {outcome.events} events:",
            *outcome.last[-lines:],
            outcome.error,
            f"replay it with: python -m himalia.testing.simulate --seed {outcome.seed} --wires {outcome.wires} -v",
        ]
    )


class Totals:
    """Sums over many runs."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.runs = self.events = self.frames = self.faults = self.recomputed = 0
        self.outcomes: Counter[str] = Counter()
        self.failed: list[int] = []

    def add(self, outcome: Outcome) -> None:
        """Count a run."""
        self.runs += 1
        self.events += outcome.events
        self.frames += outcome.frames
        self.faults += outcome.faults
        self.recomputed += outcome.recomputed
        self.outcomes.update(outcome.outcomes)
        if outcome.error:
            self.failed.append(outcome.seed)

    def __str__(self) -> str:
        seconds = time.perf_counter() - self.began
        ends = ", ".join(f"{count:,} {status}" for status, count in sorted(self.outcomes.items()))
        failed = f"{len(self.failed)} failed: {sorted(self.failed)[:50]}" if self.failed else "none failed"
        return (
            f"{self.runs:,} schedules in {seconds:.1f} s ({self.runs / seconds * 60:,.0f}/min), {self.events:,} events "
            f"({self.events / seconds:,.0f}/s), {self.frames:,} frames, {self.faults:,} faults; futures: {ends}; "
            f"{self.recomputed:,} calls run again; {failed}"
        )


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit code says whether all seeds passed."""
    parser = argparse.ArgumentParser(prog="python -m himalia.testing.simulate", description="Run simulated clusters.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to run (default 1000)")
    parser.add_argument("--start", type=int, default=0, help="the first one (default 0)")
    parser.add_argument("--workers", type=int, default=1, help="processes to use (default 1)")
    parser.add_argument("--seed", type=int, help="run this one only")
    parser.add_argument("-v", "--verbose", action="store_true", help="with --seed: print every event")
    parser.add_argument("--shrink", action="store_true", help="with --seed: look for a smaller plan that fails as well")
    parser.add_argument("--keep-going", action="store_true", help="don't stop at the first failing seed")
    parser.add_argument("--wires", choices=(MODEL, REAL), help="what carries messages (default: drawn for each seed)")
    options = parser.parse_args(arguments)
    logging.getLogger("himalia").setLevel(logging.CRITICAL)  # full stores and damaged disks are what it is about
    if options.seed is not None:
        return replay(options.seed, options.wires, verbose=options.verbose, smaller=options.shrink)
    totals = Totals()
    for outcome in run_seeds(range(options.start, options.start + options.seeds), options.workers, options.wires):
        totals.add(outcome)
        if outcome.error:
            print(
                report_failure(outcome, 40) if not options.keep_going else f"seed {outcome.seed}: {last_line(outcome)}"
            )
            if not options.keep_going:
                break
    print(totals)
    return 1 if totals.failed else 0


def failure_kind(outcome: Outcome) -> str:
    """What kind of failure it was: the text without names and numbers; empty if it passed."""
    # Names end with numbers and reprs show states: both change when a plan gets smaller, the failure doesn't.
    return re.sub(r"[a-z]*-?\d[\w.-]*|<.*|\{.*", "", last_line(outcome)) if outcome.error else ""


def last_line(outcome: Outcome) -> str:
    """What went wrong, in short."""
    return outcome.error.strip().splitlines()[-1][:300]


def replay(seed: int, wires: Wires | None, *, verbose: bool, smaller: bool = False) -> int:
    """Run one seed and show it."""
    plan = draw_plan(seed, wires)
    if smaller:
        kind = failure_kind(run_plan(copy(plan)))
        if kind:
            # The same kind, or it would shrink to whatever else fails.
            plan = shrink(plan, lambda candidate: failure_kind(run_plan(candidate)) == kind)
    if verbose or smaller:
        print(describe_plan(plan))
    outcome = run_plan(plan, (lambda *line: print(describe(*line))) if verbose else None)
    print(report_failure(outcome, 0 if verbose else 100) if outcome.error else f"seed {seed} passed: {outcome}")
    return 1 if outcome.error else 0


def describe_plan(plan: Plan) -> str:
    """A plan as text."""
    parts = [f"seed {plan.seed}: {len(plan.hosts)} hosts, {plan.clients} clients, calm at {plan.calm_at}"]
    parts += [f"  host-{number}: {host}" for number, host in enumerate(plan.hosts)]
    parts += [f"  {key}: {task}" for key, task in plan.tasks.items()]
    parts += [f"  {item}" for item in (*plan.placed.items(), *plan.ops, *plan.faults)]
    parts += [f"  {plan.weather}", f"  {plan.behaviour}", f"  {plan.settings}"]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
