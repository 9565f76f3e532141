"""What can happen to a scheduler besides messages, and what its machine can ask of its shell.

Messages of clients and nannies are events too: their ``source`` is who sent them.  Nothing is decided here.
"""

from __future__ import annotations

from himalia.machine import Event, Instruction
from himalia.messages.telemetry import ProcessMetrics

# Events


class SelfMeasured(Event):
    """What the scheduler's own process uses; told while somebody follows."""

    process: ProcessMetrics


# Instructions


class ReturnMemory(Instruction):
    """Let the allocators give back what is free; nothing else happens now."""


class ShutDown(Instruction):
    """End the scheduler: everybody was told."""

    reason: str
