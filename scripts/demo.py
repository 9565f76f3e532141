"""Run ``notebooks/quickstart.ipynb`` without a browser, print what it finds, and say where the executed copy is.

Runs in the environment that ``scripts/bootstrap.py demo`` made; ``make demo`` does both.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
EXECUTED = ROOT / "build" / "demo" / "quickstart.ipynb"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CELL_TIMEOUT = 300
"""Seconds; a cell takes a few at most."""


def text_of(output: Any) -> str:
    """Return what a person without a browser would see of one output of a cell."""
    if output.output_type == "stream":
        # Warnings of libraries and of kernels aren't what the demo shows.
        return "" if output.name == "stderr" else str(output.text).rstrip()
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}"
    return str(output.get("data", {}).get("text/plain", ""))


def tell(cell: Any) -> None:
    """Print a heading of the notebook, or what a cell of code answered."""
    if cell.cell_type == "markdown":
        for line in str(cell.source).splitlines():
            if line.startswith("#"):
                print(f"\n{line.lstrip('# ')}", flush=True)
        return
    for text in filter(None, map(text_of, cell.outputs)):
        print("\n".join(f"    {line}" for line in text.splitlines()), flush=True)


def run(notebook: Any) -> None:
    """Execute all cells in order, telling as they come; the first that fails unexpectedly ends it."""
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        # Where Jupyter would run it: cells open files beside the notebook.
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        store_widget_state=False,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                # One by one and not client.execute(): a person sees each answer when it is there.
                client.execute_cell(cell, index)
            tell(cell)


def main() -> int:
    """Run the notebook; 0 if all its cells did what they should."""
    print(f"[himalia] running {NOTEBOOK.relative_to(ROOT)} on a LocalCluster")
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    started = time.monotonic()
    failure = ""
    try:
        run(notebook)
    except CellExecutionError as error:
        # IPython colours its tracebacks, also for a file or a log.
        failure = COLOUR.sub("", str(error))
    finally:
        # Also after a failure: the copy shows how far it came.
        EXECUTED.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, EXECUTED)
    if failure:
        print(f"\n[himalia] a cell failed:\n{failure}", file=sys.stderr)
    print(f"\n[himalia] {time.monotonic() - started:.1f} s; the executed notebook is {EXECUTED.relative_to(ROOT)}")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
