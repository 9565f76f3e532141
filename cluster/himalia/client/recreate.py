"""A call that failed on the cluster, repeated in this process, where a debugger can look at it.

Decides which call is repeated (the root of a failure, not what only depends on it), which are better not (those that
killed their workers), and puts function and arguments together as a worker does.  It never runs anything on the
cluster itself; the scheduler computes inputs again that were freed since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from himalia import serialize
from himalia.callables import read_function
from himalia.client.engine.engine import Engine
from himalia.client.engine.errors_view import error_of, folded
from himalia.client.engine.gathering import wait_in_loop
from himalia.client.engine.state import CANCELLED, ERROR, FINISHED, LOST, PENDING, Record
from himalia.client.future import AnyFuture, records_of
from himalia.client.packing.remote import JoinedCall
from himalia.errors import DataLostError, UsageError
from himalia.messages.answers import CallSpec
from himalia.messages.client import GetSpec
from himalia.names import Key, shorten
from himalia.telemetry.errors import headline

Frames = Sequence[serialize.Buffer]


async def recreate_in_loop(engine: Engine, futures: list[AnyFuture]) -> Any:
    """Repeat a failed call in the thread of this loop; see :meth:`Client.recreate_error_locally`."""
    with folded():
        call, inputs = await fetch_failed(engine, futures)
    # Not folded: from here on the frames are what somebody wants to see.
    function, args, kwargs = read_call(call, inputs)
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        error.__traceback__ = without_first(error)
        raise


async def fetch_failed(engine: Engine, futures: list[AnyFuture]) -> tuple[CallSpec, dict[Key, Frames]]:
    """Return the description of the call to repeat, and its inputs, not unpickled yet."""
    records = records_of(futures)
    if any([record.status is PENDING for record in records]):
        await wait_in_loop(engine, records, stop_at_error=True)
    key = find_root(records)
    call = await engine.ask(lambda number: GetSpec(number, key))
    inputs = engine.shell.hold(list(call.dependencies))  # until their values are here
    try:
        return call, await _fetch(engine, inputs, key)
    finally:
        for record in inputs:
            engine.shell.drop(record)


async def _fetch(engine: Engine, records: list[Record], key: Key) -> dict[Key, Frames]:
    """Return the frames of these results, waiting for those that are computed again.

    A host that can't be read is struck from the holders, and the last of them sends the record back to pending:
    it isn't asked twice.
    """
    found: dict[Key, Frames] = {}
    missing = records
    while True:
        if any([record.status is PENDING for record in missing]):
            await wait_in_loop(engine, missing, stop_at_error=True)
        for record in missing:
            if record.data is not None:
                found[record.key] = serialize.unpack(record.data)
            elif record.status in (ERROR, LOST, CANCELLED):
                raise DataLostError(
                    f"{shorten(key)} can't be repeated here, because its input {shorten(record.key)} is gone. "
                    f"Submit both again.",
                    record.key,
                ) from error_of(record, engine.gone)
        found.update(await engine.stores.read([record for record in missing if record.status is FINISHED]))
        missing = [record for record in records if record.key not in found]
        if not missing:
            return found


def find_root(records: Sequence[Record]) -> Key:
    """Return the key of the call to repeat: what the first failed record failed for.

    Raises
    ------
    UsageError
        If there is none that may be repeated.
    """
    failed = next((record for record in records if record.status in (ERROR, LOST)), None)
    if failed is None or failed.error is None:
        if not records:
            raise UsageError("recreate_error_locally() takes a future that failed; this has no futures in it.")
        more = f" (of {len(records)} futures none failed)" if len(records) > 1 else ""
        raise UsageError(
            f"{shorten(records[0].key)} has not failed, it is {records[0].status}{more}. "
            f"recreate_error_locally() repeats a call that raised."
        )
    error = failed.error
    # What only depends on a failed call carries the error of that one.
    root = Key(error.key or failed.key)
    if error.kind == "killed":
        raise UsageError(
            f"{shorten(root)} took down every worker that ran it, and would take down this process with all that is in "
            f"it. Run its function in a process of its own instead; future.logs() has what the workers last said."
        )
    if error.kind != "exception":
        raise UsageError(f"{shorten(root)} raised nothing that could be repeated here: {headline(error)}")
    return root


def read_call(call: CallSpec, inputs: Mapping[Key, Frames]) -> JoinedCall:
    """Return function, args and kwargs of what the scheduler described, as a worker would call them.

    Raises
    ------
    Exception
        What the pickles raise: if the call failed in the worker for that, it is the error in question.
    """
    argument = call.argument
    # The argument is the call itself, too large for a message, and needs the values of the others.
    values = {key: serialize.loads(frames) for key, frames in inputs.items() if key != argument}
    function = read_function(call.function) if call.function else None
    with serialize.resolving(values):
        parts = serialize.loads(inputs[Key(argument)]) if argument else serialize.loads_packed(call.call)
    if function is None:
        function, *parts = parts
    args, kwargs = parts
    return function, args, kwargs


def without_first(error: BaseException) -> TracebackType | None:
    """Return a traceback without the frame that caught the error: a bare ``raise`` there doesn't add it again."""
    return error.__traceback__ and error.__traceback__.tb_next
