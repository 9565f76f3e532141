"""Why profilers saw nothing: the same words wherever samples are shown."""

from __future__ import annotations

from typing import Final

RULE: Final = "Calls that run for less than a second are looked at only after somebody asked, for ten seconds"


def no_samples(then: str) -> str:
    """Say that there are no samples and why; ``then`` is what that means for whoever reads it."""
    return f"No samples. {RULE}: {then}"
