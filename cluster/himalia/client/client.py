"""The client: a user's connection to a cluster.

Each method checks its arguments and hands them to whoever does the work: the engine, the submitter, or a function of
the engine in one of the files next to this one.  Everything that people call is here, in
one class without bases, so that ``help()``, an editor and a reader find it in one place (docs/notes/0018).

Methods are typed as what they return when they block.  Where what comes back depends on what a user passed, overloads
say how; ``object`` is what nobody can say, like the values of nested containers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Self, TypeAlias, TypeVar, Unpack, cast, overload

from himalia.client import default, holdings, running
from himalia.client import workers as workers_of
from himalia.client.dask.collections import Collections, GraphOptions, given_options
from himalia.client.described import SchedulerInfo
from himalia.client.engine.config import EngineConfig
from himalia.client.engine.engine import Engine
from himalia.client.engine.errors_view import folded
from himalia.client.engine.events import CancelAsked, RetryAsked
from himalia.client.engine.explaining import explain
from himalia.client.engine.state import Record
from himalia.client.engine.submitting import CHUNK, Submitter
from himalia.client.engine.timing import clock
from himalia.client.future import AnyFuture, Future, known_future, own_records, record_of
from himalia.client.futures_in import futures_of
from himalia.client.lifetime import CLOSE_TIMEOUT, Lifetime
from himalia.client.nesting import gather_nested
from himalia.client.packing.calls import check_callable, make_options
from himalia.client.pictures import ClientLook
from himalia.client.profile import Profile
from himalia.client.recreate import fetch_failed, read_call, recreate_in_loop, without_first
from himalia.client.reprs import client_html, client_text, info_task_words
from himalia.client.scattering import Scattering, ScatterOptions
from himalia.client.telemetry import follow, take_profile
from himalia.client.versions import Versions
from himalia.comm.security import Credentials
from himalia.errors import HimaliaError, UsageError
from himalia.follow.arrivals import wait_for_workers
from himalia.follow.feed import Feed
from himalia.follow.source import Source
from himalia.messages.answers import ClusterInfo, TelemetryReport
from himalia.messages.client import GetInfo, GetTelemetry, Restart, RunFunction, Telemetry
from himalia.names import ClientId, Key, new_incarnation
from himalia.registry import clusters
from himalia.registry.dashboard_link import HasDashboard, login_link, plain_link
from himalia.settings import DEFAULT, Settings
from himalia.show.summary import ClusterSummary, summarize
from himalia.show.units import parse_timeout
from himalia.views import find_live_views
from himalia.wellformed import key_of, name_of, names_of, text_of, well_formed

if TYPE_CHECKING:
    from pathlib import Path

    from himalia.client.executor import ClientExecutor
    from himalia.deploy.cluster import Cluster
    from himalia.follow.recorder import Recorder

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

Workers: TypeAlias = str | Iterable[str] | None
Named: TypeAlias = str | Sequence[str] | None
Errors: TypeAlias = Literal["raise", "skip"]
OnError: TypeAlias = Literal["raise", "return", "ignore"]
Several: TypeAlias = list[T] | tuple[T, ...] | set[T] | frozenset[T]

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for a connection, if nothing else is said.  A local scheduler answers in 10 ms; distributed waits 30 s."""
QUICK: Final = 1.0
"""Seconds that a representation waits for the scheduler."""
ADVICE: Final = "client.get_worker_logs() may tell why."
"""What to do when workers don't come."""
REASON_LIMIT: Final = 1000
"""Characters of the reason for which something is cancelled: what other texts of a user get (``SHORT`` of
``exceptions.py``)."""


