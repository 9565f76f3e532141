"""A function called in every worker process, beside the tasks: ``Client.run``, and which versions are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from himalia import serialize
from himalia.client.engine.engine import Engine
from himalia.client.engine.errors_view import rebuild
from himalia.client.versions import Versions, compare, versions_here
from himalia.errors import UsageError
from himalia.messages.answers import CallReply
from himalia.messages.client import GetVersions, RunFunction
from himalia.names import Key, shorten


def pack_call(
    engine: Engine, function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> bytes:
    """Pickle a call, with what the workers have to know of this process's surroundings."""
    call = serialize.dumps_packed((function, args, dict(kwargs)))
    difference = engine.surroundings.look()
    return call if difference is None else difference.around_call(call)


async def run_on_workers(engine: Engine, call: bytes, workers: list[str] | None, on_error: str) -> dict[str, Any]:
    """Have workers perform a packed call, and return ``{address: value}``.

    ``on_error`` is ``raise`` for the first error, ``return`` for errors in the place of values, or ``ignore``.
    """
    answer = await engine.ask(lambda number: RunFunction(number, call, workers))
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


async def collect_versions(engine: Engine, packages: list[str], *, check: bool) -> Versions:
    """Return the versions of client, scheduler, nannies and workers.

    Raises
    ------
    UsageError
        With ``check``, if they differ where it matters: a table of them.
    """
    found = await engine.ask(GetVersions)
    call = pack_call(engine, versions_here, (packages,), {})
    versions: Versions = {
        "client": versions_here(packages),
        "scheduler": found.scheduler,
        "nannies": found.nannies,
        "workers": await run_on_workers(engine, call, None, "ignore"),
    }
    table = compare(versions) if check else ""
    if table:
        raise UsageError(table)
    return versions


def read_run_reply(reply: CallReply, address: str) -> tuple[object, BaseException | None]:
    """Return the value that a worker answered, or its error."""
    error = reply.error
    if error is not None:
        return None, rebuild(error, Key(error.key or f"client.run() on {shorten(address)}"))
    try:
        return serialize.loads_packed(reply.value), None
    except Exception as failure:  # whatever the user's class does when it is unpickled
        return None, failure
