"""Finding the futures in what a user holds: lists, dicts, Dask collections.

Decides how deep it looks: into the builtin containers and into the graphs of collections.
"""

from __future__ import annotations

from himalia.client.future import AnyFuture, Future


def futures_of(value: object) -> list[AnyFuture]:
    """Return the futures in ``value``, each once, in the order in which they appear.

    Parameters
    ----------
    value : future, Dask collection, or list, tuple, set or dict of these
        Whatever else it contains is passed over.
    """
    found: dict[int, AnyFuture] = {}
    # The containers themselves: the number of one that is gone by now would be another's.
    seen: dict[int, object] = {}
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Future):
            found.setdefault(id(item), item)
            continue
        if isinstance(item, dict | list):  # what else there is can't contain itself, but by one of these
            if id(item) in seen:
                continue
            seen[id(item)] = item
        if isinstance(item, dict):
            # Reversed: a stack gives back first what came last.
            stack.extend(reversed(list(item.values())))
        elif isinstance(item, list | tuple | set | frozenset):
            stack.extend(reversed(list(item)))
        # A class has that method too, and no graph.
        elif not isinstance(item, type) and hasattr(item, "__dask_graph__"):
            graph = item.__dask_graph__()
            if graph is not None:
                stack.extend(reversed(list(dict(graph).values())))
        elif hasattr(item, "value") and hasattr(item, "key") and hasattr(item, "typ"):  # a data node of a graph
            stack.append(item.value)
    return list(found.values())
