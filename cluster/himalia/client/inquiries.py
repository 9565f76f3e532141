"""Questions to a cluster: who is there, who holds what, what runs which version, what was logged.

Decides how the scheduler's answers are shown to a user of ``dask.distributed``'s names.  All of them may be asked
from any thread; with an asynchronous client they return awaitables.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeVar, overload

import msgspec

from himalia import serialize
from himalia.bounds import FEW
from himalia.client.base import ClientBase
from himalia.client.described import SchedulerInfo
from himalia.client.engine.errors_view import folded, rebuild
from himalia.client.engine.events import MessageMade
from himalia.client.engine.gathering import poll, wall_clock
from himalia.client.futures_in import futures_of
from himalia.client.profile import Profile
from himalia.client.versions import Versions, compare, versions_here
from himalia.errors import TimeoutError, UsageError
from himalia.messages.answers import CallReply, ClusterInfo, KeyView, TelemetryReport, WorkerView
from himalia.messages.client import (
    FollowTelemetry,
    GetInfo,
    GetKeys,
    GetLogs,
    GetProfile,
    GetTelemetry,
    GetVersions,
    Restart,
    RunFunction,
    Telemetry,
)
from himalia.names import HostId, Key, shorten
from himalia.show.logs import texts_of
from himalia.show.units import parse_timeout
from himalia.telemetry.group_names import group_name
from himalia.views import find_views, missing
from himalia.wellformed import key_of, name_of, well_formed

if TYPE_CHECKING:
    from pathlib import Path

    from himalia.follow.recorder import Recorder

T = TypeVar("T")

POLL: Final = 0.05
"""Seconds between two looks at who is there, while waiting for workers."""


class Inquiries(ClientBase):
    """What a client can ask; a part of :class:`himalia.client.client.Client`."""

    def scheduler_info(self, n_workers: int = -1) -> SchedulerInfo:
        """Return what the scheduler says of itself, its hosts and its workers: a dict, shown as tables in a notebook.

        Parameters
        ----------
        n_workers : int
            Workers to show; -1: all.
        """

        async def describe() -> SchedulerInfo:
            info = await self._info()
            if n_workers >= 0:
                info = msgspec.structs.replace(info, workers=dict(list(info.workers.items())[:n_workers]))
            return SchedulerInfo(info, taken=wall_clock())

        return self._sync(describe())

    async def _info(self) -> ClusterInfo:
        return await self._answer(GetInfo)

    def nthreads(self, workers: str | Iterable[str] | None = None) -> dict[str, int]:
        """Return the number of threads of each worker, by its address."""

        async def nthreads() -> dict[str, int]:
            found = select_workers((await self._info()).workers, workers)
            return {address: worker.nthreads for address, worker in found.items()}

        return self._sync(nthreads())

    ncores = nthreads

    def who_has(self, futures: object = None) -> dict[str, tuple[str, ...]]:
        """Return which hosts hold each result: ``{key: (nanny address, …)}``.

        Parameters
        ----------
        futures : futures or Dask collections, optional
            Everything that is in memory, if left out.
        """

        async def who_has() -> dict[str, tuple[str, ...]]:
            keys = await self._held(keys_of(futures))
            return {key: held.holders for key, held in keys.items()}

        return self._sync(who_has())

    async def _held(self, keys: list[Key] | None) -> dict[Key, KeyView]:
        """Ask who holds these keys, or everything that is in memory, in pages: an answer must fit into a message."""

        async def ask(some: list[Key] | None, skip: int) -> dict[Key, KeyView]:
            return (await self._answer(lambda number: GetKeys(number, some, skip))).keys

        found: dict[Key, KeyView] = {}
        if keys is not None:
            for start in range(0, len(keys), FEW):
                found.update(await ask(keys[start : start + FEW], 0))
            return found
        for skip in itertools.count(0, FEW):
            page = await ask(None, skip)
            found.update(page)
            if len(page) < FEW:
                break
        return found

    def has_what(self, workers: str | Iterable[str] | None = None) -> dict[str, tuple[str, ...]]:
        """Return which results each host holds: ``{nanny address: (key, …)}``.

        Parameters
        ----------
        workers : str or iterable of str, optional
            Nanny addresses, host names, or names or addresses of workers: those of their hosts.
        """

        async def has_what() -> dict[str, tuple[str, ...]]:
            info = await self._info()
            hosts = select_hosts(info, workers)
            found: dict[str, list[str]] = {info.hosts[host].address: [] for host in hosts}
            for key, held in (await self._held(None)).items():
                for address in held.holders:
                    if address in found:
                        found[address].append(key)
            return {address: tuple(keys) for address, keys in found.items()}

        return self._sync(has_what())

    def nbytes(self, keys: object = None, summary: bool = True) -> dict[str, int]:
        """Return the bytes of results in memory, by their group, or by key with ``summary=False``."""

        async def nbytes() -> dict[str, int]:
            found = await self._held(keys_of(keys))
            sizes: dict[str, int] = {}
            for key, held in found.items():
                name = group_name(key) if summary else key
                sizes[name] = sizes.get(name, 0) + held.nbytes
            return sizes

        return self._sync(nbytes())

    def wait_for_workers(self, n_workers: int = 1, timeout: float | str | None = None) -> None:
        """Wait until there are so many workers.

        Raises
        ------
        TimeoutError
            If they are not there within ``timeout`` seconds.
        """
        return self._sync(self._wait_for_workers(n_workers, parse_timeout(timeout)))

    async def _wait_for_workers(self, n_workers: int, timeout: float | None) -> None:
        count = 0

        async def are_there() -> bool:
            nonlocal count
            count = len((await self._info()).workers)
            return count >= n_workers

        if not await poll(are_there, POLL, timeout):
            raise TimeoutError(
                f"{count} of {n_workers} workers came within {timeout:g} s. client.get_worker_logs() may tell why."
            )

    def run(
        self,
        function: Callable[..., object],
        *args: object,
        workers: str | Sequence[str] | None = None,
        wait: bool = True,
        nanny: bool = False,
        on_error: Literal["raise", "return", "ignore"] = "raise",
        **kwargs: object,
    ) -> Any:
        """Call a function once in every worker process, beside the tasks, and return ``{address: value}``.

        Parameters
        ----------
        workers : str or sequence of str, optional
            Addresses or names of workers; all, if left out.
        wait : bool
            Whether to wait for the values; without, nothing is returned.
        on_error : str
            ``raise`` the first error, ``return`` errors in the place of values, or ``ignore`` those workers.
        """
        if nanny:
            raise UsageError("A nanny runs no user code, so that no user code can harm it. Run it on the workers.")
        if on_error not in ("raise", "return", "ignore"):
            raise UsageError(f"on_error is 'raise', 'return' or 'ignore', not {on_error!r}.")
        call = serialize.dumps_packed((function, args, kwargs))
        difference = self._shell.surroundings.look()
        if difference is not None:
            call = difference.around_call(call)
        names = names_of(workers)
        if not wait:
            self._start(self._answer(lambda number: RunFunction(number, call, names)))
            return None
        with folded():
            return self._sync(self._run_function(call, names, on_error))

    async def _run_function(self, call: bytes, workers: list[str] | None, on_error: str) -> dict[str, Any]:
        answer = await self._answer(lambda number: RunFunction(number, call, workers))
        values = {}
        for address, reply in answer.replies.items():
            value, error = read_run_reply(reply, address)
            if error is None:
                values[address] = value
            elif on_error == "raise":
                raise error
            elif on_error == "return":
                values[address] = error
        return values

    def run_on_scheduler(self, function: Callable[..., object], *args: object, **kwargs: object) -> NoReturn:
        """Refuse: the scheduler runs no user code.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(
            "The scheduler runs no user code, so that none can stop the cluster or read what other clients do. "
            "client.run() calls a function on workers; scheduler_info(), who_has() and telemetry() tell what it knows."
        )

    def get_versions(self, check: bool = False, packages: Sequence[str] | None = None) -> Versions:
        """Return the versions of packages in the client, the scheduler, the nannies and the workers.

        Parameters
        ----------
        check : bool
            Raise if they differ where it matters.
        packages : sequence of str, optional
            More packages to look at in client and workers.

        Raises
        ------
        UsageError
            With ``check``, if versions differ: a table of them.
        """
        return self._sync(self._versions(check, list(packages or ())))

    async def _versions(self, check: bool, packages: list[str]) -> Versions:
        found = await self._answer(GetVersions)
        call = serialize.dumps_packed((versions_here, (packages,), {}))
        workers = await self._run_function(call, None, "ignore")
        versions: Versions = {
            "client": versions_here(packages),
            "scheduler": found.scheduler,
            "nannies": found.nannies,
            "workers": workers,
        }
        if check:
            table = compare(versions)
            if table:
                raise UsageError(table)
        return versions

    def get_worker_logs(self, n: int | None = None, workers: str | Sequence[str] | None = None) -> dict[str, list[str]]:
        """Return the last lines of output of workers and nannies: ``{name: [line, …]}``, ``n`` lines at most."""
        names = names_of(workers)

        async def logs() -> dict[str, list[str]]:
            texts = texts_of(await self._answer(lambda number: GetLogs(number, names)))
            return {name: lines if n is None else lines[-n:] for name, lines in texts.items()}

        return self._sync(logs())

    @overload
    def profile(
        self,
        start: float | None = None,
        stop: float | None = None,
        workers: str | Sequence[str] | None = None,
        filename: str | None = None,
        plot: Literal[False] = False,
    ) -> Profile: ...

    @overload
    def profile(
        self,
        start: float | None = None,
        stop: float | None = None,
        workers: str | Sequence[str] | None = None,
        filename: str | None = None,
        *,
        plot: Literal[True],
    ) -> tuple[Profile, object]: ...

    def profile(
        self,
        start: float | None = None,
        stop: float | None = None,
        workers: str | Sequence[str] | None = None,
        filename: str | None = None,
        plot: bool = False,
    ) -> Profile | tuple[Profile, object]:
        """Return what calls were doing, function by function, as seen by looking at them from outside.

        Calls that run for longer than a second are looked at once a second, always; for ten seconds after you asked,
        all that runs is looked at closely.

        Parameters
        ----------
        start, stop : float, optional
            Only what was seen between these, seconds since the epoch; nannies keep the last ten minutes.
        workers : str or sequence of str, optional
            Names or addresses of workers; all, if left out.
        filename : str, optional
            Write a flame graph to this file, which opens without a network.
        plot : bool
            Return ``(profile, figure)``: a flame graph as a Bokeh figure.

        Returns
        -------
        Profile
            With a text and an HTML form; ``samples`` has the stacks, ``problems`` says which hosts can't look, and why.

        Raises
        ------
        UsageError
            If a flame graph is asked for and ``himalia[jupyter]`` isn't installed.
        """
        names = names_of(workers)
        since = 0.0 if start is None else start

        async def profile() -> Profile | tuple[Profile, object]:
            answer = await self._answer(lambda number: GetProfile(number, since, names))
            found = Profile(answer, stop=float("inf") if stop is None else stop)
            if not plot and not filename:
                return found
            views = find_views()
            if views is None:
                raise UsageError(missing())
            figure = views.profile_figure(found.samples, filename)
            return (found, figure) if plot else found

        return self._sync(profile())

    def telemetry(self, since: float = 0.0, span: str = "") -> TelemetryReport:
        """Return what the cluster measured: a summary for each group of calls, and records of single calls.

        Parameters
        ----------
        since : float
            Records that started then or later, seconds since the epoch; the scheduler keeps a bounded number.
        span : str
            Summaries of what was submitted under this only (``GroupSummary.span``): one cell, or one client.

        Returns
        -------
        TelemetryReport
        """
        return self._sync(self._answer(lambda number: GetTelemetry(number, since, well_formed(span))))

    def restart(self, timeout: float | str | None = None, wait_for_workers: bool = True) -> None:
        """Cancel every task of every client and replace every worker process: modules are imported anew.

        Parameters
        ----------
        timeout : float or str, optional
            Seconds to wait for the new workers.
        wait_for_workers : bool
            Whether to wait at all.
        """
        if not wait_for_workers:
            self._start(self._answer(Restart))
            return self._nothing()

        async def restart() -> None:
            await self._answer(Restart)

        return self._sync(restart(), parse_timeout(timeout))

    def restart_workers(self, names: str | Iterable[str], timeout: float | str | None = None) -> dict[str, str]:
        """Replace these worker processes: what they ran is run again, results stay, and the others go on.

        Parameters
        ----------
        names : str or iterable of str
            Names or addresses of workers; see :meth:`scheduler_info`.
        timeout : float or str, optional
            Seconds to wait until they are back.

        Returns
        -------
        dict
            ``{name: "OK"}``, or why one can't be replaced in the place of ``"OK"``.

        Raises
        ------
        TimeoutError
            If it takes longer; they are replaced all the same.
        """
        wanted = names_of(names)

        async def restart() -> dict[str, str]:
            return (await self._answer(lambda number: Restart(number, wanted))).workers

        return self._sync(restart(), parse_timeout(timeout))

    def record(
        self,
        path: str | Path,
        *,
        last: float | str = 300.0,
        limit: int | str = "256 MiB",
        logs: bool = True,
    ) -> Recorder:
        """Record what the cluster does to a file; see :meth:`himalia.deploy.cluster.Cluster.record`."""
        from himalia.follow.recorder import record

        self._check_open()
        return record(self, path, last=last, limit=limit, logs=logs)

    def follow_telemetry(self, callback: Callable[[Telemetry], object], interval: float = 0.25) -> Callable[[], None]:
        """Have ``callback(telemetry)`` called with what changed, at most every ``interval`` seconds.

        It is called in the client's thread for callbacks.

        Returns
        -------
        callable
            Call it to end this.

        Raises
        ------
        UsageError
            If ``interval`` isn't positive.
        """
        if interval <= 0:
            raise UsageError(f"interval is a positive number of seconds, not {interval!r}.")
        self._check_open()
        self._callbacks.start()
        followers = self._shell.followers

        def follow(telemetry: Telemetry) -> None:
            self._callbacks.put(lambda: callback(telemetry))

        def stop() -> None:
            if follow in followers:
                followers.remove(follow)
                if not followers and self.status == "running":
                    self._shell.tell(MessageMade(FollowTelemetry(0.0)))

        followers.append(follow)
        self._shell.tell(MessageMade(FollowTelemetry(float(interval))))
        return stop


