"""Which versions run where, and whether they fit together.

Decides which packages matter, and what a difference looks like to a person.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from himalia.version import __version__

REQUIRED: Final = ("python", "himalia", "msgspec", "cloudpickle")
"""A difference here makes pickles or messages unreadable sooner or later; of Python the minor version counts."""
SHARED: Final = ("dask", "numpy", "pandas", "pyarrow", "tornado", "uvloop")
"""Packages whose objects users send, or that explain a difference in speed."""


def versions_here(packages: Sequence[str] = ()) -> dict[str, str]:
    """Return the versions of the packages of this process that matter; those that are not installed are left out."""
    import importlib.metadata  # a tenth of the client's whole import, and rarely needed

    found = {"python": platform.python_version(), "himalia": __version__}
    for name in (*REQUIRED[2:], *SHARED, *packages):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class Versions(TypedDict, total=False):
    """Versions by package: of the client, the scheduler, and by address of nannies and workers."""

    client: dict[str, str]
    scheduler: dict[str, str]
    nannies: dict[str, dict[str, str]]
    workers: dict[str, dict[str, str]]


def compare(versions: Versions) -> str:
    """Return a table of the packages whose versions differ, or an empty text.

    Parameters
    ----------
    versions : mapping
        ``client`` and ``scheduler`` with their packages, ``nannies`` and ``workers`` with one such mapping each.
    """
    columns: dict[str, Mapping[str, str]] = {"client": versions["client"]}
    if versions.get("scheduler"):
        columns["scheduler"] = versions["scheduler"]
    columns |= versions.get("nannies", {}) | versions.get("workers", {})
    rows = []
    for package in dict.fromkeys(name for column in columns.values() for name in column):
        if _differs(package, versions, columns):
            rows.append((package, {name: column.get(package, "–") for name, column in columns.items()}))
    return _table(rows, list(columns)) if rows else ""


def _differs(package: str, versions: Versions, columns: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a package is not the same wherever it counts: scheduler and nannies never unpickle users' objects."""
    if package in REQUIRED:
        shown = [column[package] for column in columns.values() if package in column]
    else:
        readers = [versions["client"], *versions.get("workers", {}).values()]
        # Where one is missing, what is made of it can't be unpickled.
        shown = [reader.get(package, "–") for reader in readers]
    if package == "python":
        shown = [version.rpartition(".")[0] for version in shown]
    return len(set(shown)) > 1


def _table(rows: list[tuple[str, dict[str, str]]], columns: list[str]) -> str:
    """Return rows of packages; columns that are equal are shown once."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for column in columns:
        alike.setdefault(tuple(values[column] for _, values in rows), []).append(column)
    heads = [
        ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") for names in alike.values()
    ]
    lines = [
        ["package", *heads],
        *([package, *(values[names[0]] for names in alike.values())] for package, values in rows),
    ]
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
    advice = "Objects pickled by one may be unreadable to another: start client and workers from the same environment."
    return f"Versions differ:\n\n{text}\n\n{advice}"
