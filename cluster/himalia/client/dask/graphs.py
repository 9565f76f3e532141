"""From a Dask graph to calls: one per node that has to be computed, in Dask's own order.

Decides how each node travels.  Most are a function and arguments already, so that is what is sent: the function by
its digest, references to other nodes as references to their results, and no code of Dask runs around it in the
worker.  Nodes inside nodes are sent as they are and evaluated there.

- **Aliases** cost nothing: whoever refers to one is given the key behind it (``graph_keys.py``).
- **Constants** are put into the calls that need them if they are small, else stored on a host once.
"""

from __future__ import annotations

import io
import pickle
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from himalia import serialize
from himalia.client.dask.graph_keys import GraphKeys, Node
from himalia.client.packing.calls import Call, CallMaker, Parcel
from himalia.client.packing.functions import BODY_LIMIT, PickledFunction, is_importable
from himalia.client.packing.remote import Reference, identity, run_node
from himalia.local_modules import LOCAL_MODULES
from himalia.messages.parts import TaskOptions, TaskSpec
from himalia.names import Key
from himalia.telemetry.group_names import group_name
from himalia.wellformed import LABEL_LIMIT, label_of, name_of

SMALL: Final = 1024
"""Bytes of a pickled constant that is copied into each call that needs it: pickling so many more takes
0.1 µs (measured), but the scheduler keeps every copy, a MiB for a thousand calls."""


class Nested(Exception):
    """An argument is a task itself; its node has to be evaluated by Dask's own rules."""


