"""How a process of the runtime begins and ends: its loop, its signals, its configuration, its leash.

::

    async def main(stop: asyncio.Event) -> int: ...      # returns the exit code; ends soon after ``stop`` is set

    config = read_config()                # the one JSON line on standard input
    sys.exit(run(main, leash=config["leash"]))
    answer(ok=True, …)                    # the one JSON line on standard output, when ready

SIGTERM and SIGINT set ``stop``; a second one ends the process at once.  With ``leash`` the end of standard input, that
is the end of whoever started the process, does the same as SIGTERM.  This module knows nothing of what is run.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Final

GC_THRESHOLD: Final = 50_000
"""Objects made, less those freed, between two young collections.  A process of ours keeps a few objects for each task
and leaves few cycles; with the default of 700 the collector takes 10 to 15 % of the scheduler's time (measured)."""

Main = Callable[[asyncio.Event], Coroutine[object, object, int | None]]


def run(main: Main, *, leash: bool = False) -> int:
    """Run ``main(stop)`` on a new loop (uvloop's if it is installed) and return the exit code."""
    # What imports made lives as long as the process; no collection has to walk over it.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_supervise(main, leash)) or 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return how loops are made here: uvloop's where it exists."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return new_event_loop


def read_config() -> dict[str, object]:
    """Read the JSON line that the starting process wrote to standard input; what follows is only its end.

    Raises
    ------
    ValueError
        If there is no such line.
    """
    # A large configuration comes in several reads of a pipe.
    line = bytearray()
    while not line.endswith(b"\n"):
        part = os.read(0, 65536)  # not sys.stdin: its buffer would hide the end from the loop
        if not part:
            break
        line += part
    config = json.loads(line)
    if not isinstance(config, dict):
        raise ValueError("the configuration on standard input is not a JSON object")
    return config


def answer(**fields: object) -> None:
    """Write the JSON line that the starting process waits for; harmless if nobody reads it."""
    try:
        # In one write, past sys.stdout: whatever else prints there can't get into the line.
        os.write(1, json.dumps(fields).encode() + b"\n")
    except OSError:
        pass


async def watch_leash(stop: asyncio.Event, fd: int = 0) -> None:
    """Set ``stop`` when the other end of the pipe ``fd`` is gone."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        try:
            # Anything that is written is passed over; only the end means something.
            ended = not os.read(fd, 4096)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            # At its end a pipe stays readable, and the loop would spin.
            loop.remove_reader(fd)
            stop.set()

    try:
        loop.add_reader(fd, readable)
    except (OSError, ValueError):  # a plain file or nothing at all: its end would mean nothing
        pass


async def _supervise(main: Main, leash: bool) -> int | None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def terminate(number: int) -> None:
        if stop.is_set():
            # Not an exception, which would only end this callback; whoever sends a second signal doesn't want to wait
            # for what hangs.
            os._exit(128 + number)
        # The first asks: whoever runs here says goodbye to its peers, and removes its files.
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, terminate, number)
    if leash:
        await watch_leash(stop)
    return await main(stop)


def fail(text: str) -> int:
    """Tell the starting process, or the person at the terminal, why there is no start; return the exit code."""
    # To both: whoever started it reads the one, a log or a terminal keeps the other.
    answer(error=text)
    print(text, file=sys.stderr)
    return 1
