"""Values of a user, stored on the cluster: ``Client.scatter``.

Decides what they are called, and which have to be stored at all: a value that is there under its name is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from himalia import serialize
from himalia.client.engine.engine import Engine
from himalia.client.engine.submitting import Submitter
from himalia.client.future import AnyFuture, Future, known_future, record_of
from himalia.client.nesting import pack_futures
from himalia.client.packing import origin
from himalia.client.packing.calls import KeyMaker, Parcel
from himalia.client.selecting import select_hosts
from himalia.errors import UsageError
from himalia.messages.client import GetInfo
from himalia.messages.parts import HostInfo
from himalia.wellformed import key_of, label_of


class ScatterOptions(TypedDict, total=False):
    """Arguments of ``scatter()`` that don't decide what it returns."""

    broadcast: bool
    direct: bool | None
    hash: bool
    timeout: float | str | None


class Scattering:
    """The values of one ``scatter()``, pickled by who makes this; any thread.

    Parameters
    ----------
    data : list, tuple, set, dict, iterator or other object
        Several values, or one.
    broadcast : bool
        Whether each is stored on every host.
    hash : bool
        Whether values without a name are named by their content.
    """

    def __init__(self, engine: Engine, submitter: Submitter, data: object, *, broadcast: bool, hash: bool) -> None:
        self._engine = engine
        self._submitter = submitter
        self._broadcast = broadcast
        names, values, self._rebuild = pack_futures(data)
        self._parcels = [
            make_parcel(submitter.keys, name, value, hash) for name, value in zip(names, values, strict=True)
        ]
        self._known = {parcel.key: known_future(engine, parcel.key) for parcel in self._parcels}
        """Held until all have futures of their own."""
        self._missing = {
            parcel.key: parcel for parcel in self._parcels if _is_needed(parcel, self._known[parcel.key], broadcast)
        }

    async def store(self, workers: str | Iterable[str] | None) -> object:
        """Store what is missing on the hosts of these workers; return futures in the container of the values."""
        hosts = None if workers is None else await hosts_of_workers(self._engine, workers)
        stored = await self._submitter.scatter_in_loop(list(self._missing.values()), hosts, self._broadcast)
        once = {record.key: record for record in stored}
        futures: list[AnyFuture] = []
        for parcel in self._parcels:
            # Equal values have one key: the first takes the record that was made, the others hold it too.
            record = once.pop(parcel.key, None) or self._engine.shell.hold([parcel.key])[0]
            futures.append(Future(self._engine, record))
        # From here on their futures hold them.
        self._known.clear()
        return self._rebuild(futures)


def make_parcel(keys: KeyMaker, name: object, value: object, hash: bool) -> Parcel:
    """Pickle a value under its name, or one made of its content, or one that nobody else makes."""
    frames = serialize.dumps(value)
    kind = label_of(type(value))
    if name is not None:
        return Parcel(key_of(name), kind, frames, kind, True, origin.of_value(kind, frames))
    key = keys.of_content(kind, frames) if hash else keys.unique(kind)
    return Parcel(key, kind, frames, kind, True)


async def hosts_of_workers(engine: Engine, workers: str | Iterable[str]) -> list[HostInfo]:
    """Return the hosts of workers that a user named.

    Raises
    ------
    UsageError
        If there are none.
    """
    info = await engine.ask(GetInfo)
    chosen = select_hosts(info, workers)
    found = [known for host, known in engine.known_hosts.items() if host in chosen]
    if not found:
        raise UsageError(f"workers={workers!r} fits none of {sorted(info.workers)}.")
    return found


def _is_needed(parcel: Parcel, known: AnyFuture | None, broadcast: bool) -> bool:
    """Whether a value has to be stored: nobody here has its name, or, if it goes to every host, for the same value."""
    if known is None:
        return True
    record = record_of(known)
    if origin.differ(record.origin, parcel.origin):
        origin.warn_if_other(record, parcel.origin)
        return False
    # All copies have one attempt: a value is read by key and attempt, at whatever host.
    parcel.attempt = record.attempt
    # That one host has it says nothing of the others.
    return broadcast
