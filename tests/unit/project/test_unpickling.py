"""Who may turn bytes into objects: a pickle runs what it likes, so only files that are named here read one."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Final

from tests.unit.project.tree import imports, modules, parsed

READS_PICKLES: Final = {
    "himalia.serialize": "the only one that calls pickle.loads",
}
LOADS_VALUES: Final = {
    "himalia.callables": "makes a function of its body, in a worker",
    "himalia.surroundings": "unpickles a function or call once its folders can be imported from, in a worker",
    "himalia.exceptions": "makes an exception of its parts, in a client (and tries it once, where it was raised)",
    "himalia.itemwise": "loads parts of a shuffle's split, in who loads that",
    "himalia.worker.calls": "loads a call and its inputs",
    "himalia.client.engine.values": "loads results for who gathers them",
    "himalia.client.running": "loads what Client.run gives",
    "himalia.client.recreate": "loads a call and its inputs, to run it again here",
    "himalia.client.packing.remote": "what a pickled call names: runs in a worker",
    "himalia.client.packing.functions": "names the function that a worker calls",
    "himalia.client.dask.graphs": "the same, for a graph's tasks",
    "himalia.testing.stages.fake_cluster": "runs calls as a worker would, in tests",
}
"""Who uses ``serialize.loads`` or ``loads_packed``."""
READERS: Final = frozenset({"loads", "load", "Unpickler", "loads_packed"})
PICKLERS: Final = frozenset({"pickle", "_pickle", "cloudpickle", "marshal", "shelve", "dill", "joblib"})
"""Modules whose bytes may run code when they are read."""


def uses(module: str, homes: frozenset[str]) -> bool:
    """Whether a module reads bytes by a function of one of these modules, called or passed on."""
    for node in ast.walk(parsed(modules()[module])):
        match node:
            case ast.Attribute(value=ast.Name(id=home), attr=name) if home in homes and name in READERS:
                return True
            case ast.ImportFrom(module=str(home), names=names) if home.rpartition(".")[2] in homes:
                if any(alias.name in READERS for alias in names):
                    return True
    return False


def test_one_file_reads_pickles() -> None:
    assert [name for name in modules() if uses(name, PICKLERS)] == list(READS_PICKLES)


def test_only_named_files_load_values() -> None:
    found = {name for name in modules() if uses(name, frozenset({"serialize"}))}
    assert found == LOADS_VALUES.keys()


def test_scheduler_and_nanny_can_not_unpickle_whatever_they_import() -> None:
    """Neither at the top of a file nor inside a function is there a way from them to anything that could."""
    below: dict[str, set[str]] = {}
    for one in imports():
        if one.moment != "typing":
            below.setdefault(one.module, set()).add(one.target)
    reached = {name for name in modules() if name.startswith(("himalia.scheduler", "himalia.nanny"))}
    queue = list(reached)
    for name in queue:
        new = below.get(name, set()) - reached - {"himalia"}
        reached |= new
        queue += new
    assert sorted(reached & PICKLERS) == []
    assert sorted(reached & (READS_PICKLES.keys() | LOADS_VALUES.keys())) == []


def test_the_processes_of_scheduler_and_nanny_have_no_pickler_of_ours() -> None:
    never = ["cloudpickle", "himalia.serialize", "himalia.cloud", "himalia.exceptions", "himalia.client"]
    code = (
        "import sys, himalia.scheduler.__main__, himalia.scheduler.shell, himalia.nanny.__main__, himalia.nanny.shell; "
        f"print([name for name in {never} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert result.stdout.strip() == "[]", result.stderr
