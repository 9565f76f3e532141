"""What it costs to begin: the import, and a cluster that answers once and goes."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.benchmarks import work
from tests.benchmarks.engines.base import Engine


def import_time(engine: Engine) -> list[float]:
    """Seconds of the import in fresh interpreters whose files were read before; the first one isn't counted."""
    code = f"import time; t = time.perf_counter(); {engine.beginning}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    return [float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(6)][1:]


def start_and_close(engine: Engine) -> list[float]:
    """Seconds from nothing but the import to the first value and back to nothing."""
    exec(engine.beginning, {})
    started = time.perf_counter()
    engine.start()
    engine.result(engine.submit(work.noop))
    engine.close()
    return [time.perf_counter() - started]
