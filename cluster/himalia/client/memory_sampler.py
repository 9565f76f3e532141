"""How much memory a cluster used over time, while blocks of code ran.

Decides what is added up over the cluster's hosts and how often it is noted; nannies measure, at every heartbeat.  It
never asks for anything: it listens to the telemetry that is pushed anyway.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from himalia.client.default import default_client
from himalia.errors import HimaliaError, TimeoutError, UsageError
from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ClusterInfo
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import HostMetrics
from himalia.views import find_views, missing

if TYPE_CHECKING:
    from himalia.client.client import Client

MEASURES: Final[Mapping[str, Callable[[HostMetrics], int]]] = {
    "process": lambda host: sum(memory for _, memory, _ in host.workers.values()),
    "store": lambda host: host.store_bytes,
    "spilled": lambda host: host.spilled_bytes,
}
FIRST: Final = 10.0
"""Seconds that a block waits for the first numbers, at most."""

Sample = tuple[float, int]
"""Epoch seconds, and bytes of all hosts."""


class MemorySampler:
    """Samples the memory of a cluster while blocks of code run, to compare them.

    Attributes
    ----------
    samples : dict of str to list of (float, int)
        By label: epoch seconds and bytes of the whole cluster.  A label that is used again begins anew.

    Examples
    --------
    >>> ms = MemorySampler()
    >>> with ms.sample("one way"):  # doctest: +SKIP
    ...     client.gather(client.map(inc, range(1000)))
    >>> ms.plot(align=True)  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self.samples: dict[str, list[Sample]] = {}

    def sample(
        self, label: str | None = None, *, client: Client | None = None, measure: str = "process", interval: float = 0.5
    ) -> Sampling:
        """Return a context, for ``with`` and ``async with``, that samples from its beginning to its end.

        Parameters
        ----------
        label : str, optional
            Names the samples; ``sample 1`` and so on, if left out.
        client : Client, optional
            The default one, if left out.
        measure : str
            ``process``: memory of all worker processes; ``store``: results in shared memory; ``spilled``: results on
            disk.
        interval : float
            Seconds between two samples; more often than nannies measure makes no difference.

        Raises
        ------
        UsageError
            If there is no such measure, ``interval`` isn't positive, or there is no client.
        TimeoutError
            At the beginning of the block, if no host tells its memory within ten seconds.
        HimaliaError
            There too, if the cluster can't be followed.
        """
        if measure not in MEASURES:
            raise UsageError(f"measure is one of {', '.join(MEASURES)}, not {measure!r}.")
        if interval <= 0:
            raise UsageError(f"interval is a positive number of seconds, not {interval!r}.")
        label = f"sample {len(self.samples) + 1}" if label is None else label
        samples = self.samples[label] = []
        return Sampling(default_client(client), samples, MEASURES[measure], interval)

    def to_pandas(self, *, align: bool = False) -> Any:
        """Return a data frame of bytes: a column for each label, by time.

        Parameters
        ----------
        align : bool
            Whether times count from each label's first sample, so that they can be compared.

        Raises
        ------
        UsageError
            If pandas isn't installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise UsageError("A data frame needs pandas, which isn't installed here: pip install pandas.") from None
        columns = {}
        for label, samples in self.aligned(align).items():
            times = [time for time, _ in samples]
            index = pd.to_timedelta(times, unit="s") if align else pd.to_datetime(times, unit="s")
            columns[label] = pd.Series([nbytes for _, nbytes in samples], index=index, dtype="float64")
        # Labels were sampled at different times: each is filled between its own samples, and not beyond them.
        return pd.DataFrame(columns).interpolate("index", limit_area="inside")

    def plot(self, *, align: bool = False) -> Any:
        """Return a Bokeh figure with a line for each label; ``align`` as in :meth:`to_pandas`.

        Raises
        ------
        UsageError
            If ``himalia[jupyter]`` isn't installed.
        """
        views = find_views()
        if views is None:
            raise UsageError(missing())
        return views.memory_figure(self.aligned(align), align)

    def aligned(self, align: bool) -> dict[str, list[Sample]]:
        """Return the samples that there are; with ``align``, with times since each label's first one."""
        found = {}
        for label, samples in self.samples.items():
            if samples:
                start = samples[0][0] if align else 0.0
                found[label] = [(time - start, nbytes) for time, nbytes in samples]
        return found

    def __repr__(self) -> str:
        told = ", ".join(f"{label!r}: {len(samples)} samples" for label, samples in self.samples.items())
        return f"<MemorySampler {told or 'without samples'}>"


class Sampling:
    """Adds samples to a list from the context's beginning to its end."""

    def __init__(
        self, client: Client, samples: list[Sample], measure: Callable[[HostMetrics], int], interval: float
    ) -> None:
        self._client = client
        self._samples = samples
        self._measure = measure
        self._interval = interval
        self._hosts: dict[str, HostMetrics] = {}
        self._first = threading.Event()
        """There is a sample, or none will come."""
        self._problem = ""
        self._epoch: float | None = None
        """The time of day at the scheduler's time 0, by the first push."""

    def __enter__(self) -> Self:
        self._feed = ThreadFeed.of(self._client)
        self._unsubscribe = self._feed.subscribe(self._take, self._take_info, self._end)
        if self._first.wait(FIRST) and not self._problem:
            return self
        # __exit__ isn't called of a block that was never entered.
        self._unsubscribe()
        if self._problem:
            raise HimaliaError(f"The cluster's memory can't be sampled: {self._problem}")
        raise TimeoutError(f"No host of the cluster said how much memory it uses within {FIRST:g} s. Has it workers?")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unsubscribe()

    async def __aenter__(self) -> Self:
        # In a thread: it waits for the first sample.
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, value, trace)

    def _take(self, telemetry: Telemetry) -> None:
        # A push has those hosts only that were heard of since the last.
        self._hosts.update(telemetry.hosts)
        if self._epoch is None:
            self._epoch = time.time() - telemetry.time
        # By the scheduler's clock: pauses on the way here would look like pauses of the cluster.
        now = self._epoch + telemetry.time
        is_due = not self._samples or now - self._samples[-1][0] >= self._interval
        if telemetry.hosts and is_due:
            self._samples.append((now, sum(map(self._measure, self._hosts.values()))))
            self._first.set()

    def _take_info(self, info: ClusterInfo) -> None:
        present = info.hosts
        # Or a host that left would count with what it used last.
        self._hosts = {host: metrics for host, metrics in self._hosts.items() if host in present}

    def _end(self, reason: str) -> None:
        # Also for a block that waits for its first sample: none will come.
        self._problem = reason
        self._first.set()
