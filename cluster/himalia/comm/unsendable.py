"""What becomes of a message that can't be encoded: nobody who waits for what it said shall wait for ever.

Texts and numbers are checked where they enter (``wellformed``, ``bounds``), so this is the last net.  It decides what
is sent instead, and what this side is told as if the peer had answered.  A session goes on in any case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from himalia.comm.framing import MAX_FRAME
from himalia.messages.answers import Reply
from himalia.messages.client import (
    CallOutput,
    CancelKeys,
    DataPlaced,
    ReleaseKeys,
    ResultCancelled,
    ResultErred,
    ResultReady,
    RetryKeys,
    Submit,
    Telemetry,
    WantKeys,
)
from himalia.messages.nanny import Compute, Heartbeat, TaskFailed, TaskFinished, WorkerDied, WorkerOutput
from himalia.messages.parts import TaskError, Timing
from himalia.messages.telemetry import HostMetrics
from himalia.names import Key, shorten
from himalia.wellformed import repaired, text_of

Instead: TypeAlias = tuple[list[Any], list[Any]]
"""Messages to be sent, and those that this side gets."""

REASON: int = 300
"""Characters of the reason why a message can't be encoded."""
# Of a call that was never timed.
NEVER = Timing(0.0, 0.0, 0.0, 0.0)

_encode = msgspec.msgpack.Encoder().encode


def substitutes(message: object, why: str) -> Instead:
    """The messages that are sent instead of one, and those that this side gets instead of an answer."""
    why = f"it can't be sent ({text_of(why, REASON)})"
    mended = repaired(message)
    # A text may be mended, a name may not: the peer would take it for another's.
    if names_of(mended) == names_of(message) and fits(mended):
        return [mended], []
    make = SUBSTITUTES.get(type(message))
    if make is not None:
        sent, told = make(message, why)
    elif hasattr(message, "request"):
        sent, told = [], [Reply(message.request, error=why)]
    else:
        sent, told = [], []
    # A substitute with the same unfit key would come back here for ever.
    return [other for other in sent if fits(other)], told


def fits(message: object) -> bool:
    """Whether a message can be encoded."""
    try:
        # Encoded to find out: what goes wrong depends on every value inside.
        return len(_encode(message)) < MAX_FRAME - 1000  # bytes of the frame around it
    except Exception:  # as many kinds as there are reasons
        return False


def names_of(message: object) -> list[object]:
    """What a message names: that must not be changed."""
    found = [getattr(message, name, None) for name in ("key", "keys", "digest", "host")]
    if isinstance(message, Submit):
        found += [(spec.key, spec.dependencies, spec.argument) for spec in message.tasks]
    return found


def _refused(key: Key, why: str) -> TaskError:
    return TaskError("refused", key, f"{shorten(key)}: {why}.")


def _submit(message: Submit, why: str) -> Instead:
    """Send the calls that can be sent, and have the others refused."""
    fine, told = [], []
    for spec in message.tasks:
        if fits(spec):
            fine.append(spec)
        else:
            told.append(ResultErred(spec.key, _refused(spec.key, why)))
    return [Submit(message.batch, fine, message.last, repaired(message.span))], told


def _keys(message: WantKeys | RetryKeys | ReleaseKeys | CancelKeys, why: str) -> Instead:
    fine = [key for key in message.keys if fits(key)]
    told = [ResultErred(key, _refused(key, why)) for key in message.keys if not fits(key)]
    return [repaired(msgspec.structs.replace(message, keys=fine))], told


def _bare_error(error: TaskError, why: str) -> TaskError:
    text = f"{text_of(error.text, 1000)}\n({why})"
    return TaskError(error.kind, error.key, text, worker=text_of(error.worker, REASON), attempts=error.attempts)


def _telemetry(message: Telemetry, why: str) -> Instead:
    """Send what can be sent: what one peer said ends nobody's stream."""
    shorter: object = Telemetry(
        message.time,
        list(filter(fits, message.groups)),
        list(filter(fits, message.records)),
        message.skipped,
        {host: metrics for host, metrics in message.hosts.items() if fits(metrics) and fits(host)},
        list(filter(fits, message.blocks)),
        list(filter(fits, message.errors)),
        list(filter(fits, message.events)),
        message.status,
    )
    # Each part fits and all together don't: then at least the status, by which views know that they are alive.
    if not fits(shorter):
        shorter = Telemetry(message.time, [], [], message.skipped + len(message.records), {}, status=message.status)
    return [shorter], []


SUBSTITUTES: dict[type, Callable[[Any, str], Instead]] = {
    Submit: _submit,
    DataPlaced: lambda message, why: ([], [ResultErred(message.key, _refused(message.key, why))]),
    WantKeys: _keys,
    RetryKeys: _keys,
    ReleaseKeys: lambda message, why: (_keys(message, why)[0], []),
    CancelKeys: lambda message, why: (_keys(message, why)[0], []),
    Reply: lambda message, why: ([Reply(message.request, error=why)], []),
    ResultReady: lambda message, why: ([ResultErred(message.key, _refused(message.key, why))], []),
    ResultErred: lambda message, why: ([ResultErred(message.key, _bare_error(message.error, why))], []),
    ResultCancelled: lambda message, why: ([ResultCancelled(message.key, why)], []),
    Compute: lambda message, why: (
        [],
        [TaskFailed(message.key, message.attempt, _refused(message.key, why), NEVER)],
    ),
    TaskFinished: lambda message, why: (
        [TaskFailed(message.key, message.attempt, _refused(message.key, why), NEVER)],
        [],
    ),
    TaskFailed: lambda message, why: (
        [TaskFailed(message.key, message.attempt, _bare_error(message.error, why), NEVER)],
        [],
    ),
    WorkerDied: lambda message, why: (
        [WorkerDied(message.name, why, message.running, message.blamed, [])],
        [],
    ),
    WorkerOutput: lambda message, why: (
        [WorkerOutput(message.key, message.worker, [], message.dropped + len(message.lines))],
        [],
    ),
    CallOutput: lambda message, why: (
        [CallOutput(message.key, message.span, message.worker, [], message.dropped + len(message.lines))],
        [],
    ),
    Heartbeat: lambda message, why: (
        [Heartbeat(HostMetrics(), message.attempts, message.data, message.seen, message.paused)],
        [],
    ),
    Telemetry: _telemetry,
}
