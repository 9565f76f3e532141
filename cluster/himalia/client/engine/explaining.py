"""Why a future is in the state it is in: what the scheduler says, or, if it says nothing in time, what is known here.

Decides what is said.  What a client knows by itself: when a call was submitted, whether that has been sent, whether the
scheduler has acknowledged it, and when anything was heard of it last.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from himalia.client.engine.engine import Engine
from himalia.client.engine.state import PENDING, Record
from himalia.comm.contact import describe_contact
from himalia.messages.client import Explain
from himalia.names import shorten

EXPLAIN_TIMEOUT: Final = 5.0
"""Seconds the scheduler has to answer: whoever asks why nothing happens must not wait in silence as well."""
SAID_AFTER: Final = 1.0
"""Seconds that a submission isn't acknowledged before an error speaks of it; it takes a quarter of one at most."""

HELD_UP: Final = (
    "Large arguments are still being stored on a host; calls are sent when theirs are there, in their order. What can "
    "be stored nowhere fails."
)
"""What is said of calls behind a gate (``outbox.py``)."""


async def explain(engine: Engine, record: Record) -> str:
    """Return some sentences about a record's key; it takes some seconds at most."""
    name = shorten(record.key)
    # Asked by its key, a call that nobody here holds comes as a record made for the question.
    status = record.status if record.refs > 0 else "not held"
    # Nobody is left to be asked.
    if engine.status in ("lost", "closed"):
        gone = engine.gone or f"the client is {engine.status}"
        return f"{name} is {status}, and nothing more is known of it. {gone}"
    known = f"{name} is {status} as far as is known here"
    # Said without asking: the question would wait behind the same gate.
    if engine.outbox.is_held_up(record.key):
        return f"{known}: it was submitted {since(record):.1f} s ago and has not been sent yet. {HELD_UP}"
    try:
        answer = await asyncio.wait_for(engine.ask(lambda number: Explain(number, record.key)), EXPLAIN_TIMEOUT)
        return answer.text
    except TimeoutError:
        # Of any key: the question itself stands behind somebody's gate.
        if engine.outbox.is_held_up():
            return f"{known}: the scheduler could not be asked, because what was submitted before waits here. {HELD_UP}"
        text = f"{known}: the scheduler has not answered for {EXPLAIN_TIMEOUT:g} s."
        if record.status is PENDING and record.submitted:
            has_it = "has it" if engine.outbox.is_acknowledged(record) else "has not acknowledged it"
            text += f" The call was submitted {since(record):.1f} s ago, and the scheduler {has_it}."
        return f"{text} {describe_contact(engine.outbox.contact())}"


def describe_submission(engine: Engine, record: Record) -> str:
    """A sentence on a call that may not have arrived yet, since when; empty for any other.  Any thread."""
    if record.status is not PENDING or not record.submitted or since(record) < SAID_AFTER:
        return ""
    if engine.outbox.is_held_up(record.key):
        return f" It was submitted {since(record):.1f} s ago and has not been sent yet. {HELD_UP}"
    if engine.outbox.is_acknowledged(record):
        return ""
    contact = describe_contact(engine.outbox.contact())
    return f" It was submitted {since(record):.1f} s ago, and the scheduler has not acknowledged it. {contact}"


def since(record: Record) -> float:
    """Seconds since a call was submitted here."""
    return time.monotonic() - record.submitted
