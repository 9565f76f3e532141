"""Making submissions: one call, many calls, values that are scattered.

Decides in which pieces they go out: a map in chunks, so that the first calls run while the last ones are pickled and
nobody's loop is busy with one message for long; large arguments before the calls that need them.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from himalia import serialize
from himalia.client.engine.engine import Engine
from himalia.client.engine.events import CallsRefused, CallsSubmitted, ValuePlaced
from himalia.client.engine.outbox import Gate
from himalia.client.engine.placing import place_behind
from himalia.client.engine.state import Record
from himalia.client.packing import origin
from himalia.client.packing.calls import Call, CallMaker, KeyMaker, Parcel, named_options
from himalia.client.packing.functions import BODY_LIMIT, PickledFunction
from himalia.client.packing.remote import Reference
from himalia.errors import ClosedError, UsageError
from himalia.messages.client import ClientToScheduler, DataPlaced
from himalia.messages.parts import HostInfo, TaskError, TaskOptions, TaskSpec
from himalia.names import Key
from himalia.notebook_cells import current_span
from himalia.wellformed import label_of, name_of

FIRST_CHUNK: Final = 200
"""Calls of a map that are sent at first, so that work begins; about 2 ms of pickling."""
CHUNK: Final = 1000
"""Calls of a map that are sent at once later."""
CHUNK_BYTES: Final = 64 * 1024 * 1024
"""Bytes of large arguments after which a chunk of a map ends, so that they don't all wait in this process."""


