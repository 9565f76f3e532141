"""``python -m tests.benchmarks``: choose, run, print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from tests.benchmarks.cases import BY_NAME, CASES
from tests.benchmarks.engines import MODULES
from tests.benchmarks.report import report
from tests.benchmarks.runner import run_all


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=…", description="himalia side by side with its peers; see tests/benchmarks/cases.py."
    )
    parser.add_argument("--cases", nargs="+", choices=list(BY_NAME), default=list(BY_NAME), metavar="CASE")
    parser.add_argument("--engines", nargs="+", choices=list(MODULES), default=list(MODULES), metavar="ENGINE")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes per case and engine (default 3)")
    parser.add_argument("--json", type=Path, help="also write every value to this file")
    parser.add_argument("--list", action="store_true", help="show cases and engines")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def main(arguments: list[str]) -> int:
    """Run what was chosen."""
    options = parse(arguments)
    if options.list:
        for case in CASES:
            print(f"{case.name:<11} {case.title} [{case.unit}]")
        print("engines:", ", ".join(MODULES))
        return 0
    cases = [BY_NAME[name] for name in options.cases]
    outcomes = run_all(cases, options.engines, options.rounds, lambda line: print(line, flush=True))
    print("\n" + report(cases, options.engines, options.rounds, outcomes))
    if options.json:
        plain = {f"{case} {engine}": dataclasses.asdict(out) for (case, engine), out in outcomes.items()}
        options.json.write_text(json.dumps(plain, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
