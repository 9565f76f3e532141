"""The scheduler process: its listeners, its loop, its end.  It decides nothing about tasks."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Final

from himalia import system
from himalia.comm.endpoint import Endpoint
from himalia.comm.security import Credentials, ServerCertificate
from himalia.descriptors import allow_more_files
from himalia.driver import Driver
from himalia.machine import Performers
from himalia.messages.client import ClientToScheduler
from himalia.messages.nanny import NannyToScheduler
from himalia.messages.parts import Close
from himalia.names import new_incarnation
from himalia.run import answer
from himalia.scheduler.config import SchedulerConfig
from himalia.scheduler.events import ReturnMemory, SelfMeasured, ShutDown
from himalia.scheduler.machine import SchedulerMachine
from himalia.usage import Usage

MEASURE_INTERVAL: Final = 0.5
"""Seconds between two looks at this process, while somebody follows the telemetry; as nannies do."""
FAREWELL: Final = 3.0
"""Seconds that nannies have to stop their workers and leave before the scheduler ends without them: what a nanny gives
its workers (``FAREWELL`` of ``nanny/shell.py``)."""


async def serve(
    config: SchedulerConfig, stop: asyncio.Event, *, ready: Callable[[list[str], str], None] | None = None
) -> None:
    """Run a scheduler until it is closed, its idle timeout is over, or ``stop`` is set.

    Parameters
    ----------
    config : SchedulerConfig
    stop : asyncio.Event
        Set from outside (a signal, the leash): everybody is told, then it ends.
    ready : callable, optional
        Called with the bound addresses and the id once it listens; by default they go to standard output.

    Raises
    ------
    StartError
        If it can't listen at one of the addresses.
    """
    me = new_incarnation("scheduler")
    allow_more_files()  # a descriptor for each peer: a usual soft limit is 1,024
    certificate = ServerCertificate.from_config(config.certificate) if config.certificate is not None else None
    machine = SchedulerMachine(
        settings=config.settings,
        me=me,
        versions=system.versions(),
        idle_timeout=config.idle_timeout,
        started=time.monotonic(),
    )
    perform: Performers = {
        ShutDown: lambda instruction: stop.set(),
        ReturnMemory: lambda instruction: return_memory(),
    }
    driver = Driver(machine, clock=time.monotonic, perform=perform)
    endpoint = Endpoint(
        me=me,
        role="scheduler",
        credentials=Credentials.from_config(config.credentials),
        unions={"client": ClientToScheduler, "nanny": NannyToScheduler},
        handler=driver,
        settings=config.settings,
    )
    driver.attach(endpoint)
    meter = asyncio.ensure_future(measure(machine, driver))
    try:
        addresses = [await endpoint.listen(address, certificate=certificate) for address in config.listen]
        # Known only now: port 0 means any.
        machine.state.address = addresses[0]
        if ready is not None:
            ready(addresses, me)
        else:
            answer(ok=True, addresses=addresses, id=me)
        await stop.wait()
        # Everybody hears why; without it clients would wait for their lease to end before they say that the cluster is
        # gone.
        driver.feed(Close("the scheduler was stopped"))
        deadline = time.monotonic() + FAREWELL
        while machine.hosts and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
    finally:
        meter.cancel()
        driver.stop()
        await endpoint.close()


async def measure(machine: SchedulerMachine, driver: Driver) -> None:
    """Tell the machine what this process uses, while somebody follows."""
    loop = asyncio.get_running_loop()
    usage = Usage()
    while True:
        # How late this wakes up is the loop's lag, the first number to look at when a scheduler is slow.
        due = loop.time() + MEASURE_INTERVAL
        await asyncio.sleep(MEASURE_INTERVAL)
        if machine.state.following.followers:
            driver.feed(SelfMeasured(usage.measure(max(0.0, loop.time() - due))))


def return_memory() -> None:
    """Empty the interpreter's free lists and the C library's heap, which keep whole arenas from going back."""
    # The loop stands still meanwhile, which is why the machine asks for it only when there is no task.
    gc.collect()
    system.trim_heap()
