"""Which modules exist in this process alone, so that what they define has to travel by value.

A pickle names functions and classes by their module, and whoever reads it imports that.  This works for what lies in
files that both sides find.  It doesn't for a notebook's ``__main__``, for the script of a process that multiprocessing
started (``__mp_main__``), for a module that was made by hand or executed from a file that is on nobody's path, nor for
one that has the name of another on the path.  It decides by the way in which a fresh process would look for a module,
and it pickles nothing.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed.importlib import MetaPathFinderProtocol

SCRIPTS: Final = ("__main__", "__mp_main__")
"""Names that mean another module in every process."""
SHORT: Final = 255
"""Characters of the longest name that a pickle writes in its short form; no module has a longer one."""


class LocalModules:
    """The modules of this process that others can't import, kept up to date as modules come and go; any thread."""

    def __init__(self) -> None:
        self._signature: object = None
        self._judged: dict[str, tuple[int, bool]] = {}
        """Name without dots → identity of its module when it was looked at, and whether it is local."""
        self._names: frozenset[str] = frozenset(SCRIPTS)
        self._marks: tuple[bytes, ...] = tuple(map(_mark, SCRIPTS))

    def names(self) -> frozenset[str]:
        """Return the names of all modules whose functions and classes travel by value."""
        self._refresh()
        return self._names

    def are_named_in(self, pickled: bytes) -> bool:
        """Whether a pickle of protocol 4 or 5 names one of them (or holds such a string, which does no harm)."""
        # One look at the bytes instead of unpickling them: this is asked of every pickle.
        if b"\x93" not in pickled:  # STACK_GLOBAL: it names nothing at all, as most arguments
            return False
        self._refresh()
        return any([mark in pickled for mark in self._marks])

    def _refresh(self) -> None:
        modules = sys.modules
        chosen = _chosen_by_user()
        try:
            # An import appends, so count and last entry tell of nearly every change; to compare all modules before each
            # pickle would cost more than most pickles.
            last = next(reversed(modules))
            signature = (len(modules), last, id(modules.get(last)), chosen)
        except (RuntimeError, StopIteration):  # another thread imports at this moment
            signature = None
        if signature is not None and signature == self._signature:
            return
        # Those of the user's own choice are in: they are to travel by value wherever they could be found.
        names = {*SCRIPTS, *chosen}
        judged: dict[str, tuple[int, bool]] = {}
        # In one step: iterating would meet another thread's import.
        found = modules.copy()
        for name, module in found.items():
            # A package is in one place; what is below it is where it is.
            root = name.partition(".")[0]
            if root not in judged:
                base = found.get(root, module)
                known = self._judged.get(root)
                # A module in whose place another was put is judged again.
                judged[root] = known if known and known[0] == id(base) else (id(base), is_local(root, base))
            if judged[root][1] or (chosen and _is_below(name, chosen)):
                names.add(name)
        self._judged = judged
        self._names = frozenset(names)
        self._marks = tuple(map(_mark, sorted(names)))
        # Last: another thread that looks meanwhile does the work a second time rather than use what is half done.
        self._signature = signature


def is_local(name: str, module: object) -> bool:
    """Whether a fresh process that looks for this top-level module would not find it, or would find another."""
    if name in SCRIPTS:
        return True
    if name in sys.stdlib_module_names or name in sys.builtin_module_names or not isinstance(module, types.ModuleType):
        return False
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        if file.endswith(tuple(EXTENSION_SUFFIXES)):  # nothing of it could travel by value
            return False
        folder, base = os.path.split(file)
        if base.startswith("__init__."):
            folder = os.path.dirname(folder)
        # The usual case, without the finders, which look into directories.
        if folder in sys.path and base.partition(".")[0] in (name, "__init__"):
            return False
    # Not module.__spec__, which says how it came to this process, not what another one would find.
    spec = _find(name)
    if spec is None:
        return True
    # A namespace package, or one that is built in: there is no file to compare.
    if not isinstance(file, str) or not spec.has_location or not spec.origin:
        return False
    # The same name on the path, another file: a reader would import the wrong one, and say nothing.
    return _source(file) != _source(spec.origin)


def _find(name: str) -> ModuleSpec | None:
    """Return the spec that a fresh process would find: on the path, or by the finder of an editable install."""
    finders: list[MetaPathFinderProtocol] = [PathFinder]
    # Of the others on the meta path some find everything (a test runner's import hook), which a fresh process doesn't
    # have.
    finders += [finder for finder in sys.meta_path if "editable" in str(getattr(finder, "__module__", ""))]
    for finder in finders:
        try:
            spec: ModuleSpec | None = finder.find_spec(name, None)
        except Exception:  # a finder of whatever package
            continue
        if spec is not None:
            return spec
    return None


def _source(file: str) -> str:
    # The finder names a module by its source; links are followed, since sys.path may name either end.
    return os.path.realpath(file.removesuffix("c") if file.endswith(".pyc") else file)


def _mark(name: str) -> bytes:
    """Return what a pickle contains if it names this module: SHORT_BINUNICODE, the length, the name."""
    # As pickle itself writes it.
    encoded = name.encode(errors="surrogatepass")[:SHORT]
    return b"\x8c" + bytes([len(encoded)]) + encoded


def _chosen_by_user() -> frozenset[str]:
    """Return the modules that the user asked cloudpickle to take by value."""
    # Not imported for this: whoever never loaded it has registered nothing.
    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    if cloudpickle is None:
        return frozenset()
    try:
        return frozenset(cloudpickle.list_registry_pickle_by_value())
    except AttributeError:  # another thread is importing it
        return frozenset()


def _is_below(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


LOCAL_MODULES: Final = LocalModules()
