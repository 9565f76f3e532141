"""``python -m tests.chaos``: kill workers (or nannies) at random while a load runs; say what came of it.

Exits with 1 at the first value that is wrong, call that is lost, or innocent that is blamed.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

from tests.chaos.kills import Nannies, OwnNanny, Result, Workers, run

KINDS: Final[dict[str, type[Workers | Nannies]]] = {
    "workers": Workers,
    "nannies": Nannies,
    "own-nanny": OwnNanny,
}
"""What may be killed: workers of a LocalCluster, nannies of three hosts, the one nanny of a LocalCluster."""


def main(arguments: list[str]) -> int:
    """Run what was chosen, and print one line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--what", choices=tuple(KINDS), default="workers", help="what is killed")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--least", type=float, default=0.1, help="seconds between two kills at least")
    parser.add_argument("--most", type=float, default=3.0, help="and at most")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long, however many kills")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    kind = KINDS[options.what]
    began = time.monotonic()
    with kind() as victims:
        result: Result = run(victims, options.kills, (options.least, options.most), options.seconds, options.seed)
    print(f"{options.what}: {result} in {time.monotonic() - began:.0f} s, seed {options.seed}", flush=True)
    return 1 if result.problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
