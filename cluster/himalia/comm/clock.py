"""Time as the sessions see it: what it is, and being called later.

An event loop is such a clock; tests have one that they move.  Whose time counts is the choice of whoever makes an
endpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that was asked for and may be taken back."""

    def cancel(self) -> object:
        """Don't call any more."""


class Clock(Protocol):
    """Whose time counts; all of it in one thread, but for :meth:`call_soon_threadsafe`."""

    def time(self) -> float:
        """Seconds since some moment; never goes back."""

    def call_soon(self, callback: Callable[..., object], *args: object) -> Timer:
        """Call in the next tick."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> Timer:
        """Call in the next tick; any thread may ask for it."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call in ``delay`` seconds."""

    def call_at(self, when: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call at ``when``, a reading of :meth:`time`."""
