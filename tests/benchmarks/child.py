"""One case with one engine, in a process of its own.

``python -m tests.benchmarks.child ENGINE CASE`` prints one line of JSON among whatever the engine prints.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import traceback
from typing import Any, Final

from tests.benchmarks.cases import BY_NAME
from tests.benchmarks.dask_collections import Measured
from tests.benchmarks.engines import load

MARK: Final = "benchmark-result: "
"""What the line of interest begins with; engines print lines of their own."""


def version(package: str) -> str:
    """Return the version of an engine's package; what comes with Python has Python's."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return f"Python {sys.version.split()[0]}"


def run(engine_name: str, case_name: str) -> dict[str, Any]:
    """Run the case and return its values, or why there are none."""
    try:
        engine = load(engine_name)
        importlib.import_module(engine.package)
    except ImportError as error:
        return {"missing": f"not installed here ({error})"}
    try:
        measured = BY_NAME[case_name].run(engine())
        values, also = measured if isinstance(measured, Measured) else (measured, {})
        return {"values": values, "also": also, "version": version(engine.package)}
    except ModuleNotFoundError as error:
        return {"missing": f"{case_name} needs what is not installed here ({error})"}
    except Exception as error:  # reported in the table; the other rows go on
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    answer = run(sys.argv[1], sys.argv[2])
    print(MARK + json.dumps(answer), flush=True)
    os._exit(0)  # an engine that can't end must not spoil the next round; the runner ends what it left
