"""How Dask learns of the default client: two settings of its own, set when it is imported, by whoever imports it.

Decides when Dask's settings are touched: only while a client of himalia is the default, and never a value that the
user set. Dask is not imported for it (a second of start-up for people who don't use it): a hook on the import system
waits for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from importlib.abc import Loader  # which takes 8 ms to import, and nothing needs to inherit from

    from himalia.client.client import Client

METHODS: Final = (("dataframe", "shuffle", "method"), ("array", "rechunk", "method"))
"""Settings for which Dask asks whether ``distributed`` has a client; here the answer is always ``tasks``."""

_client: Client | None = None
_original: dict[str, object] = {}
"""What the settings were before they were ours; ``_MISSING`` for those that weren't there."""
_MISSING: Final = object()


def use(client: Client | None) -> None:
    """Have Dask collections computed by ``client``, or as if himalia weren't there."""
    global _client
    previous, _client = _client, client
    config = sys.modules.get("dask.config")
    # Without that attribute the module is just being imported.
    if config is not None and hasattr(config, "config"):
        _configure(config, previous)
    elif client is not None and not any(isinstance(finder, _DaskFinder) for finder in sys.meta_path):
        # In front: whoever finds a module ends the search for it.
        sys.meta_path.insert(0, _DaskFinder())


def _configure(config: ModuleType, previous: Client | None) -> None:
    settings = config.config
    current = settings.get("scheduler")
    # client.get is a new object each time; what it is bound to says whose it is.
    is_ours = previous is not None and current is not None and getattr(current, "__self__", None) is previous
    # Collections block while they compute, which an asynchronous client can't.
    if _client is not None and not _client.asynchronous and (is_ours or current is None):
        settings["scheduler"] = _client.get
    elif is_ours:
        del settings["scheduler"]
    for path in METHODS:
        _choose_tasks(settings, path)


def _choose_tasks(settings: dict[str, Any], path: Sequence[str]) -> None:
    """Set a method to ``tasks`` if the user chose none, and take that back when no client is the default."""
    *parents, last = path
    for name in parents:
        settings = settings.setdefault(name, {})
        if not isinstance(settings, dict):
            return
    name = ".".join(path)
    if _client is not None:
        if settings.get(last) is None:
            _original[name] = settings.get(last, _MISSING)
            settings[last] = "tasks"
    elif name in _original:
        before = _original.pop(name)
        if settings.get(last) == "tasks":
            if before is _MISSING:
                del settings[last]
            else:
                settings[last] = before


class _DaskFinder:
    """Finds ``dask.config`` as everybody else would, and adds one step after it was run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "dask.config":
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader)  # type: ignore[assignment]  # it does what one does
                return spec
        return None


class _Loader:
    """Loads a module as its own loader does, then configures it for the default client."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        # From here on nobody sees that we were here.
        module.__loader__ = self._loader
        # In place: others may hold this very list.
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _DaskFinder)]
        _configure(module, None)
