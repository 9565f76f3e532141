"""Dask collections on the cluster: ``get``, ``compute``, ``persist``.

Decides what of a graph is asked for and how its annotations are read.  Graphs are optimised here by Dask itself and
become calls in ``graphs.py``; the scheduler sees keys, dependencies and opaque bytes.  Dask is imported when it is
first needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

from himalia.client.dask.fusing import fuse
from himalia.client.dask.graphs import Graph
from himalia.client.engine.engine import Engine
from himalia.client.engine.state import Record
from himalia.client.engine.submitting import Submitter
from himalia.client.future import AnyFuture, Future, record_of
from himalia.client.packing.calls import Call, make_options
from himalia.errors import UsageError
from himalia.messages.parts import TaskOptions
from himalia.names import Key

Options: TypeAlias = dict[str, Any]
"""What :func:`make_options` takes."""

FIRST_CHUNK = 100
"""Calls of a graph that are sent at first, so that work begins."""
CHUNK = 500
"""Calls of a graph that are sent at once later: about 20 ms of pickling."""
HONOURED = ("priority", "retries", "workers", "allow_other_workers", "resources")
"""Annotations that mean something here."""


class GraphOptions(TypedDict, total=False):
    """Arguments of ``compute()`` and ``persist()`` that don't decide what they return."""

    workers: str | Iterable[str] | None
    allow_other_workers: bool
    resources: Mapping[str, float] | None
    retries: int | None
    priority: float
    traverse: bool


class Collections:
    """What a client does for Dask; see its methods of the same names."""

    def __init__(self, engine: Engine, submitter: Submitter) -> None:
        self._engine = engine
        self._submitter = submitter

    def get(self, dsk: object, keys: object, options: Options) -> object:
        """Submit what of a graph is needed, and return futures of ``keys`` in the same nested lists."""
        return _nest(keys, self._graph_to_futures(dsk, list(_flatten(keys)), options))

    def compute(self, collections: Any, options: Options, *, optimize_graph: bool, traverse: bool) -> object:
        """Return a future of the whole value of a collection, or a list of these and of what else there is."""
        from dask.base import is_dask_collection

        single = not isinstance(collections, list | tuple | set | frozenset)
        items = [collections] if single else list(collections)
        if traverse:
            items = [_delay_nested(item) for item in items]
        computed = [item for item in items if is_dask_collection(item)]
        futures = iter(self._compute_all(computed, optimize_graph, options) if computed else [])
        results = [next(futures) if is_dask_collection(item) else item for item in items]
        return results[0] if single else results

    def _compute_all(self, collections: list[object], optimize_graph: bool, options: Options) -> list[AnyFuture]:
        """Return a future of the whole value of each collection."""
        from dask._expr import FinalizeCompute
        from dask.base import collections_to_expr

        results: list[AnyFuture | None] = [None] * len(collections)
        for indices in _by_optimizer(collections):
            chosen = [collections[index] for index in indices]
            # One value for each, however many partitions it has.
            expr = FinalizeCompute(collections_to_expr(chosen, optimize_graph)).optimize()
            keys = list(_flatten(expr.__dask_keys__()))
            if len(keys) != len(chosen):
                raise UsageError(
                    f"Dask made {len(keys)} results of {len(chosen)} collections; compute them one by one."
                )
            futures = self._graph_to_futures(expr, keys, options)
            for index, key in zip(indices, keys, strict=True):
                results[index] = futures[key]
        return [future for future in results if future is not None]

    def persist(self, collections: Any, options: Options, *, optimize_graph: bool) -> object:
        """Return a collection, or a list of them, whose graphs are futures."""
        single = not isinstance(collections, list | tuple | set | frozenset)
        items = [collections] if single else list(collections)
        results: list[object] = [None] * len(items)
        for indices in _by_optimizer(items):
            persisted = self._persist_all([items[index] for index in indices], optimize_graph, options)
            for index, result in zip(indices, persisted, strict=True):
                results[index] = result
        return results[0] if single else results

    def _persist_all(self, collections: list[Any], optimize_graph: bool, options: Options) -> list[object]:
        from dask.base import collections_to_expr

        expr = collections_to_expr(collections, optimize_graph).optimize()
        keys = [list(_flatten(part)) for part in expr.__dask_keys__()]
        futures = self._graph_to_futures(expr, [key for part in keys for key in part], options)
        results = []
        for collection, part in zip(collections, keys, strict=True):
            rebuild, state = collection.__dask_postpersist__()
            results.append(rebuild({key: futures[key] for key in part}, *state))
        return results

    def _graph_to_futures(self, dsk: object, keys: Sequence[object], options: Options) -> dict[object, AnyFuture]:
        """Submit what of a graph is needed for ``keys``, and return a future for each of them."""
        self._engine.check_open()
        fused, names = fuse(dsk)
        # Who asks for what is inside of a chain, by a key of a graph that he has seen, gets just that.
        if all(key in names for key in keys):
            made = self._submit_graph(fused, [names[key] for key in keys], options)
            return {key: made[names[key]] for key in keys}
        return self._submit_graph(dsk, keys, options)

    def _submit_graph(self, dsk: object, keys: Sequence[object], options: Options) -> dict[object, AnyFuture]:
        nodes, futures = read_graph(dsk)
        # What exists already is held until it has futures of its own, or it might be released halfway.
        known = KnownKeys(self._engine)
        made: dict[Key, Record] = {}
        # One submission in several messages: the scheduler forgets nothing of it before the last one.
        batch = self._engine.shell.machine.next_batch()
        try:
            graph = Graph(
                nodes,
                {key: record_of(future).key for key, future in futures.items()},
                keys,
                self._submitter.calls,
                inline_limit=self._engine.settings.inline_limit,
                options=OptionsOf(read_annotations(dsk), options),
                is_known=known,
            )
            for calls, last in _chunks(graph.make_calls()):
                records = self._submitter.send(calls, batch, last=last)
                made.update((record.key, record) for record in records)
            return {key: self._future_of(key, graph, made) for key in keys}
        except BaseException:
            self._submitter.give_up(batch)
            raise
        finally:
            known.let_go()
            # Those that no future was made of: _future_of() takes out the others.
            self._engine.shell.let_go(list(made.values()))

    def _future_of(self, key: object, graph: Graph, made: dict[Key, Record]) -> AnyFuture:
        wire = graph.wire_key(key)
        # What existed already was not submitted.
        record = made.pop(wire, None) or self._engine.shell.hold([wire])[0]
        return Future(self._engine, record, None if key == wire else key)


