"""What a cluster measured, as its client asks for it: telemetry as it comes, and what calls were doing."""

from __future__ import annotations

from collections.abc import Callable

from himalia.client.engine.engine import Engine
from himalia.client.profile import Profile
from himalia.errors import UsageError
from himalia.messages.client import FollowTelemetry, GetProfile, Telemetry
from himalia.views import find_views, missing


def follow(engine: Engine, callback: Callable[[Telemetry], object], interval: float) -> Callable[[], None]:
    """Have ``callback(telemetry)`` called in the thread for callbacks; return what ends that."""
    callbacks, followers = engine.callbacks, engine.news.followers
    callbacks.start()

    def take(telemetry: Telemetry) -> None:
        # Called under the machine's lock, where no code of the user may run.
        callbacks.put(lambda: callback(telemetry))

    def stop() -> None:
        # It may be called twice.
        if take in followers:
            followers.remove(take)
            if not followers and engine.status == "running":
                engine.send(FollowTelemetry(0.0))

    followers.append(take)
    # To the scheduler a client is one follower: the interval that was asked for last counts for all callbacks.
    engine.send(FollowTelemetry(interval))
    return stop


async def take_profile(
    engine: Engine, since: float, until: float, workers: list[str] | None, filename: str | None, *, plot: bool
) -> Profile | tuple[Profile, object]:
    """Return what was seen between two times, seconds since the epoch; with ``plot``, also a flame graph of it.

    Raises
    ------
    UsageError
        If a flame graph is asked for and ``himalia[jupyter]`` isn't installed.
    """
    answer = await engine.ask(lambda number: GetProfile(number, since, workers))
    found = Profile(answer, stop=until)
    if not plot and not filename:
        return found
    views = find_views()
    if views is None:
        raise UsageError(missing())
    figure = views.profile_figure(found.samples, filename)
    return (found, figure) if plot else found