class Client:
    """A connection to a cluster: submit calls, get futures, wait for results.

    Its methods may be called from any thread.

    Parameters
    ----------
    address : str or Cluster, optional
        An address (``"tcp://host:8786"``, ``"host:8786"``), the name of a running cluster, or a cluster.  If left
        out, and no cluster file is named, a :class:`LocalCluster` is started and closed with the client.
    timeout : float or str, optional
        Seconds (or ``"10s"``) to wait for the connection.
    set_as_default : bool
        Whether :func:`default_client` returns it and Dask collections are computed on it.
    asynchronous : bool
        Work in the running event loop: methods that wait return awaitables, ``async with`` opens and closes it.
    name : str, optional
        Shown to people.
    cluster_file : str, optional
        A cluster file with address and secret; else the variable ``HIMALIA_CLUSTER_FILE``, or the user's own files.
        ``scheduler_file`` is Dask's name for it, and the same.
    settings : Settings, optional
        Numbers for this client.
    forward_output : bool
        Whether what its calls print, log and warn of is shown here: under the cell that submitted them, or in the
        terminal.
    cancel_on_interrupt : bool
        Whether interrupting a notebook's cell cancels the calls that were submitted from it.
    **kwargs
        For the :class:`LocalCluster`: ``n_workers``, ``threads_per_worker``, ``memory_limit``, …

    Raises
    ------
    ConnectError
        If nobody answers, or not the right one.
    ClusterNotFoundError
        If no running cluster has that name.

    Examples
    --------
    >>> with Client(n_workers=2) as client:  # doctest: +SKIP
    ...     futures = client.map(lambda x: x + 1, range(10))
    ...     client.gather(futures)
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    """

    def __init__(
        self,
        address: object = None,
        *,
        timeout: float | str | None = None,
        set_as_default: bool = True,
        asynchronous: bool = False,
        name: str | None = None,
        cluster_file: str | None = None,
        scheduler_file: str | None = None,
        settings: Settings = DEFAULT,
        forward_output: bool = True,
        cancel_on_interrupt: bool = True,
        **kwargs: Any,
    ) -> None:
        self.id = ClientId(new_incarnation("client"))
        self.name = name or self.id
        self.settings = settings
        self._engine = Engine(EngineConfig(me=self.id, asynchronous=asynchronous, settings=settings), self)
        self._submitter = Submitter(self._engine)
        self._collections = Collections(self._engine, self._submitter)
        self._last_info: ClusterInfo | None = None
        named = cluster_file or scheduler_file
        if kwargs and (address is not None or named):
            raise UsageError(
                f"{', '.join(sorted(kwargs))}: options of a cluster that a client starts; this one connects to another."
            )
        self._lifetime = Lifetime(
            self._engine,
            address,
            named,
            kwargs,
            timeout=CONNECT_TIMEOUT if timeout is None else parse_timeout(timeout),
            set_as_default=set_as_default,
            forward_output=forward_output,
            cancel_on_interrupt=cancel_on_interrupt,
        )
        if not asynchronous:
            self._lifetime.open_here()

    # How it stands

    @property
    def status(self) -> str:
        """``created``, ``connecting``, ``running``, ``closed``, or ``lost``: the scheduler is gone."""
        return self._engine.status

    @property
    def asynchronous(self) -> bool:
        """Whether methods that wait return awaitables: the client was made so, or this is its own loop's thread."""
        return self._engine.asynchronous

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of its connections."""
        return self._engine.loop

    @property
    def cluster(self) -> Cluster | None:
        """The cluster object, if it was given or is this client's own; else ``None``."""
        return cast("Cluster | None", self._lifetime.cluster)

    @property
    def cluster_name(self) -> str:
        """What people call the cluster; of one that has no name here, the client's own."""
        target = self._engine.target
        return (target.name if target is not None else "") or self.name

    def source_factory(self, *, full: bool = False) -> Callable[[], Source]:
        """Return what makes a session of its own that follows the scheduler; see :class:`Followable`."""
        assert self.credentials is not None  # known since it has addresses
        return partial(Feed, self.credentials, list(self.addresses), title=self.cluster_name, full=full)

    @property
    def addresses(self) -> list[str]:
        """Where the scheduler listens; another session, like a feed's, is opened there with ``credentials``."""
        return self._engine.target.addresses if self._engine.target is not None else []

    @property
    def credentials(self) -> Credentials | None:
        """What opens a session with the scheduler; its repr shows no secret."""
        return self._engine.target.credentials if self._engine.target is not None else None

    @property
    def scheduler_address(self) -> str:
        """Where the scheduler is, as this client reached it."""
        return self._engine.scheduler_address

    @property
    def dashboard_link(self) -> str | None:
        """A link that opens the dashboard, once and within ten minutes; ``None`` if there is none, or none known."""
        if self.cluster is not None:
            return getattr(self.cluster, "dashboard_link", None)
        return login_link(self._dashboard()) or None

    @property
    def dashboard_address(self) -> str:
        """Where the dashboard's first page is, without what opens it; empty if there is none, or none known."""
        if self.cluster is not None:
            return str(getattr(self.cluster, "dashboard_address", ""))
        return plain_link(self._dashboard())

    def _dashboard(self) -> HasDashboard | None:
        """Return the cluster file of a cluster that somebody else started, if it is this user's."""
        return clusters.find(self.scheduler_address) if self.status in ("running", "lost") else None

    @staticmethod
    def seconds(duration: float | str) -> float:
        """Return a number of seconds; see :func:`himalia.show.units.parse_timeout`."""
        return parse_timeout(duration)

    # Calls and their futures

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
        self._engine.check_open()
        if key is not None:
            key = key_of(key)
            # Before anything is pickled: a name that is held keeps its result, whatever is submitted under it.
            known = known_future(self._engine, key)
            if known is not None:
                self._submitter.compare(record_of(known), func, args, kwargs)
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
        return Future(self._engine, record)

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
        self._engine.check_open()
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
        # Made as the chunks go out: if ctrl-C ends this, those that there are die with the list, and their calls are
        # let go of.
        return [Future(self._engine, record) for record in records]

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

        if self._engine.never_blocks:
            raise UsageError(
                "An executor's methods block, and an asynchronous client's never do: make a Client() without "
                "asynchronous=True for it."
            )
        return ClientExecutor(
            self,
            workers=workers,
            resources=resources,
            retries=retries,
            priority=priority,
            allow_other_workers=allow_other_workers,
            pure=pure,
        )

    def get_future(self, key: str, name: Hashable = None) -> AnyFuture:
        """Return a future of a key that was submitted by another client, or earlier.

        If the cluster doesn't know the key, its status becomes ``lost``.
        """
        self._engine.check_open()
        return Future(self._engine, self._engine.shell.hold([key_of(key)])[0], name)

    # Values

    @overload
    def scatter(self, data: list[T], workers: Workers = None, **options: Unpack[ScatterOptions]) -> list[Future[T]]: ...  # type: ignore[overload-overlap]  # a container is not one value

    @overload
    def scatter(  # type: ignore[overload-overlap]  # a container is not one value
        self, data: tuple[T, ...], workers: Workers = None, **options: Unpack[ScatterOptions]
    ) -> tuple[Future[T], ...]: ...

    @overload
    def scatter(self, data: set[T], workers: Workers = None, **options: Unpack[ScatterOptions]) -> set[Future[T]]: ...  # type: ignore[overload-overlap]  # a container is not one value

    @overload
    def scatter(  # type: ignore[overload-overlap]  # a container is not one value
        self, data: dict[K, T], workers: Workers = None, **options: Unpack[ScatterOptions]
    ) -> dict[K, Future[T]]: ...

    @overload
    def scatter(  # type: ignore[overload-overlap]  # a container is not one value
        self, data: Iterator[T], workers: Workers = None, **options: Unpack[ScatterOptions]
    ) -> list[Future[T]]: ...

    @overload
    def scatter(self, data: T, workers: Workers = None, **options: Unpack[ScatterOptions]) -> Future[T]: ...

    def scatter(
        self,
        data: object,
        workers: str | Iterable[str] | None = None,
        broadcast: bool = False,
        direct: bool | None = None,
        hash: bool = True,
        timeout: float | str | None = None,
    ) -> object:
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
        self._engine.check_open()
        limit = parse_timeout(timeout)
        # Pickled here, in the user's thread: the loop only stores it.
        scattering = Scattering(self._engine, self._submitter, data, broadcast=broadcast, hash=hash)
        return self._engine.sync(scattering.store(workers), limit)

    @overload
    def gather(self, futures: Future[T], errors: Errors = "raise", direct: bool | None = None) -> T: ...

    @overload
    def gather(self, futures: list[Future[T]], errors: Errors = "raise", direct: bool | None = None) -> list[T]: ...

    @overload
    def gather(
        self, futures: tuple[Future[T], ...], errors: Errors = "raise", direct: bool | None = None
    ) -> tuple[T, ...]: ...

    @overload
    def gather(self, futures: set[Future[T]], errors: Errors = "raise", direct: bool | None = None) -> set[T]: ...

    @overload
    def gather(
        self, futures: dict[K, Future[T]], errors: Errors = "raise", direct: bool | None = None
    ) -> dict[K, T]: ...

    @overload
    def gather(self, futures: object, errors: Errors = "raise", direct: bool | None = None) -> object: ...

    def gather(self, futures: object, errors: Literal["raise", "skip"] = "raise", direct: bool | None = None) -> object:
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
        with folded():
            return gather_nested(self._engine, futures, skip_errors=errors == "skip")

    # What becomes of calls

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
        records = own_records(self._engine, futures_of(futures))
        self._engine.shell.tell(CancelAsked(records, force, text_of(reason or "", REASON_LIMIT)))
        return self._engine.nothing()

    def retry(self, futures: object) -> None:
        """Run calls that failed again."""
        self._engine.shell.tell(RetryAsked(own_records(self._engine, futures_of(futures)), clock()))
        return self._engine.nothing()

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
            return self._engine.sync(explain(self._engine, record_of(future)))
        key = key_of(future)
        # The scheduler may know a key of which nobody here has a future.
        return self._engine.sync(explain(self._engine, self._engine.records.get(key) or Record(key)))

    @overload
    def recreate_error_locally(self, future: Future[T]) -> T: ...

    @overload
    def recreate_error_locally(self, future: object) -> object: ...

    def recreate_error_locally(self, future: object) -> object:
        """Repeat a failed call in this process, so that it raises here, and ``%debug`` or ``pdb.pm()`` see its frames.

        Parameters
        ----------
        future : future, Dask collection, or containers of these
            The first that failed counts; if that only depends on a call that failed, the latter is repeated.

        Returns
        -------
        object
            What the call returned, if it doesn't fail here: then it depends on where it runs.

        Raises
        ------
        UsageError
            If none of them failed, or if the call killed its workers, as it would this process.
        DataLostError
            If an input is gone and can't be computed again.
        """
        self._engine.check_open()
        futures = futures_of(future)
        if self.asynchronous:
            return recreate_in_loop(self._engine, futures)
        with folded():
            call, inputs = self._engine.run(fetch_failed(self._engine, futures))
        # Not folded: from here on the frames are what somebody wants to see.
        function, args, kwargs = read_call(call, inputs)
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            error.__traceback__ = without_first(error)
            raise

    # Dask collections

    def get(
        self,
        dsk: object,
        keys: object,
        workers: str | Iterable[str] | None = None,
        allow_other_workers: bool | None = None,
        resources: Mapping[str, float] | None = None,
        sync: bool = True,
        retries: int | None = None,
        priority: float = 0,
        **kwargs: object,
    ) -> object:
        """Compute keys of a Dask graph: the scheduler function that Dask collections call.

        Parameters
        ----------
        dsk : expression, HighLevelGraph or dict
        keys : key, or nested lists of keys
        sync : bool
            Return values; else futures.
        workers, allow_other_workers, resources, retries, priority
            For all tasks that have no annotation of their own; see :meth:`Client.submit`.
        """
        nested = self._collections.get(
            dsk, keys, given_options(priority, retries, workers, allow_other_workers, resources)
        )
        if not sync:
            return nested
        with folded():
            return self.gather(nested)

    @overload
    def compute(  # type: ignore[overload-overlap]  # several are not one
        self,
        collections: Several[object],
        sync: Literal[False] = False,
        optimize_graph: bool = True,
        **options: Unpack[GraphOptions],
    ) -> list[AnyFuture]: ...

    @overload
    def compute(
        self,
        collections: object,
        sync: Literal[False] = False,
        optimize_graph: bool = True,
        **options: Unpack[GraphOptions],
    ) -> AnyFuture: ...

    @overload
    def compute(
        self, collections: object, sync: bool, optimize_graph: bool = True, **options: Unpack[GraphOptions]
    ) -> object: ...

    def compute(
        self,
        collections: object,
        sync: bool = False,
        optimize_graph: bool = True,
        workers: str | Iterable[str] | None = None,
        allow_other_workers: bool = False,
        resources: Mapping[str, float] | None = None,
        retries: int | None = None,
        priority: float = 0,
        traverse: bool = True,
        **kwargs: object,
    ) -> object:
        """Compute Dask collections to single values.

        Parameters
        ----------
        collections : collection, or list, tuple, set of collections
            Whatever else is among them is given back as it is.
        sync : bool
            Return values; else a future for each collection.
        optimize_graph : bool
            Whether Dask optimises the graphs first.
        traverse : bool
            Whether to look for collections in nested containers.
        workers, allow_other_workers, resources, retries, priority
            For all tasks that have no annotation of their own; see :meth:`Client.submit`.

        Returns
        -------
        Future or list of Future
            Or the values themselves, with ``sync``.
        """
        options = given_options(priority, retries, workers, allow_other_workers, resources)
        results = self._collections.compute(collections, options, optimize_graph=optimize_graph, traverse=traverse)
        if not sync:
            return results
        with folded():
            return self.gather(results)

    @overload
    def persist(
        self, collections: Several[T], optimize_graph: bool = True, **options: Unpack[GraphOptions]
    ) -> list[T]: ...

    @overload
    def persist(self, collections: T, optimize_graph: bool = True, **options: Unpack[GraphOptions]) -> T: ...

    def persist(
        self,
        collections: object,
        optimize_graph: bool = True,
        workers: str | Iterable[str] | None = None,
        allow_other_workers: bool | None = None,
        resources: Mapping[str, float] | None = None,
        retries: int | None = None,
        priority: float = 0,
        **kwargs: object,
    ) -> object:
        """Compute Dask collections and keep the results on the cluster.

        Parameters
        ----------
        collections : collection, or list, tuple, set of collections
        optimize_graph, workers, allow_other_workers, resources, retries, priority
            See :meth:`compute`.

        Returns
        -------
        collection or list of collections
            Of the same kinds, whose graphs are futures; at once, while they are being computed.
        """
        options = given_options(priority, retries, workers, allow_other_workers, resources)
        return self._collections.persist(collections, options, optimize_graph=optimize_graph)

    # Questions to the cluster

    def scheduler_info(self, n_workers: int = -1) -> SchedulerInfo:
        """Return what the scheduler says of itself, its hosts and its workers: a dict, shown as tables in a notebook.

        Parameters
        ----------
        n_workers : int
            Workers to show; -1: all.
        """
        return self._engine.sync(workers_of.describe(self._engine, n_workers))

    def nthreads(self, workers: str | Iterable[str] | None = None) -> dict[str, int]:
        """Return the number of threads of each worker, by its address."""
        return self._engine.sync(workers_of.threads_of(self._engine, workers))

    ncores = nthreads

    def who_has(self, futures: object = None) -> dict[str, tuple[str, ...]]:
        """Return which hosts hold each result: ``{key: (nanny address, …)}``.

        Parameters
        ----------
        futures : futures or Dask collections, optional
            Everything that is in memory, if left out.
        """
        return self._engine.sync(holdings.holders_of(self._engine, holdings.keys_of(futures)))

    def has_what(self, workers: str | Iterable[str] | None = None) -> dict[str, tuple[str, ...]]:
        """Return which results each host holds: ``{nanny address: (key, …)}``.

        Parameters
        ----------
        workers : str or iterable of str, optional
            Nanny addresses, host names, or names or addresses of workers: those of their hosts.
        """
        return self._engine.sync(holdings.keys_held_by(self._engine, workers))

    def nbytes(self, keys: object = None, summary: bool = True) -> dict[str, int]:
        """Return the bytes of results in memory, by their group, or by key with ``summary=False``."""
        return self._engine.sync(holdings.sizes_of(self._engine, holdings.keys_of(keys), by_group=summary))

    def wait_for_workers(self, n_workers: int = 1, timeout: float | str | None = None) -> None:
        """Wait until there are so many workers.

        Raises
        ------
        TimeoutError
            If they are not there within ``timeout`` seconds.
        """
        limit = parse_timeout(timeout)
        return self._engine.sync(wait_for_workers(lambda: self._engine.ask(GetInfo), n_workers, limit, advice=ADVICE))

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
        return self._engine.sync(running.collect_versions(self._engine, list(packages or ()), check=check))

    def get_worker_logs(self, n: int | None = None, workers: str | Sequence[str] | None = None) -> dict[str, list[str]]:
        """Return the last lines of output of workers and nannies: ``{name: [line, …]}``, ``n`` lines at most.

        Under the name of a worker is what its calls printed and logged; under ``log of nanny NAME``, unless ``workers``
        were named, what that nanny logged.
        """
        return self._engine.sync(workers_of.last_lines(self._engine, n, names_of(workers)))

    # Its workers

    @overload
    def run(
        self,
        function: Callable[..., T],
        *args: object,
        workers: Named = None,
        wait: Literal[True] = True,
        nanny: bool = False,
        on_error: Literal["raise", "ignore"] = "raise",
        **kwargs: object,
    ) -> dict[str, T]: ...

    @overload
    def run(
        self,
        function: Callable[..., T],
        *args: object,
        workers: Named = None,
        wait: Literal[True] = True,
        nanny: bool = False,
        on_error: Literal["return"],
        **kwargs: object,
    ) -> dict[str, T | BaseException]: ...

    @overload
    def run(
        self,
        function: Callable[..., object],
        *args: object,
        workers: Named = None,
        wait: bool,
        nanny: bool = False,
        on_error: OnError = "raise",
        **kwargs: object,
    ) -> dict[str, object] | None: ...

    def run(
        self,
        function: Callable[..., object],
        *args: object,
        workers: str | Sequence[str] | None = None,
        wait: bool = True,
        nanny: bool = False,
        on_error: Literal["raise", "return", "ignore"] = "raise",
        **kwargs: object,
    ) -> object:
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
        # Pickled in the user's thread: what can't be pickled is an error of the user's line, and holds up no loop.
        call = running.pack_call(self._engine, function, args, kwargs)
        names = names_of(workers)
        if not wait:
            self._engine.start(self._engine.ask(lambda number: RunFunction(number, call, names)))
            return None
        with folded():
            return self._engine.sync(running.run_on_workers(self._engine, call, names, on_error))

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
            self._engine.start(self._engine.ask(Restart))
            return self._engine.nothing()
        return self._engine.sync(workers_of.restart(self._engine), parse_timeout(timeout))

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
        return self._engine.sync(workers_of.restart_workers(self._engine, names_of(names)), parse_timeout(timeout))

    # What was measured

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

        Calls that run for longer than a second are looked at once a second, always.  Shorter ones are looked at only
        after somebody asked: for ten seconds then, all that runs is looked at closely, 50 times a second.  So the first
        answer about a computation of many short calls, such as a matrix product in chunks, has hardly a sample.  Ask
        before it begins, and again at least every ten seconds; the dashboard's profile page does so while it is open.

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
        since, until = 0.0 if start is None else start, float("inf") if stop is None else stop
        return self._engine.sync(take_profile(self._engine, since, until, names_of(workers), filename, plot=plot))

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
        return self._engine.sync(self._engine.ask(lambda number: GetTelemetry(number, since, well_formed(span))))

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
        self._engine.check_open()
        return follow(self._engine, callback, float(interval))

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

        self._engine.check_open()
        return record(self, path, last=last, limit=limit, logs=logs)

    # The end

    def close(self, timeout: float | str | None = None) -> None:
        """Let go of all futures and of the cluster; one that this client started is closed with it."""
        limit = CLOSE_TIMEOUT if timeout is None else parse_timeout(timeout)
        if self.asynchronous:
            return self._lifetime.close_in_loop(limit)  # type: ignore[return-value]  # awaitable there
        self._lifetime.close_here(limit)

    def shutdown(self) -> None:
        """End the cluster: its workers, its scheduler, and this client."""
        self._engine.check_open()
        self._lifetime.begin_shutdown()
        return self.close()

    def __enter__(self) -> Self:
        if self._engine.never_blocks:
            raise UsageError("An asynchronous client is entered by `async with`.")
        self._engine.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __await__(self) -> Generator[object, None, Self]:
        if not self._engine.never_blocks:
            raise UsageError("await Client(…) needs asynchronous=True; without it, the client is ready already.")
        yield from self._lifetime.open_in_loop().__await__()
        return self

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._lifetime.close_in_loop(CLOSE_TIMEOUT)

    def as_current(self) -> _Current:
        """Return a context in which this client is the default one."""
        return _Current(self)

    @classmethod
    def current(cls) -> Client:
        """Return the default client; see :func:`himalia.default_client`."""
        return default.default_client()

    def __del__(self) -> None:
        if hasattr(self, "_engine"):  # else it was refused before it had one
            self._engine.forget()

    # What it looks like

    def __repr__(self) -> str:
        return client_text(type(self).__name__, self.status, summary_of(self, known_info(self)))

    def _repr_html_(self) -> str:
        info = known_info(self)
        kind, summary = type(self).__name__, summary_of(self, info)
        return client_html(kind, self.name, self.status, summary, info_task_words(info), taken=time.time())

    def _ipython_display_(self, **kwargs: object) -> None:
        """Show it live in a notebook; elsewhere it is shown by what stands above."""
        views = find_live_views()
        if views is None or self.status != "running":
            raise NotImplementedError  # which tells IPython to look for another form
        views.show_live(ClientLook(self, known_info(self), summary_of), calm=True)


def known_info(client: Client) -> ClusterInfo | None:
    """The cluster's description, now if it can be had quickly, else what was known last; ``None``: nothing."""
    if client.status != "running":
        return None
    # A repr can't wait in the loop that would bring the answer.
    if not client.asynchronous:
        try:
            client._last_info = client._engine.run(client._engine.ask(GetInfo), QUICK)
        except HimaliaError:  # slow or gone: what was known last is shown
            pass
    return client._last_info


def summary_of(client: Client, info: ClusterInfo | None) -> ClusterSummary:
    """What can be shown of a client and of its cluster, as far as that was described."""
    target = client._engine.target
    return summarize(
        info,
        now=0.0,  # since when it runs isn't shown
        title=type(client).__name__,
        name=target.name if target is not None else "",
        status=client.status,
        comm=client.scheduler_address,
        dashboard=client.dashboard_address,
        no_dashboard=getattr(client.cluster, "why_no_dashboard", str)(),
        expected=None,
    )


class _Current:
    """A context in which a client is the default one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> Client:
        default.push(self._client)
        return self._client

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        default.pop(self._client)