class Submitter:
    """Submits what one client's user asks for; any thread.

    In a client that must not block, what is stored first is stored behind a gate.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shell = engine.shell
        self.keys = KeyMaker(engine.me)
        self.calls = CallMaker(engine.functions, self.keys, engine.settings.inline_limit)

    def submit(
        self,
        function: Callable[..., object],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        *,
        key: Key | None,
        pure: bool,
        options: TaskOptions | None,
    ) -> Record:
        """Submit one call and return its record, held once."""
        pickled = self._engine.functions.pickle(function)
        call = self.calls.make(pickled, args, kwargs, key=key, pure=pure, options=options)
        return self.send([call])[0]

    def send(self, calls: Sequence[Call], batch: int = 0, *, last: bool = True) -> list[Record]:
        """Submit calls that are made, after storing what they need; return the records of the wanted ones."""
        parcels = [parcel for call in calls for parcel in call.parcels]
        named = {call.named.digest: call.named for call in calls if call.named is not None}
        specs = [call.spec for call in calls]
        made: list[Record] = []
        before = self.store(parcels, made) if parcels else []
        batch = batch or self._shell.machine.next_batch()
        event = CallsSubmitted(batch, specs, last, current_span(self._engine.me))
        # Before the machine's lock is taken: the loop needs it for what it reads meanwhile.
        if self._engine.outbox.congested:
            self._wait_for_room()
        # Into the list that store() was given: if storing fails later, it finds there what has to fail.
        made += self._shell.submit(event, tuple(named.values()), before)
        return self._compared(made, specs)

    def _compared(self, made: list[Record], specs: Sequence[TaskSpec]) -> list[Record]:
        """Return the records of calls that were submitted; warn of those whose name was in use for another call."""
        wanted = (spec for spec in specs if spec.wanted)
        origin.warn_of_others(
            [
                (record, spec.options.origin)
                for record, spec in zip(made, wanted, strict=True)
                if spec.options is not None and spec.options.origin
            ]
        )
        return made

    def compare(
        self, record: Record, function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> None:
        """Warn if the name of a record was submitted again for another call than this."""
        if not record.origin:
            return
        try:
            with serialize.collecting():
                # Collecting, as for a call that is sent: futures are compared by their keys.
                frames = serialize.dumps((args, kwargs))
            now = origin.of_call(self._engine.functions.pickle(function), frames)
        except Exception:  # what can't be pickled isn't sent, so it isn't wrong either
            return
        origin.warn_if_other(record, now)

    def store(self, parcels: Sequence[Parcel], made: list[Record]) -> list[ClientToScheduler | Gate]:
        """Store values that calls need, and return what has to be sent before these.

        ``made`` will be the records of these calls, once they are submitted.
        """
        if not self._engine.never_blocks:
            # Waited for, so that a value which can't be stored is an error of the user's own line.
            placed: list[ClientToScheduler | Gate] = []
            for messages in self._engine.run(self._engine.stores.place_all(parcels)):
                placed += messages
            return placed

        for parcel in parcels:  # they are stored after we return, and show what the user's arrays hold by then
            parcel.frames = [bytes(frame) for frame in parcel.frames]

        def refuse(error: Exception) -> None:
            if made:
                text = f"Its arguments can't be stored: {error}"
                self._shell.tell(CallsRefused(made, TaskError("refused", made[0].key, text)))

        return [place_behind(self._engine, parcels, refuse)]

    def map(
        self,
        function: Callable[..., object],
        iterables: Sequence[Iterable[object]],
        kwargs: Mapping[str, object],
        *,
        keys: str | Sequence[str] | None,
        pure: bool,
        options: TaskOptions | None,
        chunk: int,
    ) -> Iterator[Record]:
        """Submit a call for each tuple of arguments; yield their records, each held once, while they are sent."""
        pickled = self._engine.functions.pickle(function)
        kwargs, held = self._store_kwargs(kwargs)
        batch = self._shell.machine.next_batch()
        rows = zip(*iterables, strict=False)
        names = None if keys is None or isinstance(keys, str) else iter(keys)
        prefix = keys if isinstance(keys, str) else pickled.name
        size, start = min(FIRST_CHUNK, chunk), 0
        try:
            while args := list(itertools.islice(rows, size)):
                given = None if names is None else _take(names, len(args), start)
                yield from self._send_rows(pickled, args, kwargs, given, prefix, pure, options, batch, start)
                start += len(args)
                size = min(CHUNK, chunk)
            if names is not None and next(names, None) is not None:
                raise UsageError(f"map() was given more keys than the {start} calls there are.")
        finally:
            if held:
                # Not before the last chunk: from then on its calls keep what they refer to.
                for record in held:
                    self._shell.drop(record)

    def _send_rows(
        self,
        pickled: PickledFunction,
        rows: list[tuple[object, ...]],
        kwargs: Mapping[str, object],
        keys: Sequence[str] | None,
        prefix: str,
        pure: bool,
        options: TaskOptions | None,
        batch: int,
        start: int,
    ) -> list[Record]:
        if pickled.dependencies or len(pickled.body) > BODY_LIMIT:
            return self._send_special(pickled, rows, kwargs, keys, prefix, pure, options, batch, start)
        specs: list[TaskSpec] = []
        large: list[int] = []
        # The loop is CallMaker.make() without its calls, as maps have millions of rows. Names have to be equal: one
        # call is one task, whichever way it was submitted.
        hash_start = hashlib.blake2b(pickled.digest, digest_size=16)
        dumps, unique, name, digest = serialize.dumps, self.keys.unique, pickled.name, pickled.digest
        limit = self._engine.settings.inline_limit
        order = start
        with serialize.collecting() as found:
            for row in rows:
                frames = dumps((row, kwargs))
                if len(frames) > 1 or len(frames[0]) > limit:
                    large.append(order - start)
                    # _send_mixed() pickles it once more, and sends what is large in pieces.
                    call = b""
                else:
                    call = frames[0]  # type: ignore[assignment]  # the first frame is always bytes
                asked = options
                if keys is not None:
                    key = keys[order - start]
                    asked = named_options(options, origin.of_call(pickled, frames))
                elif pure and call:
                    # Each begins with the function, which is hashed once.
                    content = hash_start.copy()
                    content.update(call)
                    key = f"{prefix}-{content.hexdigest()}"
                else:
                    key = unique(prefix)
                if found:
                    dependencies = tuple(found)
                    found.clear()
                else:
                    dependencies = ()
                specs.append(TaskSpec(key, name, digest, call, dependencies, order, True, "", asked))  # type: ignore[arg-type]
                order += 1
        if large:
            return self._send_mixed(pickled, rows, kwargs, specs, large, batch, pure and keys is None, prefix, options)
        if self._engine.outbox.congested:
            self._wait_for_room()
        made = self._shell.submit(CallsSubmitted(batch, specs, True, current_span(self._engine.me)), (pickled,))
        return made if keys is None else self._compared(made, specs)

    def _send_mixed(
        self,
        pickled: PickledFunction,
        rows: list[tuple[object, ...]],
        kwargs: Mapping[str, object],
        specs: list[TaskSpec],
        large: list[int],
        batch: int,
        pure: bool,
        prefix: str,
        options: TaskOptions | None,
    ) -> list[Record]:
        """Send a chunk of a map of which some calls are too large for a message."""
        special = set(large)
        made: list[Record] = []
        calls: list[Call] = []
        waiting = 0
        for index, spec in enumerate(specs):
            if index not in special:
                # Sent with those between which it stands: records have to be in the order of the rows.
                calls.append(Call(spec, [], pickled))
                continue
            # What is too large for a message may still have a digest for a name.
            key = None if pure else spec.key
            call = self.calls.make(
                pickled, rows[index], kwargs, key=key, pure=pure, order=spec.order, options=options, prefix=prefix
            )
            calls.append(call)
            waiting += sum(serialize.nbytes(parcel.frames) for parcel in call.parcels)
            if waiting > CHUNK_BYTES:
                made += self.send(calls, batch)
                calls, waiting = [], 0
        return made + (self.send(calls, batch) if calls else [])

    def _send_special(
        self,
        pickled: PickledFunction,
        rows: list[tuple[object, ...]],
        kwargs: Mapping[str, object],
        keys: Sequence[str] | None,
        prefix: str,
        pure: bool,
        options: TaskOptions | None,
        batch: int,
        start: int,
    ) -> list[Record]:
        """Send a chunk of a map whose function is large or captured futures."""
        calls = []
        for index, row in enumerate(rows):
            key = Key(keys[index]) if keys is not None else None
            calls.append(
                self.calls.make(
                    pickled, row, kwargs, key=key, pure=pure, order=start + index, options=options, prefix=prefix
                )
            )
        seen: set[Key] = set()
        for call in calls:  # the function is the same parcel in all of them
            call.parcels = [parcel for parcel in call.parcels if parcel.key not in seen]
            seen.update(parcel.key for parcel in call.parcels)
        return self.send(calls, batch)

    def _store_kwargs(self, kwargs: Mapping[str, object]) -> tuple[Mapping[str, object], list[Record]]:
        """Store keyword arguments that would make every call of a map large, once."""
        # Storing waits, which an asynchronous client may not.
        if not kwargs or self._engine.never_blocks:
            return kwargs, []
        with serialize.collecting():
            small = serialize.nbytes(serialize.dumps(kwargs)) <= self._engine.settings.inline_limit // 4
        if small:
            return kwargs, []
        # One by one: small ones stay in the calls, and whatever refers to futures has to, for their values are put in
        # there.
        replaced, held = dict(kwargs), []
        for name, value in kwargs.items():
            with serialize.collecting() as found:
                frames = serialize.dumps(value)
            if not found and serialize.nbytes(frames) > self._engine.settings.inline_limit // 8:
                key = self.keys.unique("himalia-argument")
                held += self.scatter([Parcel(key, "himalia-argument", frames, label_of(type(value)), True)], None)
                replaced[name] = Reference(key)
        return replaced, held

    def scatter(
        self, parcels: Sequence[Parcel], hosts: Sequence[HostInfo] | None, broadcast: bool = False
    ) -> list[Record]:
        """Store each value on one of these hosts (or a near one), or on all; return their records, each held once."""
        return self._announce(parcels, self._engine.run(self._engine.stores.place_all(parcels, hosts, broadcast)))

    async def scatter_in_loop(
        self, parcels: Sequence[Parcel], hosts: Sequence[HostInfo] | None, broadcast: bool = False
    ) -> list[Record]:
        """Do as :meth:`scatter` in the client's own loop."""
        return self._announce(parcels, await self._engine.stores.place_all(parcels, hosts, broadcast))

    def _announce(self, parcels: Sequence[Parcel], placed: Sequence[Sequence[DataPlaced]]) -> list[Record]:
        limit = self._engine.settings.inline_limit
        records = []
        for parcel, messages in zip(parcels, placed, strict=True):
            data = serialize.pack(parcel.frames) if serialize.nbytes(parcel.frames) <= limit else None
            for index, message in enumerate(messages):
                # However many copies there are, they are one future.
                self._shell.tell(ValuePlaced(message, data, index == 0))
            records.append(self._engine.records[parcel.key])
        return records

    def _wait_for_room(self) -> None:
        """Block this thread while too much is under way, if this client may block."""
        engine = self._engine
        if not engine.never_blocks:
            engine.outbox.wait_for_room(lambda: engine.gone)

    def give_up(self, batch: int) -> None:
        """End a submission that failed midway, so that others aren't taken for parts of it."""
        try:
            # While it counts as unfinished, no later submission is finished for the scheduler either.
            self._shell.submit(CallsSubmitted(batch, [], True))
        except ClosedError:
            pass


def _take(names: Iterator[str], count: int, start: int) -> list[str]:
    taken = list(map(name_of, itertools.islice(names, count)))
    if len(taken) < count:
        raise UsageError(f"map() was given {start + len(taken)} keys for more calls; give one for each, or a prefix.")
    return taken
