"""Values that calls need, stored while the loop goes on: what is submitted behind them waits in the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from himalia.client.engine.engine import Engine
from himalia.client.engine.outbox import Gate
from himalia.client.packing.calls import Parcel
from himalia.messages.client import ClientToScheduler

_running: set[asyncio.Task[None]] = set()
"""Tasks that nobody awaits; a loop holds them only weakly."""


def place_behind(engine: Engine, parcels: Sequence[Parcel], failed: Callable[[Exception], None]) -> Gate:
    """Store values; what is put into the outbox behind the returned gate waits for them.  Loop thread only."""
    gate = Gate()

    async def store() -> None:
        messages: list[ClientToScheduler] = []
        try:
            for placed in await engine.stores.place_all(parcels):
                messages += placed
        except Exception as error:
            # Before the gate opens: the calls have failed for this, not for inputs that the scheduler finds missing.
            failed(error)
        finally:
            # Opened also by a failure: what was submitted later isn't to blame.
            gate.messages = messages
            engine.outbox.flush()

    task = engine.loop.create_task(store())
    _running.add(task)
    task.add_done_callback(_running.discard)
    return gate