class KnownKeys:
    """Which keys the client holds futures of; while a graph is submitted, those that it uses are held once more."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: list[Record] = []

    def __call__(self, key: Key) -> bool:
        record = self._engine.shell.hold_known(key)
        if record is not None:
            self._held.append(record)
        return record is not None

    def let_go(self) -> None:
        """Undo all holds."""
        self._engine.shell.let_go(self._held)


class OptionsOf:
    """What the annotations of a graph, and the arguments of the call that computes it, ask for each task.

    Parameters
    ----------
    annotations : mapping
        Name → Dask key → value.
    defaults : mapping
        Name → value, for keys without such an annotation.
    """

    def __init__(self, annotations: Mapping[str, Mapping[object, object]], defaults: Options) -> None:
        self._annotations = {name: found for name, found in annotations.items() if name in HONOURED and found}
        self._defaults = dict(defaults)
        self._made: dict[str, TaskOptions | None] = {}

    def __call__(self, key: object) -> TaskOptions | None:
        asked = self._defaults
        if self._annotations:
            found = {name: values[key] for name, values in self._annotations.items() if key in values}
            asked = {**asked, **{name: value for name, value in found.items() if value is not None}}
        # By their text, since lists and dicts have no hash; thousands of tasks share a few.
        text = repr(asked)
        if text not in self._made:
            # An annotation may say it alone, which is refused where a person writes it.
            if not asked.get("workers"):
                asked = {**asked, "allow_other_workers": False}
            self._made[text] = make_options(**asked)
        return self._made[text]


def read_graph(dsk: object) -> tuple[dict[object, object], dict[object, AnyFuture]]:
    """Return a graph's nodes, and the futures in the place of nodes."""
    from dask._task_spec import DataNode, convert_legacy_graph
    from dask.utils import ensure_dict

    graph = dsk.__dask_graph__() if hasattr(dsk, "__dask_graph__") else ensure_dict(dsk)
    nodes, futures = {}, {}
    for key, node in graph.items():
        # A persisted collection has futures in its graph, bare or as constants.
        value = node.value if type(node) is DataNode else node
        if type(value) is Future:
            futures[key] = value
        else:
            nodes[key] = node
    # All keys: nodes refer to those that are futures, too.
    return convert_legacy_graph(nodes, set(graph)), futures


