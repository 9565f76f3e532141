"""Run the notebooks and store what they show, for whoever reads them where no kernel runs.

``python scripts/notebooks.py [NAME …]`` in an environment that ``scripts/bootstrap.py test`` made.  Kept are the
outputs of cells with one of two tags:

``nbval-check-output``  what the tests compare: the same on every machine
``picture``             what is stored to be looked at: it differs from run to run, and is never compared

Decides what of an output is stored: no paths and addresses of this machine, no link that opens anything, and of live
views only their static form.
"""

from __future__ import annotations

import queue
import re
import sys
import time
from pathlib import Path
from typing import Any, Final

import nbformat
from jupyter_core.utils import run_sync
from nbclient import NotebookClient

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "notebooks"
KEPT: Final = {"nbval-check-output", "picture"}
STATIC: Final = {"text/plain", "text/html", "text/markdown", "image/png", "image/svg+xml"}
TIMEOUT: Final = 120
"""Seconds; a cell takes a few at most."""
AFTERWARDS: Final = 1.0
"""Seconds that live views are followed after a cell; they look four times a second."""
PLACES: Final = (
    (re.compile(r"unix:///[^\s'\"<>]*/(?=[\w.-]+\.sock)"), "unix:///run/user/1000/himalia/"),
    (re.compile(r"/(?:home|root|tmp|Users|work)/[^\s'\"<>]*/(?=[\w.-]+)"), "/scratch/"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:8787"),
    (re.compile(r"0x[0-9a-f]{6,}"), "0x7f0000000000"),
)
"""What is of this machine, and what stands for it."""


def clean(text: str) -> str:
    """Return a text as it might have been written on any machine."""
    for pattern, general in PLACES:
        text = pattern.sub(general, text)
    return text


def store(cell: Any) -> None:
    """Keep what is kept of a cell's outputs."""
    if not KEPT & set(cell.metadata.get("tags", [])):
        cell.outputs = []
    for output in cell.outputs:
        output.get("metadata", {}).clear()
        if "data" in output:
            # Views of widgets need their kernel; the HTML beside them doesn't.
            output.data = {kind: clean(str(value)) for kind, value in output.data.items() if kind in STATIC}
        if "text" in output:
            output.text = clean(output.text)
        if "traceback" in output:
            output.evalue = clean(output.evalue)
            output.traceback = [clean(line) for line in output.traceback]
    # Without stderr: warnings there are about this machine.
    cell.outputs = [output for output in cell.outputs if output.output_type != "stream" or output.name == "stdout"]
    # Times of this run.
    cell.metadata.pop("execution", None)


def follow(client: Any, cell: Any, index: int) -> None:
    """Take what live views say for a moment after a cell has ended, as a page does; nbclient by itself doesn't."""
    end = time.monotonic() + AFTERWARDS
    while (left := end - time.monotonic()) > 0:
        try:
            message = run_sync(client.kc.get_iopub_msg)(timeout=left)
        except queue.Empty:
            return
        if message["msg_type"] in ("display_data", "update_display_data"):
            client.process_message(message, cell, index)


def run(path: Path) -> None:
    """Run one notebook, and write it back."""
    notebook: Any = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
        store_widget_state=False,
    )
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                client.execute_cell(cell, index)
                follow(client, cell, index)
    # After all have run: an update may go to a cell above.
    for cell in notebook.cells:
        if cell.cell_type == "code":
            store(cell)
    # Written anew: which Python and IPython ran it would change with every machine.
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")


def main() -> int:
    """Run those that were named, or all."""
    names = sys.argv[1:]
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not names or path.stem in names:
            run(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
