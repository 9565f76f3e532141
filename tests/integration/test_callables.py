"""Callables that carry state, and what is defined in a process that no worker could import from."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from himalia import Client, LocalCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        yield cluster


class Model:
    """Counts the times it was fitted."""

    def __init__(self) -> None:
        self.fitted = 0

    def fit(self, *args: Any) -> int:
        self.fitted += 1
        return self.fitted

    __call__ = fit


def with_default(x: int, seen: list[int] | None = None) -> int:
    assert seen is not None
    seen.append(x)
    return len(seen)


def closure() -> Callable[[int], int]:
    count = 0

    def add(x: int) -> int:
        nonlocal count
        count += 1
        return count

    return add


def notebook(source: str) -> Callable[..., Any]:
    cell: dict[str, Any] = {"__name__": "__main__"}
    exec(source, cell)
    function: Callable[..., Any] = cell["f"]
    return function


STATEFUL: list[Callable[[], Callable[..., Any]]] = [
    Model,
    lambda: Model().fit,
    lambda: functools.partial(Model().fit, 1),
    lambda: functools.partial(with_default, seen=[]),
    closure,
    lambda: functools.partial(lambda x, numbers: next(numbers), numbers=itertools.count(1)),
    lambda: notebook("n = 0\ndef f(x):\n    global n\n    n += 1\n    return n"),
    lambda: notebook("seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)"),
    lambda: notebook("def f(x):\n    f.calls = getattr(f, 'calls', 0) + 1\n    return f.calls"),
    lambda: notebook("def f(x, seen={}):\n    seen[len(seen)] = x\n    return len(seen)"),
]


@pytest.mark.parametrize("make", STATEFUL)
def test_no_call_finds_what_another_left_in_a_callable(client: Client, make: Callable[[], Callable[..., Any]]) -> None:
    function = make()
    assert client.gather(client.map(function, range(5))) == [1] * 5
    assert [client.submit(function, 7, pure=False).result() for _ in range(4)] == [1] * 4
    assert list(client.get_executor().map(function, range(3))) == [1] * 3
    assert [list(client.run(function, 7).values()) for _ in range(3)] == [[1]] * 3


def test_each_submission_has_the_state_of_its_time(client: Client) -> None:
    model = Model()
    got = []
    for _ in range(5):
        future = client.submit(model.fit, pure=False)
        model.fit()  # after the submission: of no concern to it
        got.append(future.result())
    assert got == [1, 2, 3, 4, 5]


def test_a_retried_call_begins_with_the_state_of_its_submission(client: Client, tmp_path: Path) -> None:
    def third_time(model: Model, tries: Path) -> int:
        model.fit()
        seen = model.fit()
        tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
        if len(tries.read_text()) < 3:
            raise OSError(f"tried {seen} times")
        return seen

    model = Model()
    assert client.submit(third_time, model, tmp_path / "tries", retries=5).result() == 2


def test_an_input_that_a_call_changed_is_whole_for_the_next(client: Client) -> None:
    for value in ([1, 2], {"a": [1]}, bytearray(100_000), Model()):
        data = client.scatter(value, hash=False)

        def change(value: Any) -> int:
            if isinstance(value, Model):
                return value.fit()
            value.clear()
            return 1

        assert client.gather([client.submit(change, data, pure=False) for _ in range(4)]) == [1] * 4
        assert [future.result() for future in client.map(lambda value, n: change(value), [data] * 3, range(3))] == [
            1
        ] * 3


def test_calls_of_a_dask_graph_share_no_state(client: Client) -> None:
    dask = pytest.importorskip("dask")
    model = Model()
    tasks = [dask.delayed(model.fit)(number) for number in range(4)]
    tasks += [dask.delayed(lambda x, model=model: model.fit())(number) for number in range(4)]
    tasks += [dask.delayed(lambda x, model: model.fit())(number, model) for number in range(4)]
    assert list(dask.compute(*tasks)) == [1] * 12
    bag = pytest.importorskip("dask.bag")
    assert bag.range(6, npartitions=6).map_partitions(lambda part, m=model: [m.fit()]).compute() == [1] * 6


CHILD = """
import dataclasses, enum, functools, multiprocessing, sys
from himalia import Client

class Kind(enum.Enum):
    A = 1

@dataclasses.dataclass
class Thing:
    n: int
    kind: Kind = Kind.A

class Wrong(Exception):
    pass

def helper(n): return n + 1
@functools.lru_cache
def cached(n): return helper(n)
def work(thing): return Thing(cached(thing.n), thing.kind)
def fail(thing): raise Wrong(thing.n)

def use(address, queue):
    with Client(address) as client:
        thing = client.submit(work, Thing(4)).result(20)
        assert type(thing) is Thing and thing.kind is Kind.A, thing
        many = client.gather(client.map(work, [Thing(n) for n in range(5)]))
        assert many == [Thing(n + 1) for n in range(5)], many
        try:
            client.submit(fail, client.scatter(Thing(7))).result(20)
        except Wrong as error:
            assert error.args == (7,), error
        queue.put(thing.n)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    queue = context.Queue()
    child = context.Process(target=use, args=(sys.argv[1], queue))
    child.start()
    print(queue.get(timeout=40))
    child.join(10)
"""


@pytest.mark.parametrize("how", ["spawn", "forkserver", "fork"])
def test_a_child_of_multiprocessing_sends_what_its_script_defines(
    cluster: LocalCluster, tmp_path: Path, how: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(CHILD)
    done = subprocess.run(
        [sys.executable, str(script), cluster.scheduler_address, how], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


def test_the_main_of_a_zipped_application_and_its_modules_are_known(cluster: LocalCluster, tmp_path: Path) -> None:
    import zipapp

    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "inside.py").write_text("def half(x): return x / 2\n")
    (tmp_path / "app" / "__main__.py").write_text(
        "import sys, inside\n"
        "from himalia import Client\n"
        "class Box:\n    def __init__(self, x): self.x = x\n"
        "def double(box): return Box(box.x * 2)\n"
        "with Client(sys.argv[1]) as client:\n"
        "    print(client.submit(double, Box(4)).result(20).x, client.submit(inside.half, 8).result(20))\n"
    )
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "app.pyz"), cluster.scheduler_address],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "8 4.0\n"), done.stderr
