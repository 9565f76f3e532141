"""Keys of a Dask graph: which stand for others, and what each is called on the cluster.

Decides that an alias costs nothing (whoever refers to it is given the key behind it), and that a key which is asked
for keeps its name on the cluster: Dask may drop a future from a later graph and refer to it by that name alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeAlias

from himalia.errors import UsageError
from himalia.names import Key, shorten
from himalia.wellformed import key_of

Node: TypeAlias = Any
"""One of a Dask graph; Dask's classes have no types."""


class GraphKeys:
    """The keys of one graph.

    Parameters
    ----------
    nodes : mapping
        Dask key → ``GraphNode``.
    externals : mapping
        Dask key → wire key, of futures in the graph.
    asked : iterable
        Dask keys whose results are asked for.
    is_known : callable
        Wire key → whether the client holds a future of it, so that it needs no computing.

    Attributes
    ----------
    existing : set
        Keys of results that exist already, or are on their way.
    copies : set
        Keys that are asked for and mean the same as another one that is: they are computed, as copies.
    wanted : set
        Keys of the nodes that have to be computed, or exist, because they are asked for.
    """

    def __init__(
        self,
        nodes: Mapping[object, Node],
        externals: Mapping[object, Key],
        asked: Iterable[object],
        is_known: Callable[[Key], bool],
    ) -> None:
        from dask._task_spec import Alias

        self._alias = Alias
        self._nodes = nodes
        self._is_known = is_known
        self._wire: dict[Hashable, Key] = dict(externals)
        self._names: dict[Hashable, Key] = {}
        self.existing: set[Hashable] = set(externals)
        self.copies: set[Hashable] = set()
        self.asked = list(dict.fromkeys(asked))
        # These keep their own names on the cluster, so that no alias can give them another.
        plain = {key for key in self.asked if not isinstance(nodes.get(key), Alias)}
        for key in self.asked:
            if key not in plain and key not in self.existing:
                self._name_alias(key, plain)
        self.wanted = {self.target(key) for key in self.asked}

    def _name_alias(self, key: object, plain: set[object]) -> None:
        """Have what is behind an alias that is asked for called by the alias's name, or make it a copy."""
        target, name = self.target(key), wire_name(key)
        if target in plain or target in self._names:
            self.copies.add(key)
        elif target in self.existing:
            if self._wire[target] != name:
                self.copies.add(key)
        else:
            self._names[target] = name

    def target(self, key: object) -> object:
        """Return the key behind an alias, or behind an alias of one."""
        seen = set()
        while key not in self.existing and key not in self.copies:
            node = self._nodes.get(key)
            if not isinstance(node, self._alias):
                break
            if key in seen:
                raise UsageError(f"The graph's key {shorten(str(key))} is an alias of itself.")
            seen.add(key)
            key = node.target
        return key

    def wire_key(self, key: object) -> Key:
        """Return how a key is called on the cluster.

        Raises
        ------
        UsageError
            If it is neither in the graph nor a future's.
        """
        key = self.target(key)
        wire = self._wire.get(key)
        if wire is None:
            wire = self._wire[key] = self._names.get(key) or wire_name(key)
            # Asked once for each key, since who answers also holds what it finds.
            if self._is_known(wire):
                self.existing.add(key)
            elif key not in self._nodes:
                raise UsageError(f"The graph refers to {shorten(wire)}, which is neither in it nor a future's key.")
        return wire

    def needed(self) -> tuple[dict[object, Node], dict[object, Node]]:
        """Return the nodes that have to be computed for what is asked for; and these with the aliases between them."""
        found: dict[object, Node] = {}
        seen: dict[object, Node] = {}
        stack = list(self.asked)
        while stack:
            key = stack.pop()
            if key in seen or key in self.existing:
                continue
            node = self._nodes.get(key)
            if isinstance(node, self._alias) and key not in self.copies:
                seen[key] = node
                stack.append(node.target)
                continue
            # For what it notes: a key of which the client holds a future exists already.
            self.wire_key(key)
            if key not in self.existing:
                found[key] = seen[key] = self._nodes[key]
                stack.extend(found[key].dependencies)
        return found, seen


def wire_name(key: object) -> Key:
    """Return how a key of a graph is written on the wire: equal keys alike, whatever kind of integer is in them."""
    return key_of(key if type(key) is str else str(_plain(key)))


def _plain(part: Any) -> object:
    if type(part) is tuple:
        return tuple([_plain(inner) for inner in part])
    if type(part) is str or type(part) is int or isinstance(part, bool):
        return part
    try:
        return operator.index(part)  # integers of numpy
    except TypeError:
        return part
