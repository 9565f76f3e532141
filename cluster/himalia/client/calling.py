"""The part of the client that makes calls, and handles the futures of them.

Decides nothing of its own: it checks arguments and hands them to the submitter and the machine.

Methods are typed as what they return when they block.  Only what a user passed or named comes back as ``Any``:
values (``result()``, ``gather()``, ``compute()``, ``run()``), containers and collections (``scatter()``,
``persist()``), names (``future.key``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from himalia import serialize
from himalia.client.base import ClientBase
from himalia.client.engine.errors_view import folded
from himalia.client.engine.events import CancelAsked, RetryAsked
from himalia.client.engine.explaining import explain
from himalia.client.engine.gathering import clock, gather_here, gather_in_loop
from himalia.client.engine.state import Record
from himalia.client.engine.submitting import CHUNK
from himalia.client.engine.values import SKIPPED
from himalia.client.future import AnyFuture, Future
from himalia.client.futures_in import futures_of
from himalia.client.inquiries import select_hosts
from himalia.client.nesting import Rebuild, pack_futures, unpack_futures
from himalia.client.packing import origin
from himalia.client.packing.calls import Parcel, check_callable, make_options
from himalia.errors import UsageError
from himalia.messages.answers import ClusterInfo
from himalia.messages.parts import HostInfo
from himalia.names import Key, shorten
from himalia.show.units import parse_timeout
from himalia.wellformed import key_of, label_of, name_of, text_of

if TYPE_CHECKING:
    from himalia.client.executor import ClientExecutor

T = TypeVar("T")

REASON_LIMIT: Final = 1000
"""Characters of the reason for which something is cancelled.  Guess."""


class Calling(ClientBase):
    """What a client does with functions and futures."""

    _kept: dict[int, AnyFuture]

    async def _info(self) -> ClusterInfo:
        raise NotImplementedError

    def submit(
        self,
        func: Callable[..., T],
        /,
        *args: object,
        key: str | None = None,
        workers: str | Iterable[str] | None = None,
        resources: Mapping[str, float] | None = None,
        retries: int | None = None,
        priority: float = 0,
        allow_other_workers: bool = False,
        pure: bool = True,
        **kwargs: object,
    ) -> Future[T]:
        """Run ``func(*args, **kwargs)`` on the cluster; return at once with a future of the result.

        Futures anywhere in the arguments are replaced by their values where the call runs.

        Parameters
        ----------
        func : callable
        key : str, optional
            Name of the call. A key that is held already keeps its result and nothing is run, with a warning if it is
            the name of another call; once its futures are gone it is free.
        workers : str or iterable of str, optional
            Where it may run: names or addresses of workers, hosts or nannies.
        resources : dict, optional
            What it occupies of what workers were declared to have, ``{"GPU": 1}``.
        retries : int, optional
            How often it is run again if it raises.
        priority : float
            Higher runs earlier.
        allow_other_workers : bool
            Whether ``workers`` is a wish only.
        pure : bool
            Whether the same call gives the same result, so that it isn't run again while a future of it lives.

        Returns
        -------
        Future
        """
        check_callable(func, "submit")
        self._check_open()
        if key is not None:
            key = key_of(key)
            known = self._known(key)
            if known is not None:
                self._submitter.compare(known._record, func, args, kwargs)
                return known
        options = make_options(
            priority=priority,
            retries=retries,
            workers=workers,
            allow_other_workers=allow_other_workers,
            resources=resources,
        )
        record = self._submitter.submit(
            func, args, kwargs, key=None if key is None else Key(key), pure=pure, options=options
        )
        return Future(self, record)

    def map(
        self,
        func: Callable[..., T],
        *iterables: Iterable[object],
        key: str | Sequence[str] | None = None,
        workers: str | Iterable[str] | None = None,
        retries: int | None = None,
        resources: Mapping[str, float] | None = None,
        priority: float = 0,
        allow_other_workers: bool = False,
        pure: bool = True,
        batch_size: int | None = None,
        **kwargs: object,
    ) -> list[Future[T]]:
        """Run ``func`` once for each item (with several iterables: for each tuple of items, until the shortest ends).

        Parameters
        ----------
        *iterables : iterables
            Also generators; an endless one is the caller's mistake.
        key : str or sequence of str, optional
            A prefix of the calls' names, or their names.
        batch_size : int, optional
            Calls sent in one message at most.
        **kwargs
            Passed to each call.

        Returns
        -------
        list of Future

        See Also
        --------
        submit : the other parameters
        """
        check_callable(func, "map")
        self._check_open()
        if not iterables:
            raise UsageError("map() needs at least one iterable of arguments.")
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch_size is at least 1, not {batch_size}.")
        options = make_options(
            priority=priority,
            retries=retries,
            workers=workers,
            allow_other_workers=allow_other_workers,
            resources=resources,
        )
        records = self._submitter.map(
            func,
            iterables,
            kwargs,
            keys=name_of(key) if isinstance(key, str) else None if key is None else list(key),
            pure=pure,
            options=options,
            chunk=CHUNK if batch_size is None else batch_size,
        )
        return [Future(self, record) for record in records]

    def _known(self, key: Key) -> AnyFuture | None:
        """Return a future of a key that this client holds already."""
        record = self._shell.hold_known(key)
        return None if record is None else Future(self, record)

    def get_future(self, key: str, name: Hashable = None) -> AnyFuture:
        """Return a future of a key that was submitted by another client, or earlier.

        If the cluster doesn't know the key, its status becomes ``lost``.
        """
        self._check_open()
        return Future(self, self._submitter.hold([key_of(key)])[0], name)

    def scatter(
        self,
        data: object,
        workers: str | Iterable[str] | None = None,
        broadcast: bool = False,
        direct: bool | None = None,
        hash: bool = True,
        timeout: float | str | None = None,
    ) -> Any:
        """Store values on the cluster, and return futures of them.

        Parameters
        ----------
        data : list, tuple, set, dict, iterator or other object
            Several values: futures come in the same container. Anything else is one value.
        workers : str or iterable of str, optional
            Store them on hosts of these workers.
        broadcast : bool
            Store each on every host.
        direct : bool, optional
            Without meaning: values always go to hosts directly.
        hash : bool
            Name values by their content (up to a megabyte), so that the same value is stored once.
        timeout : float or str, optional
            Seconds to wait.
        """
        self._check_open()
        names, values, rebuild = pack_futures(data)
        parcels = [self._parcel(name, value, hash) for name, value in zip(names, values, strict=True)]
        limit = parse_timeout(timeout)
        known = {parcel.key: self._known(parcel.key) for parcel in parcels}  # held until all have futures of their own
        missing = {parcel.key: parcel for parcel in parcels if _is_needed(parcel, known[parcel.key], broadcast)}

        async def scatter() -> Any:
            hosts = None if workers is None else await self._hosts_of(workers)
            stored = await self._submitter.scatter_in_loop(list(missing.values()), hosts, broadcast)
            once = {record.key: record for record in stored}
            futures: list[AnyFuture] = []
            for parcel in parcels:
                record = once.pop(parcel.key, None) or self._submitter.hold([parcel.key])[0]
                futures.append(Future(self, record))
            known.clear()
            return rebuild(futures)

        return self._sync(scatter(), limit)

    def _parcel(self, name: object, value: object, hash: bool) -> Parcel:
        frames = serialize.dumps(value)
        kind = label_of(type(value))
        if name is not None:
            return Parcel(key_of(name), kind, frames, kind, True, origin.of_value(kind, frames))
        keys = self._submitter.keys
        key = keys.of_content(kind, frames) if hash else keys.unique(kind)
        return Parcel(key, kind, frames, kind, True)

    async def _hosts_of(self, workers: str | Iterable[str]) -> list[HostInfo]:
        info = await self._info()
        chosen = select_hosts(info, workers)
        hosts = self._shell.machine.hosts
        found = [known for host, known in hosts.items() if host in chosen]
        if not found:
            raise UsageError(f"workers={workers!r} fits none of {sorted(info.workers)}.")
        return found

    def gather(self, futures: object, errors: Literal["raise", "skip"] = "raise", direct: bool | None = None) -> Any:
        """Wait for futures and return their results, in the same nested lists, tuples, sets and dicts.

        Parameters
        ----------
        futures : future, or containers of futures
        errors : str
            ``raise`` what the first failed call raised, or ``skip``: leave those results out of lists.
        direct : bool, optional
            Without meaning: results always come from hosts directly.
        """
        if errors not in ("raise", "skip"):
            raise UsageError(f"errors is 'raise' or 'skip', not {errors!r}.")
        found: list[AnyFuture]
        if type(futures) is list and all([type(item) is Future for item in futures]):
            found, rebuild = futures, None
        else:
            found, rebuild = unpack_futures(futures)
        records = [future._record for future in found]
        foreign = next((future for future in found if future._client is not self), None)
        if foreign is not None and foreign._client._shell.cluster_id != self._shell.cluster_id:
            raise UsageError(
                f"{shorten(foreign._record.key)} belongs to another cluster, {foreign._client!r}: gather it there, or "
                f"ask for its result()."
            )
        skip = errors == "skip"
        if self.asynchronous:
            return self._gather_in_loop(found, skip, rebuild)
        with folded():
            values = gather_here(self._shell, records, self._run, skip_errors=skip)
            if values.failure is not None:
                raise values.failure
        return _finish(values.values, skip, rebuild)

    async def _gather_in_loop(self, futures: list[AnyFuture], skip: bool, rebuild: Rebuild | None) -> Any:
        # ``futures`` is kept until the end: nobody else may hold them, and who lets go of them releases the results
        with folded():
            values = await gather_in_loop(self._shell, [future._record for future in futures], skip_errors=skip)
            if values.failure is not None:
                raise values.failure
        return _finish(values.values, skip, rebuild)

    def cancel(self, futures: object, force: bool = False, reason: str | None = None) -> None:
        """Stop calls and everything that depends on them; what runs is interrupted, then its worker replaced.

        Parameters
        ----------
        futures : future, collection, or containers of these
        force : bool
            Also what other clients want.
        reason : str, optional
            Shown in the CancelledError.
        """
        self._shell.tell(CancelAsked(self._records_of(futures), force, text_of(reason or "", REASON_LIMIT)))
        return self._nothing()

    def retry(self, futures: object) -> None:
        """Run calls that failed again."""
        self._shell.tell(RetryAsked(self._records_of(futures), clock()))
        return self._nothing()

    def explain(self, future: AnyFuture | str) -> str:
        """Return why a call is in the state it is in: what it waits for, since when, what will be done.

        It takes some seconds at most; a scheduler that says nothing is part of the answer.

        Parameters
        ----------
        future : Future or str
            A future, or its key; the name of a group stands for one of its calls that wait.

        Raises
        ------
        TypeError
            If it is a collection: each future has its own story.
        """
        if isinstance(future, list | set | dict):
            raise TypeError(
                "explain() takes one future, or its key. For several: [future.explain() for future in futures]."
            )
        if isinstance(future, Future):
            return self._sync(explain(self, future._record))
        key = key_of(future)
        return self._sync(explain(self, self._shell.machine.records.get(key) or Record(key)))

    def _records_of(self, futures: object) -> list[Record]:
        """Return this client's records of futures, which may be another client's."""
        known = self._shell.machine.records
        return [
            future._record if future._client is self else known.get(future._record.key, future._record)
            for future in futures_of(futures)
        ]

    def _keep(self, future: AnyFuture) -> None:
        """Hold a future until it settled."""
        kept = self._kept
        kept[id(future)] = future

        def let_go(record: Record) -> None:
            kept.pop(id(future), None)

        if not self._shell.watch((future._record,), let_go):
            kept.pop(id(future), None)

    def get_executor(
        self,
        *,
        workers: str | Iterable[str] | None = None,
        resources: Mapping[str, float] | None = None,
        retries: int | None = None,
        priority: float = 0,
        allow_other_workers: bool = False,
        pure: bool = False,
    ) -> ClientExecutor:
        """Return a ``concurrent.futures.Executor`` that runs its calls on the cluster; see :meth:`submit`."""
        from himalia.client.executor import ClientExecutor

        return ClientExecutor(
            self,
            workers=workers,
            resources=resources,
            retries=retries,
            priority=priority,
            allow_other_workers=allow_other_workers,
            pure=pure,
        )


def _is_needed(parcel: Parcel, known: AnyFuture | None, broadcast: bool) -> bool:
    """Whether a value has to be stored: nobody here has its name, or, if it goes to every host, for the same value."""
    if known is None:
        return True
    record = known._record
    if origin.differ(record.origin, parcel.origin):
        origin.warn_if_other(record, parcel.origin)
        return False
    parcel.attempt = record.attempt
    return broadcast


def _finish(values: list[object], skip: bool, rebuild: Rebuild | None) -> object:
    if rebuild is not None:
        return rebuild(iter(values))
    return [value for value in values if value is not SKIPPED] if skip else values
