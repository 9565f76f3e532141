"""The future: what a user holds of a call, and what a dependent call names it by.

Its status is in the record that all futures of a key share, and waiting is done by ``gathering.py``.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Generator, Hashable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, cast

from himalia import serialize
from himalia.client.engine.engine import Engine
from himalia.client.engine.errors_view import error_of, folded
from himalia.client.engine.gathering import gather_here, gather_in_loop, wait_then
from himalia.client.engine.state import CANCELLED, FINISHED, PENDING, Record
from himalia.client.pictures import look_at_future
from himalia.client.reprs import future_html, future_text
from himalia.errors import UsageError
from himalia.messages.client import GetLogs
from himalia.messages.telemetry import LogLine
from himalia.names import Key, shorten
from himalia.show.units import parse_timeout
from himalia.views import find_live_views

if TYPE_CHECKING:
    from himalia.client.client import Client

T = TypeVar("T")

RELEASED: Final = "it was released"
"""Reason of a record that only stands for one that is gone."""


class Future(Generic[T]):
    """The result of a call that runs, or ran, on the cluster.

    Made by :meth:`Client.submit`, :meth:`Client.map`, :meth:`Client.scatter` and :meth:`Client.compute`.  The result
    is kept on the cluster as long as a future of it exists.  Usable from any thread, and, pickled, as an argument of
    other calls at any depth, where the call finds the value in its place.

    With a client that is ``asynchronous``, methods that wait return awaitables.
    """

    __slots__ = ("__weakref__", "_engine", "_name", "_record")

    __dask_future__ = True

    def __init__(self, engine: Engine, record: Record, name: Hashable = None) -> None:
        # Through it a future keeps its client: that lives as long as its futures.
        self._engine = engine
        self._record = record
        self._name = name

    def __del__(self) -> None:
        try:
            # At any moment, also while this very thread has the machine's lock: drop() takes none.
            self._engine.shell.drop(self._record)
        except AttributeError:  # not even made
            pass

    @property
    def key(self) -> str:
        """Its name, unique on the cluster: a string, or a tuple for a chunk of a Dask collection."""
        return self._record.key if self._name is None else cast("str", self._name)  # so that most code is simple

    @property
    def client(self) -> Client:
        """The client that holds it."""
        return cast("Client", self._engine.owner)

    @property
    def status(self) -> str:
        """``pending``, ``finished``, ``error``, ``cancelled`` or ``lost``."""
        return str(self._record.status)  # a word of their own, without our enum, also where it is pickled

    @property
    def type(self) -> builtins.type[object] | str | None:
        """Type of the result, once it is known; its name, if its module is not imported here."""
        return find_type(self._record.type_name) if self._record.type_name else None

    def done(self) -> bool:
        """Whether it settled, in whatever way."""
        return self._record.status is not PENDING

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._record.status is CANCELLED

    def result(self, timeout: float | str | None = None) -> T:
        """Wait for the result and return it; what the call raised is raised here.

        Parameters
        ----------
        timeout : float or str, optional
            Seconds, or ``"10s"``.

        Raises
        ------
        TimeoutError
            If it takes longer; the call goes on.
        CancelledError
            If it was cancelled.
        """
        engine, limit = self._engine, parse_timeout(timeout)
        if engine.asynchronous:
            return self._result(limit)  # type: ignore[return-value]  # awaitable there
        with folded():
            values = gather_here(engine, (self._record,), timeout=limit)
            if values.failure is not None:
                raise values.failure
        return values.values[0]  # type: ignore[no-any-return]

    async def _result(self, timeout: float | None = None) -> T:
        with folded():
            values = await gather_in_loop(self._engine, (self._record,), timeout=timeout)
            if values.failure is not None:
                raise values.failure
        return values.values[0]  # type: ignore[no-any-return]

    def __await__(self) -> Generator[object, None, T]:
        return self._result().__await__()

    def exception(self, timeout: float | str | None = None) -> BaseException | None:
        """Wait until it settled, and return what :meth:`result` would raise, or None.

        Raises
        ------
        TimeoutError
            If it takes longer than ``timeout`` seconds.
        CancelledError
            If it was cancelled.
        """
        return wait_then(self._engine, (self._record,), self._exception, timeout)

    def _exception(self) -> BaseException | None:
        # Pending again: it is retried, or computed anew because its data were lost.
        if self._record.status in (FINISHED, PENDING):
            return None
        error = error_of(self._record, self._engine.gone)
        # Raised, not returned, as in concurrent.futures.
        if self._record.status is CANCELLED:
            raise error
        return error

    def traceback(self, timeout: float | str | None = None) -> TracebackType | None:
        """Wait until it settled, and return the traceback of what the call raised, or None; see :meth:`exception`."""

        def traceback() -> TracebackType | None:
            error = self._exception()
            return None if error is None else error.__traceback__

        return wait_then(self._engine, (self._record,), traceback, timeout)

    def cancel(self, reason: str | None = None, force: bool = False) -> None:
        """Stop the call and everything that depends on it; one that runs is interrupted."""
        return self.client.cancel([self], force=force, reason=reason)

    def retry(self) -> None:
        """Run a call that failed again."""
        return self.client.retry([self])

    def release(self) -> None:
        """Let go of the result now; the future can't be used any more and says that it is cancelled."""
        record = self._record
        if record.reason != RELEASED:
            # Replaced before it is dropped: __del__ drops what is here, and must not drop the same one again.
            self._record = Record(record.key, CANCELLED, reason=RELEASED)
            self._engine.shell.drop(record)

    def add_done_callback(self, callback: Callable[[Future[T]], object]) -> None:
        """Have ``callback(future)`` called when it settled: once, in a thread of its own, errors are logged."""
        self._engine.when_settled(self._record, lambda: callback(self))

    def logs(self) -> list[LogLine]:
        """Return the lines that the call printed or logged, in the order of their times, as far as they are kept.

        They are kept by the nanny of the worker that ran it, also if that worker died since; the scheduler remembers
        the last ones of all calls for when the nanny is gone.
        """
        engine, key = self._engine, self._record.key

        async def logs() -> list[LogLine]:
            found = await engine.ask(lambda number: GetLogs(number, None, key))
            lines = [line for some in found.lines.values() for line in some]
            return sorted(lines, key=lambda line: line.time)

        return engine.sync(logs())

    def explain(self) -> str:
        """Return why it is in the state it is in, and not further: what it waits for, since when, what will be done.

        It takes some seconds at most; a scheduler that says nothing is part of the answer.
        """
        return self.client.explain(self)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        record = self._record
        if record.reason == RELEASED:
            raise UsageError("A future that was released can't be used any more.")
        if record.status is CANCELLED and record.key in self._engine.records:
            raise UsageError(
                f"This future was cancelled, and its key {shorten(record.key)!r} stands for another call since; use "
                f"the future of that one."
            )
        # In a call it becomes its value, anywhere else a future again.
        return serialize.reference(self._record.key) or (find_future, (self._record.key, self._name))

    def __dask_tokenize__(self) -> tuple[str, str]:
        return "himalia.Future", self._record.key

    def __repr__(self) -> str:
        return future_text(self._record, self.key)

    def _repr_html_(self) -> str:
        return future_html(self._record, self.key, self._engine.known_hosts)

    def _ipython_display_(self, **kwargs: object) -> None:
        """Show it live in a notebook; where there is nothing to wait for, it is shown by what stands above."""
        views = find_live_views()
        if views is None or self.done():
            raise NotImplementedError  # which tells IPython to look for another form
        views.show_live(look_at_future(self._record, self.key, self._engine.known_hosts))


