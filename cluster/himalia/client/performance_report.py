"""A report of all that a cluster did while a block of code ran.

Decides when it is begun and written: also when the block raises.  What is in it is the widgets' business.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from himalia.client.default import default_client
from himalia.errors import UsageError
from himalia.views import find_views, missing


class performance_report:  # called like a function, as in dask.distributed
    """Write a report of what the default client's cluster does in this block; it opens without a network.

    Works with ``async with`` too.

    Parameters
    ----------
    filename : str
        Where to.

    Raises
    ------
    UsageError
        If ``himalia[jupyter]`` isn't installed, or the default client is asynchronous.

    Examples
    --------
    >>> with performance_report("report.html"):  # doctest: +SKIP
    ...     client.gather(client.map(inc, range(1000)))
    """

    def __init__(self, filename: str = "himalia-report.html") -> None:
        self.filename = filename

    def __enter__(self) -> Self:
        views = find_views()
        # Said before the block runs, not after it.
        if views is None:
            raise UsageError(missing())
        client = default_client()
        if client.asynchronous:
            raise UsageError("The default client is asynchronous; a report needs one whose methods wait.")
        self._recorder = views.begin_report(client)
        self._views = views
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        problem = f"{kind.__name__}: {value}" if kind is not None else ""
        self._views.end_report(self._recorder, self.filename, problem)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, value, trace)
