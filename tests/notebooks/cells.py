"""Cells in a real kernel, run one after the other, as nbclient runs a notebook's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.waiting import PATIENCE

Cell = Callable[[str], Any]


@contextmanager
def running_kernel(start: str) -> Iterator[Cell]:
    """Give what runs a cell in a new kernel and returns the cell; ``start`` makes its ``client`` and ``cluster``."""
    notebook = nbformat.v4.new_notebook()
    client = NotebookClient(notebook, timeout=90, kernel_name="python3", store_widget_state=False)

    def run(source: str) -> Any:
        notebook.cells.append(nbformat.v4.new_code_cell(source))
        return client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1)

    with client.setup_kernel():
        run(start)
        yield run
        run("client.close(); cluster.close()")


def block_until(cell: Cell, condition: Callable[[], object]) -> None:
    """Run cells that block the kernel until a condition holds; earlier cells' outputs may change meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it didn't come true within {PATIENCE:g} s"
        cell("__import__('time').sleep(0.3)")
