"""Who imports whom: packages lie on floors, and what is below never needs what is above (docs/design.md, "Layout")."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module
from typing import Final

import pytest

from tests.unit.project.tree import Import, imports, modules

GROUND: Final = (
    "backlog bounds bucket child decoders descriptors driver errors local_modules machine named_file "
    "names notebook_cells plural private run settings system version views wellformed"
)
"""Single files that need nothing but each other."""
VALUES: Final = "callables cloud exceptions itemwise serialize surroundings"
"""What makes bytes of a user's values, and values of bytes; only clients and workers have it."""

FLOORS: Final = {
    "ground": "",
    "messages": "ground",
    "usage": "ground messages",
    "telemetry": "ground messages",
    "show": "ground messages",
    "comm": "ground messages",
    "values": "ground messages comm",
    "worker": "ground messages comm values",
    "nanny": "ground messages usage comm worker",
    "scheduler": "ground messages usage telemetry comm",
    "registry": "ground comm",
    "follow": "ground messages telemetry show comm",
    "client": "ground messages telemetry show comm values registry follow",
    "deploy": "ground messages show comm scheduler registry follow",
    "cli": "ground show",
    "__main__": "cli",
    "testing": "ground messages comm values nanny scheduler client",
    "himalia_widgets": "ground messages telemetry show comm registry follow client deploy",
    "himalia_labextension": "ground registry follow",
}
"""From the ground up: a package, and what its files import at their top.  Each names only what is listed before it."""

LATER: Final = {
    ("client", "deploy"): "Client() without an address starts a LocalCluster",
    ("deploy", "client"): "Cluster.get_client() makes one",
    ("deploy", "nanny"): "`himalia worker` runs a nanny in this process; who only lists clusters doesn't load it",
    ("cli", "deploy"): "each command loads what it needs, so that --help is quick",
}
"""What is imported inside functions beyond that, with the reason."""

TYPES: Final = {
    ("ground", "client"): "a type checker has to see what `himalia.Client` is; it is loaded when it is used",
    ("ground", "deploy"): "the same for `himalia.LocalCluster`",
    ("comm", "nanny"): "the data plane writes into a store that it is handed; a Protocol would repeat its 14 methods",
    ("client", "deploy"): "what Client.cluster is",
    ("deploy", "nanny"): "what a nanny is told",
    ("deploy", "client"): "what Cluster.get_client() returns",
}
"""What only a type checker imports beyond that."""


def floor_of(module: str) -> str:
    """The row of FLOORS that a module of the runtime belongs to; for a package of the wheel its own name."""
    package, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    if package != "himalia":
        return package
    if not name or name in GROUND.split():
        return "ground"
    return "values" if name in VALUES.split() else name


def beyond(moment: str, *allowed: dict[tuple[str, str], str]) -> list[str]:
    """The imports of one kind that no table has."""
    return [
        f"{one.module} imports {one.target}"
        for one in imports()
        if one.moment == moment and crosses(one) and not is_named(one, *allowed)
    ]


def crosses(one: Import) -> bool:
    return one.target in modules() and floor_of(one.module) != floor_of(one.target)


def is_named(one: Import, *allowed: dict[tuple[str, str], str]) -> bool:
    here, there = floor_of(one.module), floor_of(one.target)
    return there in FLOORS.get(here, "").split() or any((here, there) in table for table in allowed)


def test_every_package_has_a_floor() -> None:
    assert sorted({floor_of(name) for name in modules()} - FLOORS.keys()) == []


def test_a_floor_stands_on_lower_ones_only() -> None:
    order = list(FLOORS)
    upwards = [
        (name, below)
        for name, row in FLOORS.items()
        for below in row.split()
        if below not in order[: order.index(name)]
    ]
    assert upwards == []


def test_imports_at_the_top_of_a_file_follow_the_table() -> None:
    assert beyond("top") == []


def test_imports_inside_functions_follow_the_table() -> None:
    assert beyond("lazy", LATER) == []


def test_imports_for_types_follow_the_table() -> None:
    assert beyond("typing", TYPES) == []


@pytest.mark.parametrize(("moment", "table"), [("lazy", LATER), ("typing", TYPES)])
def test_no_exception_is_left_over(moment: str, table: dict[tuple[str, str], str]) -> None:
    used = {(floor_of(one.module), floor_of(one.target)) for one in imports() if one.moment == moment}
    assert [pair for pair in table if pair not in used] == []


def test_views_know_no_engine() -> None:
    """They are fed by a source (docs/notes/0019): what our client does inside is no business of theirs."""
    found = [one for one in imports() if one.module.startswith("himalia_widgets")]
    assert [one for one in found if one.target.startswith("himalia.client.engine")] == []


def test_no_circle_of_imports_when_files_are_loaded() -> None:
    """A table of packages can't see circles inside of one."""
    below: dict[str, set[str]] = {name: set() for name in modules()}
    for one in imports():
        if one.moment == "top" and one.target in below and one.target != one.module:
            below[one.module].add(one.target)
    below["himalia"] = set()  # it loads its names when they are used
    while leaves := [name for name, targets in below.items() if not targets]:
        for name in leaves:
            del below[name]
        for targets in below.values():
            targets.difference_update(leaves)
    assert below == {}


def files_of(package: str) -> list[str]:
    found = import_module(package)
    return [package, *(info.name for info in pkgutil.walk_packages(found.__path__, f"{package}."))]


def test_who_lists_and_follows_clusters_loads_no_engine() -> None:
    wanted = files_of("himalia.registry") + files_of("himalia.follow")
    never = ["himalia.client", "himalia.deploy", "himalia.scheduler", "himalia.nanny", "himalia.worker"]
    never += ["himalia.serialize", "himalia.cloud", "cloudpickle"]
    code = f"import sys, {', '.join(wanted)}; print([name for name in {never} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert result.stdout.strip() == "[]", result.stderr