class Graph:
    """A graph on its way to the cluster.

    Parameters
    ----------
    nodes : mapping
        Dask key → ``GraphNode``; only of what may have to be computed.
    externals : mapping
        Dask key → wire key, of results that exist already: futures in the graph.
    wanted : iterable
        Dask keys whose results are asked for.
    calls : CallMaker
    inline_limit : int
        Bytes of a packed call that still rides inside a message.
    options : callable
        Dask key → what its annotations ask for.
    is_known : callable
        Wire key → whether the client holds a future of it, so that it needs no computing.
    """

    def __init__(
        self,
        nodes: Mapping[object, Node],
        externals: Mapping[object, Key],
        wanted: Iterable[object],
        calls: CallMaker,
        *,
        inline_limit: int,
        options: Callable[[object], TaskOptions | None],
        is_known: Callable[[Key], bool],
    ) -> None:
        from dask import _task_spec as spec

        self._spec = spec
        self._converters: dict[type, Callable[[Any], object]] = {
            spec.TaskRef: lambda ref: self._refer(ref.key),
            spec.Alias: lambda alias: self._refer(alias.target),
            spec.DataNode: lambda node: self._convert_data(node.value),
            spec.List: lambda node: [self._convert(arg) for arg in node.args],
            spec.Tuple: lambda node: tuple([self._convert(arg) for arg in node.args]),
            spec.Set: lambda node: {self._convert(arg) for arg in node.args},
            spec.Dict: self._convert_dict,
        }
        self._keys = GraphKeys(nodes, externals, wanted, is_known)
        self._calls = calls
        self._limit = inline_limit
        self._options = options
        self._constants: dict[object, object] = {}
        # By id; with the value, so that no other gets the same id.
        self._large: dict[int, tuple[object, Reference]] = {}
        self._parcels: list[Parcel] = []
        # By id too; what is pickled holds its function.
        self._functions: dict[int, PickledFunction] = {}

    def wire_key(self, key: object) -> Key:
        """Return how a key of the graph is called on the cluster."""
        return self._keys.wire_key(key)

    def make_calls(self) -> Iterator[Call]:
        """Yield a call for each node that has to be computed, dependencies before dependents.

        The first of them may bring parcels that later ones need.
        """
        from dask.order import order

        nodes, with_aliases = self._keys.needed()
        # With the aliases: without them Dask would miss the edges that lead through one.
        ranks: dict[object, int] = order(with_aliases)  # in which a graph is finished depth-first
        uses = Counter(id(node.func) for node in nodes.values() if type(node) is self._spec.Task)
        data_node = self._spec.DataNode
        for key in self._in_order(nodes, ranks):
            node = nodes[key]
            if isinstance(node, data_node):
                call = self._call_of_constant(key, node.value, ranks[key])
                if call is None:
                    continue
            else:
                call = self._call_of_node(key, node, ranks[key], uses)
            if self._parcels:
                call.parcels = self._parcels + call.parcels
                self._parcels = []
            yield call

    def _in_order(self, nodes: Mapping[object, Node], ranks: Mapping[object, int]) -> list[object]:
        """Return the keys in Dask's order, but constants right before what needs them first."""
        data_node = self._spec.DataNode
        constants = {key for key, node in nodes.items() if isinstance(node, data_node)}
        if not constants:
            return sorted(nodes, key=ranks.__getitem__)
        # Odd numbers for nodes, so that a constant fits in right before one.
        first = {key: ranks[key] * 2 + 1 for key in nodes}
        for key, node in nodes.items():
            for dependency in node.dependencies:
                target = self._keys.target(dependency)
                if target in constants:
                    first[target] = min(first[target], ranks[key] * 2)
        return sorted(nodes, key=first.__getitem__)

    # Nodes

    def _call_of_node(self, key: object, node: Node, rank: int, uses: Mapping[int, int]) -> Call:
        function: Callable[..., object] = run_node
        named: PickledFunction | None
        with serialize.collecting() as found:
            try:
                if key in self._keys.copies:
                    node = self._spec.Task(key, identity, self._spec.TaskRef(node.target))
                if type(node) is not self._spec.Task:
                    raise Nested
                args = tuple([self._convert(arg) for arg in node.args])
                kwargs = {name: self._convert(value) for name, value in node.kwargs.items()}
                function, count = node.func, uses.get(id(node.func), 1)
            except Nested:
                args = (node, {dependency: self._refer(dependency) for dependency in node.dependencies})
                # run_node is the function of all such calls, so it is worth a name.
                kwargs, count = {}, 2
            # A function of one call rides inside, unless its body says where to import from: a worker reads that first.
            named = self._pickled(function) if count > 1 or self._calls.functions.has_difference() else None
            if named is not None and (named.dependencies or len(named.body) > BODY_LIMIT):
                named = None
            frames = self._dumps((args, kwargs) if named is not None else (function, args, kwargs))
        return self._finish(key, frames, tuple(found), rank, named)

    def _call_of_constant(self, key: object, value: object, rank: int) -> Call | None:
        """Return a call that makes a constant a result, if one is asked for; else remember it for its dependents."""
        with serialize.collecting() as found:
            frames = self._dumps(value)
        if found or key in self._keys.wanted:  # a worker puts the values of futures into it, and makes it a result
            with serialize.collecting() as found:
                named = self._pickled(identity)
                return self._finish(key, self._dumps(((value,), {})), tuple(found), rank, named)
        if serialize.nbytes(frames) > SMALL:
            # under a name of its own: a later graph may ask for the key itself, which then is a call
            name = self._calls.keys.unique("himalia-constant")
            self._parcels.append(Parcel(name, "himalia-constant", frames, label_of(type(value))))
            self._constants[key] = Reference(name)
        else:
            self._constants[key] = value
        return None

    def _finish(
        self,
        key: object,
        frames: list[serialize.Buffer],
        dependencies: tuple[Key, ...],
        rank: int,
        named: PickledFunction | None,
    ) -> Call:
        wire = self._keys.wire_key(key)
        parcels: list[Parcel] = []
        argument, call = "", b""
        if serialize.nbytes(frames) <= self._limit:
            call = serialize.pack(frames)
        else:
            parcels.append(Parcel(self._calls.keys.unique("himalia-argument"), "himalia-argument", frames, "tuple"))
            argument = parcels[0].key
            dependencies = (*dependencies, parcels[0].key)
        digest = b"" if named is None else named.digest
        spec = TaskSpec(
            wire,
            name_of(group_name(key), LABEL_LIMIT),
            digest,
            call,
            dependencies,
            rank,
            key in self._keys.wanted,
            argument,
            self._options(key),
        )
        return Call(spec, parcels, named)

    # Arguments

    def _convert(self, value: object) -> object:
        converter = self._converters.get(type(value))
        if converter is not None:
            return converter(value)
        if isinstance(value, self._spec.GraphNode):
            raise Nested
        return self._convert_data(value)

    def _convert_data(self, value: object) -> object:
        """Return a large array or frame as a reference to the one copy of it that is stored."""
        size = getattr(value, "nbytes", 0)
        # Anything may have an attribute of that name.
        if type(size) is not int or size <= self._limit or isinstance(value, type):
            return value
        known = self._large.get(id(value))
        if known is None:
            key = self._calls.keys.unique("himalia-constant")
            self._parcels.append(Parcel(key, "himalia-constant", serialize.dumps(value), label_of(type(value))))
            known = self._large[id(value)] = (value, Reference(key))
        return known[1]

    def _convert_dict(self, node: Node) -> object:
        args = node.args
        # Dask keeps names and values by turns.
        names = [self._convert(name) for name in args[::2]]
        return dict(zip(names, [self._convert(value) for value in args[1::2]], strict=True))

    def _refer(self, key: object) -> object:
        key = self._keys.target(key)
        if key in self._constants:
            return self._constants[key]
        return Reference(self._keys.wire_key(key))

    # Pickles

    def _pickled(self, function: Callable[..., object]) -> PickledFunction:
        pickled = self._functions.get(id(function))
        if pickled is None:
            pickled = self._functions[id(function)] = self._calls.functions.pickle(function)
        return pickled

    def _dumps(self, value: object) -> list[serialize.Buffer]:
        """Pickle arguments; functions of a notebook inside of them are pickled once per graph."""
        try:
            # The C pickler first; it is ten times faster than what follows.
            data = pickle.dumps(value, 5)
        except Exception:  # the notebook's functions can't be named; nor can what isn't to be pickled at all
            data = b""
        if not data or LOCAL_MODULES.are_named_in(data):
            return self._dumps_by_value(value)
        if len(data) > self._limit:
            return serialize.dumps(value)  # buffers apart
        return [data]

    def _dumps_by_value(self, value: object) -> list[serialize.Buffer]:
        file = io.BytesIO()
        try:
            _FunctionPickler(file, self._pickled).dump(value)
        except Exception:  # cloudpickle may know better, or says it better
            return serialize.dumps(value)
        return [file.getvalue()]


class _FunctionPickler(pickle.Pickler):
    """A pickler that puts in functions which were pickled before, and refuses whatever else is in this process only."""

    def __init__(self, file: Any, pickled: Callable[[Callable[..., object]], PickledFunction]) -> None:
        super().__init__(file, 5)
        self._pickled = pickled

    def reducer_override(self, value: Any) -> Any:
        """Return how to pickle a function; see ``pickle.Pickler``."""
        kind = type(value)
        if issubclass(kind, type) and serialize.travels_by_value(value.__module__):
            raise pickle.PicklingError(f"{value!r} is to be pickled by value")
        if kind is not types.FunctionType or is_importable(value):
            return NotImplemented
        pickled = self._pickled(value)
        # It was pickled before, and nobody notes its futures this time.
        for key in pickled.dependencies:
            serialize.reference(key)
        return serialize.loads_packed, (pickled.plain,)
