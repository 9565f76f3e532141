"""What the scheduler tells a client of its own accord, beside what became of its calls.

Decides who hears of it: those who follow telemetry, whoever shows what calls write, and the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from himalia.bucket import Complaints
from himalia.client.engine.events import Deliver, ReportKeyTaken, ShowOutput
from himalia.client.packing.origin import text_of_other
from himalia.machine import Performers
from himalia.messages.client import CallOutput, Telemetry

logger = logging.getLogger("himalia.client")


class News:
    """Hands on what comes; it is called under the machine's lock, so who listens only takes note."""

    def __init__(self) -> None:
        self.followers: list[Callable[[Telemetry], None]] = []
        """Those who are told of telemetry."""
        self.show_output: Callable[[CallOutput], None] | None = None
        """Where what calls write goes to; ``None``: nowhere."""
        self._complaints = Complaints(logger)
        self.perform: Performers = {
            Deliver: self._deliver,
            ShowOutput: self._show_output,
            ReportKeyTaken: self._report_key_taken,
        }

    def close(self) -> None:
        """Show nothing any more."""
        self.show_output = None

    def _deliver(self, instruction: Deliver) -> None:
        for follower in self.followers:
            follower(instruction.telemetry)

    def _show_output(self, instruction: ShowOutput) -> None:
        if self.show_output is not None:
            self.show_output(instruction.output)

    def _report_key_taken(self, instruction: ReportKeyTaken) -> None:
        message = instruction.message
        text = text_of_other(message.key, message.before, message.now)
        # Logged, where other such keys are warned of: no line of the user's is on the stack when this comes.
        self._complaints.write(time.monotonic(), "%s", text, level=logging.WARNING)
