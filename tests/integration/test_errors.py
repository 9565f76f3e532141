"""Failures on a real cluster: counted, told in the user's own lines, repeated here; in a real notebook too."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import himalia
from himalia import Client, LocalCluster, wait
from himalia.errors import KilledWorkerError, UsageError

HERE = himalia.__path__[0]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


def fail_often(i: int) -> int:
    if i >= 88:
        raise ValueError(f"row {i} has no price")
    return i


def add(x: Any, y: Any) -> Any:
    return x + y


def sum_or_raise(values: Any, limit: int) -> Any:
    total = sum(values)
    if total > limit:
        raise OverflowError(f"{total} is more than {limit}")
    return total


def frames_of(error: BaseException) -> list[str]:
    return [entry.filename for entry in traceback.extract_tb(error.__traceback__)]


def test_the_same_failure_of_412_calls_is_one_error_with_a_count(client: Client) -> None:
    futures = client.map(fail_often, range(500))
    wait(futures, timeout=60)
    with pytest.raises(ValueError, match="row 88 has no price") as caught:
        client.gather(futures)
    assert caught.value.__notes__[-1] == "And 411 more of 500 calls failed in the same way."
    assert caught.value.__notes__[0].startswith("Raised by fail_often-")
    assert not [name for name in frames_of(caught.value) if name.startswith(HERE)]


def test_a_dependents_error_names_the_root(client: Client) -> None:
    root = client.submit(fail_often, 99, key="root-of-all")
    last = client.submit(add, client.submit(add, root, 1), 1, key="last-of-all")
    with pytest.raises(ValueError, match="row 99") as caught:
        last.result(30)
    assert caught.value.__notes__[0].startswith("Raised by root-of-all on ")
    assert caught.value.__notes__[1] == "last-of-all depends on it and was not run."
    with pytest.raises(ValueError, match="row 99") as repeated:
        client.recreate_error_locally(last)
    assert repeated.traceback[-1].locals == {"i": 99}


def test_a_call_is_repeated_here_with_inputs_that_were_freed(client: Client) -> None:
    first, second = client.submit(add, [1], [2]), client.submit(add, [3], [4])
    future = client.submit(sum_or_raise, client.submit(add, first, second), limit=5)
    wait(future, timeout=30)
    del first, second
    with pytest.raises(OverflowError, match="10 is more than 5") as caught:
        client.recreate_error_locally(future)
    assert caught.traceback[-1].locals == {"values": [1, 2, 3, 4], "limit": 5, "total": 10}
    assert not [name for name in frames_of(caught.value) if name.startswith(HERE)]


def test_a_call_with_a_large_argument_and_a_future_is_repeated_here(client: Client) -> None:
    numpy = pytest.importorskip("numpy")

    def check(array: Any, more: Any) -> None:
        raise LookupError(f"{array.sum()} {more}")

    future = client.submit(check, numpy.ones(1_000_000), client.submit(add, 1, 1))
    wait(future, timeout=30)
    for _ in range(2):  # the argument is still there after it was read
        with pytest.raises(LookupError, match=re.escape("1000000.0 2")) as caught:
            client.recreate_error_locally(future)
        assert caught.traceback[-1].locals["array"].shape == (1_000_000,)


def test_a_chunk_of_a_dask_collection_is_repeated_here(client: Client) -> None:
    array = pytest.importorskip("dask.array")

    def halve(block: Any) -> Any:
        if block.max() > 80:
            raise FloatingPointError(f"a block of {block.shape}")
        return block / 2

    x = array.arange(100, chunks=25).map_blocks(halve, dtype=float, meta=array.ones(1)._meta)
    persisted = client.persist(x + 1)
    with pytest.raises(FloatingPointError, match=re.escape("a block of (25,)")) as caught:
        client.recreate_error_locally(persisted)
    assert caught.traceback[-1].locals["block"].max() == 99
    with pytest.raises(FloatingPointError) as computed:
        (x + 2).compute()
    assert not [name for name in frames_of(computed.value) if name.startswith(HERE)]


def test_what_killed_its_workers_is_not_repeated_here(client: Client) -> None:
    def die() -> None:
        import os

        os._exit(3)

    future = client.submit(die)
    with pytest.raises(KilledWorkerError):
        future.result(60)
    with pytest.raises(UsageError, match="took down every worker"):
        client.recreate_error_locally(future)


SCRIPT = """
from himalia import Client

def parse(text):
    return int(text)

def load(text):
    return parse(text)

def main():
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        client.gather(client.map(load, ["one"]))

if __name__ == "__main__":
    main()
"""


def test_a_script_dies_with_a_traceback_of_its_own_lines(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    files = re.findall(r'File "([^"]+)"', ended.stderr)
    assert set(files) == {str(script)}, ended.stderr
    assert "in main\n    client.gather(" in ended.stderr
    assert "in parse\n    return int(text)" in ended.stderr
    assert "Raised by load-" in ended.stderr


CELLS = [
    """
    from himalia import Client, wait
    client = Client(n_workers=1, threads_per_worker=1, dashboard_address=None)
    def price(row):
        table = {"bread": 2}
        return table[row]
    def total(row):
        return price(row) * 3
    """,
    "futures = client.map(total, ['milk', 'tea', 'bread']); _ = wait(futures)",
    "futures[0].result()",
    "client.gather(futures)",
    "client.submit(lambda: __import__('time').sleep(9)).result(timeout=0.01)",
    "client.recreate_error_locally(futures[0])",
    """
    import sys
    trace = sys.last_traceback  # where %debug begins
    while trace.tb_next:
        trace = trace.tb_next
    print(trace.tb_frame.f_locals)
    """,
    "client.close()",
]


def test_a_notebook_shows_the_lines_of_its_cells_only(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    path = tmp_path / "errors.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in CELLS])
    nbformat.write(notebook, path)
    execute = "import sys; from nbclient.cli import main; main(sys.argv[1:])"  # its sockets end with its process
    subprocess.run([sys.executable, "-c", execute, "--inplace", "--allow-errors", path], timeout=90, check=True)
    notebook = nbformat.read(path, as_version=4)

    def shown(index: int) -> str:
        [error] = [output for output in notebook.cells[index].outputs if output.output_type == "error"]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))

    for index in (2, 3, 5):
        text = shown(index)
        assert "return table[row]" in text and "return price(row) * 3" in text and "KeyError: 'milk'" in text, text
        assert HERE not in text and "himalia/client" not in text, text
    assert "Raised by total-" in shown(2)
    assert "And 1 more of 3 calls failed in the same way." in shown(3)
    assert HERE not in shown(4) and "himalia/client" not in shown(4) and "did not finish within 0.01 s" in shown(4)
    printed = "".join(output.get("text", "") for output in notebook.cells[6].outputs)
    assert printed.strip() == "{'row': 'milk', 'table': {'bread': 2}}"