def read_annotations(dsk: object) -> dict[str, dict[object, object]]:
    """Return a graph's annotations: name → key → value."""
    if hasattr(dsk, "__dask_annotations__"):
        found: dict[str, dict[object, object]] = dsk.__dask_annotations__()
        return found
    annotations: dict[str, dict[object, object]] = {}
    for layer in getattr(dsk, "layers", {}).values():
        for name, value in (getattr(layer, "annotations", None) or {}).items():
            of_name = annotations.setdefault(name, {})
            of_name.update((key, value(key) if callable(value) else value) for key in layer)
    return annotations


def given_options(
    priority: float,
    retries: int | None,
    workers: str | Iterable[str] | None,
    allow_other_workers: bool | None,
    resources: Mapping[str, float] | None,
) -> Options:
    """Return the options that somebody asked for: the caller, or ``dask.annotate`` around the call."""
    from dask.base import get_annotations

    asked: Options = {name: value for name, value in get_annotations().items() if name in HONOURED}
    # Callables are asked key by key, from the layers of the graph (read_annotations).
    asked = {name: value for name, value in asked.items() if not callable(value)}
    mine = {
        # 0 and False are what is passed on when nothing was asked for; then the annotation counts.
        "priority": priority or None,
        "retries": retries,
        # An iterator would be used up by the first task.
        "workers": workers if workers is None or isinstance(workers, str) else tuple(map(str, workers)),
        "allow_other_workers": allow_other_workers or None,
        "resources": None if resources is None else dict(resources),
    }
    return {**asked, **{name: value for name, value in mine.items() if value is not None}}


def _by_optimizer(collections: list[object]) -> list[list[int]]:
    """Return the indices of collections in groups that Dask optimises together.

    Asked for several kinds at once, Dask gives results back in another order than that of the collections.
    """
    from dask._expr import Expr

    groups: dict[object, list[int]] = {}
    for index, collection in enumerate(collections):
        is_expression = isinstance(getattr(collection, "expr", None), Expr)
        optimizer = "expression" if is_expression else getattr(collection, "__dask_optimize__", None)
        groups.setdefault(optimizer, []).append(index)
    return list(groups.values())


def _delay_nested(item: object) -> object:
    """Return containers that hold collections as one collection, everything else as it is."""
    from dask import delayed
    from dask.base import is_dask_collection

    if isinstance(item, list | tuple | set | frozenset | dict | Iterator) and not is_dask_collection(item):
        return delayed(item)
    return item


def _chunks(calls: Iterator[Call]) -> Iterator[tuple[list[Call], bool]]:
    """Yield calls in lists, and with each whether it is the last one; at least one, maybe empty."""
    size = FIRST_CHUNK
    chunk = list(itertools.islice(calls, size))
    while True:
        # One chunk ahead, to know which is the last.
        following = list(itertools.islice(calls, CHUNK)) if chunk else []
        yield chunk, not following
        if not following:
            return
        chunk = following


def _flatten(keys: object) -> Iterator[object]:
    # Lists only: a tuple is a key.
    if isinstance(keys, list):
        for key in keys:
            yield from _flatten(key)
    else:
        yield keys


def _nest(keys: object, futures: Mapping[object, object]) -> object:
    if isinstance(keys, list):
        return [_nest(key, futures) for key in keys]
    return futures[keys]
