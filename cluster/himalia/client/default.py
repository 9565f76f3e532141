"""The default client: the one that Dask collections, ``default_client()`` and unpickled futures use.

Decides whose turn it is: the client that was opened (or entered by ``with``) last and is still open.  It also tells
Dask, as soon as that is imported, and never imports it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from himalia.client.dask import hook as dask_hook
from himalia.client.engine import portal
from himalia.errors import UsageError

if TYPE_CHECKING:
    from himalia.client.client import Client

_stack: list[Client] = []
"""Open clients that want to be the default; the last one is.  A client is in it once for each wish."""


def push(client: Client) -> None:
    """Make ``client`` the default until it is popped."""
    _stack.append(client)
    _apply()


def pop(client: Client) -> None:
    """Undo one :func:`push` of this client, the latest."""
    # From the end: a client may be in it several times, and it is the latest wish that ends.
    for index in range(len(_stack) - 1, -1, -1):
        if _stack[index] is client:
            del _stack[index]
            break
    _apply()


def remove(client: Client) -> None:
    """Forget a client that is closed."""
    _stack[:] = [other for other in _stack if other is not client]
    _apply()


def default_client(client: Client | None = None) -> Client:
    """Return ``client`` if it is one, or the client that was made last and is still open.

    Raises
    ------
    UsageError
        If there is none.
    """
    if client is not None:
        return client
    if not _stack:
        # Only a worker's process imports it.
        if "himalia.worker.loop" in sys.modules:
            raise UsageError(
                "A call that runs on a worker has no client: in this version, calls don't submit calls. Return what "
                "the next ones need, and submit these where the client is; a future is an argument of theirs, so "
                "nothing has to be waited for there."
            )
        raise UsageError("There is no client in this process. Make one first: client = Client()")
    return _stack[-1]


def get_client() -> Client:
    """Return the default client; see :func:`default_client`.

    Calls that run on workers have none in this version: submit what depends on them from the notebook.
    """
    return default_client()


def _apply() -> None:
    dask_hook.use(_stack[-1] if _stack else None)


portal.at_fork(_stack.clear)
