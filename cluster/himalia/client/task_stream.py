"""The calls that ended while a block of code ran.

Decides which: those that began in the block, as far as the scheduler still has them (``settings.telemetry_ring``).
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from himalia.client.default import default_client
from himalia.client.engine.awaiting import awaiting
from himalia.errors import UsageError
from himalia.messages.answers import ClusterInfo, TelemetryReport
from himalia.messages.telemetry import TaskRecord
from himalia.views import find_views, missing

if TYPE_CHECKING:
    from himalia.client.client import Client


class get_task_stream:  # called like a function, as in dask.distributed
    """Collect the calls of this block.

    Parameters
    ----------
    client : Client, optional
        The default one, if left out.
    plot : bool or str
        Whether to draw them, see ``figure``; ``"save"`` also writes the figure to ``filename``.
    filename : str
        Where ``plot="save"`` writes to: a file that opens without a network.

    Attributes
    ----------
    data : list of TaskRecord
        After the block: its calls, in the order in which they ended.
    figure : bokeh.models.LayoutDOM or None
        After the block: their picture, if ``plot`` was asked for.

    Raises
    ------
    UsageError
        If ``plot`` is asked for and ``himalia[jupyter]`` isn't installed.

    Examples
    --------
    >>> with get_task_stream() as stream:  # doctest: +SKIP
    ...     client.gather(client.map(inc, range(10)))
    >>> stream.data[0].timing.compute  # doctest: +SKIP
    """

    def __init__(
        self, client: Client | None = None, plot: bool | str = False, filename: str = "himalia-task-stream.html"
    ) -> None:
        if plot not in (False, True, "save"):
            raise UsageError(f'plot is True, False or "save", not {plot!r}.')
        self._client = default_client(client)
        # Looked for now: after the block it is late to say that they aren't installed.
        self._views = find_views() if plot else None
        if plot and self._views is None:
            raise UsageError(missing())
        self._filename = filename if plot == "save" else None
        self.data: list[TaskRecord] = []
        self.figure: Any = None

    def __enter__(self) -> Self:
        self._started = time.time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take(self._client.telemetry(since=self._started), self._client.scheduler_info().told)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client.asynchronous:
            info = await awaiting(self._client.scheduler_info())
            self._take(await awaiting(self._client.telemetry(since=self._started)), info.told)
        else:
            self.__exit__(kind, value, trace)

    def _take(self, report: TelemetryReport, info: ClusterInfo) -> None:
        self.data = report.records
        if self._views is not None:
            self.figure = self._views.task_stream_figure(report, info, self._filename)
