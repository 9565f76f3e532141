"""What calls print appears under the cell that submitted them; an interrupt cancels one cell's calls: a real kernel."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE, wait_until

pytest.importorskip("ipykernel", reason="needs a kernel: pip install ipykernel")
pytest.importorskip("ipywidgets", reason="needs the views: pip install 'himalia[jupyter]'")
manager = pytest.importorskip("jupyter_client.manager", reason="needs jupyter_client: pip install ipykernel")
jupyter = pytest.importorskip("jupyter_core.utils", reason="needs jupyter_core: pip install ipykernel")
zmq = pytest.importorskip("zmq", reason="needs pyzmq: pip install ipykernel")

SETUP = """
import time, os, himalia
client = himalia.Client(n_workers=2, threads_per_worker=1)
def both(text):
    time.sleep(0.3)
    print(text)
def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
"""


class Kernel:
    """A kernel, and by the id of each request what was displayed for it."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.manager = manager.KernelManager(kernel_name="python3", context=self.context)
        self.manager.start_kernel()
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.shown: dict[str, dict[str, dict[str, str]]] = {}
        self.printed: dict[str, str] = {}
        self.ended: set[str] = set()
        """Requests of which everything was published that was printed before their end."""

    def start(self, code: str) -> str:
        return str(self.client.execute(code))

    def run(self, code: str) -> str:
        id = self.start(code)
        assert self.wait(id) == "ok", self.printed.get(id)
        return id

    def wait(self, id: str) -> str:
        """Wait for the answer of a request, and return its status."""
        deadline = time.monotonic() + PATIENCE
        while True:
            reply = self.client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))
            if reply["parent_header"]["msg_id"] == id:
                self.read_until(lambda: id in self.ended)
                return str(reply["content"]["status"])

    def read_until(self, condition: Callable[[], object]) -> None:
        """Take what the kernel publishes until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, (self.shown, self.printed)
            try:
                message = self.client.get_iopub_msg(timeout=0.1)
            except queue.Empty:
                continue
            kind, content, parent = message["msg_type"], message["content"], message["parent_header"].get("msg_id", "")
            if kind == "display_data" or kind == "update_display_data":
                name = content["transient"].get("display_id", "")
                if kind == "update_display_data":
                    parent = next(id for id, displays in self.shown.items() if name in displays)
                self.shown.setdefault(parent, {})[name] = content["data"]
            elif kind == "status" and content["execution_state"] == "idle":
                self.ended.add(parent)
            elif kind == "error":
                self.printed[parent] = self.printed.get(parent, "") + "\n".join(content["traceback"])
            elif kind == "stream":
                self.printed[parent] = self.printed.get(parent, "") + content["text"]

    def displays(self, id: str, *, until: str) -> list[dict[str, Any]]:
        """Return what is displayed for a request, as soon as it contains a text."""
        self.read_until(lambda: any(until in data["text/plain"] for data in self.shown.get(id, {}).values()))
        return list(self.shown[id].values())

    def interrupt(self, id: str) -> None:
        """Interrupt a request that says that it is ``waiting``, and wait for its end."""
        self.read_until(lambda: "waiting" in self.printed.get(id, ""))
        self.manager.interrupt_kernel()
        assert self.wait(id) == "error"

    def value(self, expression: str) -> str:
        """Return what an expression prints."""
        return self.printed.get(self.run(f"print({expression})"), "").strip()

    def close(self) -> None:
        try:
            self.run("client.close()")
        finally:
            self.manager.shutdown_kernel()
            self.client.stop_channels()
            self.context.destroy(linger=0)
            jupyter.ensure_event_loop().close()  # made for us, and nobody else ends it


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    try:
        kernel.run(SETUP)
        yield kernel
    finally:
        kernel.close()


def test_a_line_appears_under_the_cell_that_submitted_its_call_though_another_one_runs(kernel: Kernel) -> None:
    first = kernel.run("f = client.submit(both, 'from the first', pure=False)")
    second = kernel.run("time.sleep(1.0)")
    (data,) = kernel.displays(first, until="from the first")
    assert data["text/plain"] == "from the first"
    assert second not in kernel.shown
    assert "from the first" not in "".join(kernel.printed.values())


def test_the_same_line_of_two_workers_is_shown_once_with_a_count_in_one_display(kernel: Kernel) -> None:
    cell = kernel.run("fs = client.map(both, ['twice'] * 4, pure=False)")
    (data,) = kernel.displays(cell, until="×4")
    assert data["text/plain"] == "twice  ×4"
    assert data["text/html"].count(">twice<") == 1


def test_markup_in_a_line_stays_text(kernel: Kernel) -> None:
    cell = kernel.run("f = client.submit(both, '<img src=x onerror=alert(1)> $$x$$', pure=False)")
    (data,) = kernel.displays(cell, until="<img")
    assert "<img" not in data["text/html"]
    assert "&lt;img" in data["text/html"]
    assert "mathjax_ignore" in data["text/html"]


def test_an_interrupt_cancels_the_calls_of_its_cell_and_no_others(kernel: Kernel) -> None:
    kernel.run("earlier = client.submit(time.sleep, 4, pure=False)")
    id = kernel.start("mine = client.map(time.sleep, [60, 61], pure=False); print('waiting'); client.gather(mine)")
    kernel.interrupt(id)
    kernel.run("wait_until(lambda: all(f.cancelled() for f in mine))")
    assert kernel.value("[f.status for f in mine]") == "['cancelled', 'cancelled']"
    kernel.run("earlier.result(timeout=20)")
    assert kernel.value("earlier.status") == "finished"


def test_an_interrupt_stops_a_call_of_which_the_cell_kept_no_future(kernel: Kernel, tmp_path: Path) -> None:
    began, ended = tmp_path / "began", tmp_path / "ended"
    kernel.run(f"""
def mark():
    open({str(began)!r}, "w").close()
    try: time.sleep(60)
    finally: open({str(ended)!r}, "w").close()
""")
    id = kernel.start("client.submit(mark, pure=False).result()")
    wait_until(began.exists)
    kernel.manager.interrupt_kernel()
    assert kernel.wait(id) == "error"
    wait_until(ended.exists)


def test_an_interrupt_leaves_calls_alone_where_the_client_was_told_so(kernel: Kernel) -> None:
    kernel.run("calm = himalia.Client(client.cluster, cancel_on_interrupt=False, set_as_default=False)")
    kernel.interrupt(kernel.start("mine = calm.submit(time.sleep, 4, pure=False); print('waiting'); mine.result()"))
    assert kernel.value("mine.result(timeout=20)") == "None"
    kernel.run("calm.close()")