def read_run_reply(reply: CallReply, address: str) -> tuple[object, BaseException | None]:
    """Return the value that a worker answered, or its error."""
    error = reply.error
    if error is not None:
        return None, rebuild(error, Key(error.key or f"client.run() on {shorten(address)}"))
    try:
        return serialize.loads_packed(reply.value), None
    except Exception as failure:  # whatever the user's class does when it is unpickled
        return None, failure


def names_of(workers: str | Iterable[str] | None) -> list[str] | None:
    """Return workers that were named, or the one, as a list; ``None``, which means all, as it is."""
    return None if workers is None else list(map(name_of, [workers] if isinstance(workers, str) else workers))


def select_workers(found: Mapping[str, WorkerView], wanted: str | Iterable[str] | None) -> dict[str, WorkerView]:
    """Return those workers that are meant by name, address, host or nanny."""
    if wanted is None:
        return dict(found)
    names = set(map(name_of, [wanted] if isinstance(wanted, str) else wanted))
    return {
        address: worker
        for address, worker in found.items()
        if names & {address, worker.name, worker.host, worker.nanny}
    }


def select_hosts(info: ClusterInfo, wanted: str | Iterable[str] | None) -> list[HostId]:
    """Return the ids of the hosts that are meant by their own names, or by those of their workers."""
    if wanted is None:
        return list(info.hosts)
    names = set(map(name_of, [wanted] if isinstance(wanted, str) else wanted))
    chosen = {worker.host_id for worker in select_workers(info.workers, names).values()}
    for host, view in info.hosts.items():
        if names & {host, view.address, view.name, view.hostname}:
            chosen.add(host)
    return [host for host in info.hosts if host in chosen]


def keys_of(futures: object) -> list[Key] | None:
    """Return the keys of futures, collections or keys; ``None`` for ``None``."""
    if futures is None:
        return None
    if isinstance(futures, str):
        return [key_of(futures)]
    if isinstance(futures, list | tuple | set) and all(isinstance(item, str) for item in futures):
        return [key_of(item) for item in futures]
    return [future._record.key for future in futures_of(futures)]
