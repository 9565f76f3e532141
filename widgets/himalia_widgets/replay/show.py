"""``himalia replay``: a server for the pages of recordings, in the terminal's foreground.

Decides what is told at the terminal, and that the page is as closed as a live dashboard's: the link opens it once.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import webbrowser
from collections.abc import Sequence

from himalia.deploy.dashboard.process import Door, listen
from himalia.errors import UsageError
from himalia.plural import plural
from himalia.registry.dashboard_link import login_link
from himalia.run import run
from himalia_widgets.dashboard.guard import Guard
from himalia_widgets.dashboard.server import serve
from himalia_widgets.replay.compare_page import compare_application
from himalia_widgets.replay.routes import routes
from himalia_widgets.replay.source import ReplaySource
from himalia_widgets.view.units import seconds


def replay(paths: Sequence[str], *, port: int, browse: bool) -> int:
    """Show one recording, or two side by side, until ctrl-C; return the exit code.

    Parameters
    ----------
    port : int
        To listen at on loopback; 0: any.
    browse : bool
        Whether to open a browser.

    Raises
    ------
    RecordingError
        If a file can't be read, or isn't a recording.
    UsageError
        If the port is taken.
    """
    sources = [ReplaySource.read(path) for path in paths]
    try:
        door = Door(listen(port))
    except OSError as error:
        raise UsageError(f"Port {port} can't be listened at: {error.strerror}. Give another --port.") from error
    with door.listener:
        return run(functools.partial(show, sources, door, browse))


async def show(sources: Sequence[ReplaySource], door: Door, browse: bool, stop: asyncio.Event) -> int:
    """Serve until ``stop`` is set."""
    for source in sources:
        print(describe(source))
    compared = unmoved(sources) if len(sources) == 2 else None
    pair = {"/compare": compare_application(*compared)} if compared is not None else {}
    link = login_link(door, "compare" if pair else "status")
    print(f"Open {link}\n(once, within ten minutes; ctrl-C ends it)")
    # Into a pipe Python writes in blocks, and nothing more follows for a long time.
    sys.stdout.flush()
    if browse:
        # In a thread of its own and beside the server: one in the terminal is waited for, and waits for the page.
        threading.Thread(target=webbrowser.open, args=(link,), name="himalia-browser", daemon=True).start()
    # No ``since``: this process is the first to make links with this key.
    guard = Guard(door.dashboard_key, "replay")
    await serve(sources[0].followed, door.listener, guard, stop, more=pair, routes=routes(sources[0], compared))
    return 0


def unmoved(sources: Sequence[ReplaySource]) -> tuple[ReplaySource, ReplaySource]:
    """Return sources of the same two runs that stay at their ends."""
    first, second = sources
    # Another one of the same file: pages move the first, and what is compared are whole runs.
    return ReplaySource(first.reel.recording, first.title), second


def describe(source: ReplaySource) -> str:
    """Return a recording in a line."""
    recording, length = source.reel.recording, seconds(source.length)
    torn = "; its end was cut off" if recording.torn else ""
    return f"{source.title}: {recording.header.cluster}, {length}, {plural(source.calls, 'call')}{torn}"