AnyFuture: TypeAlias = Future[Any]
"""One of whatever value; ``Future[object]`` would be another type."""


def record_of(future: AnyFuture) -> Record:
    """What is known here of a future's key; all futures of the key in this process share it."""
    return future._record


def records_of(futures: Iterable[AnyFuture]) -> list[Record]:
    """The records of futures, one for each, in their order."""
    return [future._record for future in futures]


def engine_of(future: AnyFuture) -> Engine:
    """The engine of the client that holds a future."""
    return future._engine


def name_of_user(future: AnyFuture) -> Hashable:
    """What its user calls a future's key, if that isn't the record's own; else ``None``."""
    return future._name


def first_foreign(engine: Engine, futures: Iterable[AnyFuture]) -> AnyFuture | None:
    """The first of these futures that another engine holds, if any."""
    return next((future for future in futures if future._engine is not engine), None)


def own_records(engine: Engine, futures: Iterable[AnyFuture]) -> list[Record]:
    """The records of futures in this engine, which may be another client's: a key that it holds, too, is its own."""
    return [
        future._record if future._engine is engine else engine.records.get(future._record.key, future._record)
        for future in futures
    ]


def known_future(engine: Engine, key: Key) -> AnyFuture | None:
    """One more future of a key that an engine holds already; ``None`` if it doesn't."""
    record = engine.shell.hold_known(key)
    return None if record is None else Future(engine, record)


def find_type(name: str) -> builtins.type[object] | str:
    """Return the class of that name if its module is imported here, else the name."""
    module_name, _, rest = name.rpartition(".")
    # Nothing is imported just to show a type.
    found: object = sys.modules.get(module_name or "builtins")
    found = getattr(found, rest, None)
    return found if isinstance(found, builtins.type) else name


def find_future(key: Key, name: Hashable = None) -> AnyFuture:
    """Return a future of a key, held by this process's default client; what a future pickled outside a call becomes.

    Raises
    ------
    UsageError
        If there is no client in this process.
    """
    from himalia.client.default import default_client

    return default_client().get_future(key, name)
