"""The calls that ended while a block of code ran.

Decides which: those that began in the block, as far as the scheduler still has them (``settings.telemetry_ring``).
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from himalia.client.default import default_client
from himalia.messages import TaskRecord


class get_task_stream:  # called like a function, as in dask.distributed
    """Collect the calls of this block.

    Parameters
    ----------
    client : Client, optional
        The default one, if left out.

    Attributes
    ----------
    data : list of TaskRecord
        After the block: its calls, in the order in which they ended.

    Examples
    --------
    >>> with get_task_stream() as stream:  # doctest: +SKIP
    ...     client.gather(client.map(inc, range(10)))
    >>> stream.data[0].timing.compute  # doctest: +SKIP
    """

    def __init__(self, client: Any = None) -> None:
        self._client = default_client() if client is None else client
        self.data: list[TaskRecord] = []

    def __enter__(self) -> Self:
        self._started = time.time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.data = self._client.telemetry(since=self._started).records

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        found = self._client.telemetry(since=self._started)
        self.data = (await found if self._client.asynchronous else found).records
