"""Why a future is in the state it is in: what the scheduler says, or, if it says nothing in time, that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from himalia.messages import Explain
from himalia.names import Key, shorten

if TYPE_CHECKING:
    from himalia.client.calling import Calling

EXPLAIN_TIMEOUT: Final = 5.0
"""Seconds the scheduler has to answer: whoever asks why nothing happens must not wait in silence as well."""


async def explain(client: Calling, key: Key, status: str) -> str:
    """Return one sentence about a key, whose status here is ``status``; it takes some seconds at most."""
    if client.status in ("lost", "closed"):
        gone = client._shell.machine.gone or f"the client is {client.status}"
        return f"{shorten(key)} is {status}, and nothing more is known of it. {gone}"
    try:
        return str(await asyncio.wait_for(client._answer(lambda number: Explain(number, key)), EXPLAIN_TIMEOUT))
    except TimeoutError:
        return (
            f"{shorten(key)} is {status} as far as is known here: the scheduler has not answered for "
            f"{EXPLAIN_TIMEOUT:g} s. It was stopped, or its machine is out of breath or out of reach; nothing that "
            f"was computed is lost if it comes back."
        )
