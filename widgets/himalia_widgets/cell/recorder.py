"""What a client's cluster told while a block of code ran, for a report.

Single calls are asked for at the end (the scheduler keeps the newest ``settings.telemetry_ring``); hosts' metrics are
followed, and so are profiles, since asking for these is what makes nannies look closely.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import msgspec

from himalia.errors import HimaliaError
from himalia.follow.source import Followable
from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ProfileSamples, TelemetryReport
from himalia.messages.client import Telemetry
from himalia_widgets.view.history import History

ASK_INTERVAL: Final = 5.0
"""Seconds between two questions for profiles; less than ``settings.profile_lease``."""
ANSWER: Final = 60.0
"""Seconds that an answer may take: the machine is busy with what is reported."""


class CellRecorder:
    """Follows a source from :meth:`begin` to :meth:`end`; both are called by the user's thread.

    Parameters
    ----------
    target : Followable
        A client.

    Attributes
    ----------
    samples : ProfileSamples
        What profilers saw; known at the end.
    """

    def __init__(self, target: Followable) -> None:
        self.feed = ThreadFeed.of(target)
        self.history = History()
        self.started = time.time()
        self.stopped = 0.0
        self.samples = ProfileSamples({})
        self._lock = threading.Lock()
        """Held by whoever tells the history something."""
        self._ended = threading.Event()

    def begin(self) -> None:
        """Begin to follow."""
        # First: the feed has a session as long as somebody follows, else each question below would open its own.
        self._unfollow = self.feed.subscribe(self._take)
        self._ask_info()
        # Groups are summed up since the cluster began: this is what to take off at the end.
        self._known = {(group.name, group.span): group for group in self._ask_report().groups}
        # The block begins here, not when its cluster was first asked.
        self.started = time.time()
        self._asking = threading.Thread(target=self._ask_often, name="himalia-report", daemon=True)
        self._asking.start()

    def end(self) -> None:
        """Ask for what is only known at the end; follow no more."""
        self.stopped = time.time()
        self._ended.set()
        self._asking.join()
        try:
            # What hosts measured since the last push, too.
            self.feed.ask(lambda source: source.catch_up(), ANSWER)
            report = self._ask_report()
            self.samples = self.feed.ask(lambda source: source.profile(self.started), ANSWER)
            self._ask_info()
        except HimaliaError:  # the cluster ended in the block: what was followed is what there is
            return
        finally:
            self._unfollow()
        # Now all calls of the block come at once, as far as the scheduler still has them.
        telemetry = Telemetry(self.stopped, report.groups, report.records, 0, {})
        with self._lock:
            self.history.take(telemetry, now=self.stopped)

    def groups(self) -> list[dict[str, Any]]:
        """Return what each function did in the block: its tasks by :class:`TaskCounts`, and its calls' times.

        ``occupied`` are the seconds of threads that all of it took, ``finished`` the calls that ``compute`` is of.
        """
        found = []
        for key, group in self.history.groups.items():
            before = self._known.get(key)
            row: dict[str, Any] = {"name": group.name}
            for field in ("finished", "compute", "transfer", "deserialize", "serialize", "nbytes", "occupied"):
                row[field] = getattr(group, field) - (getattr(before, field) if before else 0)
            # Attempts, not tasks: each leaves a record, and missing() compares with these.
            row["attempts"] = row["finished"] + group.failed - (before.failed if before else 0)
            # These may fall: a task that had failed before the block may be retried in it.
            for field in ("done", "failed", "cancelled"):
                row[field] = getattr(group.counts, field) - (getattr(before.counts, field) if before else 0)
            if row["attempts"] or any(row[field] > 0 for field in ("done", "failed", "cancelled")):
                found.append(row)
        return sorted(found, key=lambda row: -row["compute"])

    def missing(self) -> str:
        """Say how many calls are counted, but not known one by one; nothing if none is missing."""
        ended = sum(row["attempts"] for row in self.groups())
        known = len(self.history.calls)
        if known >= ended:
            return ""
        return (
            f"The task stream shows {known:,} of the {ended:,} calls that ended: those that began in the block and are "
            "among the newest, of which the scheduler keeps settings.telemetry_ring. The numbers here count all."
        )

    def _ask_info(self) -> None:
        info = self.feed.ask(lambda source: source.info(), ANSWER)
        with self._lock:
            self.history.take_info(info)

    def _ask_report(self) -> TelemetryReport:
        return self.feed.ask(lambda source: source.telemetry(self.started), ANSWER)

    def _take(self, telemetry: Telemetry) -> None:
        # Without calls: they are asked for at the end, and a sample of them now would count twice.
        thin = msgspec.structs.replace(telemetry, records=[], skipped=0)  # others follow the same push
        with self._lock:
            self.history.take(thin, now=self.feed.now())

    def _ask_often(self) -> None:
        while not self._ended.is_set():
            try:
                self.feed.ask(lambda source: source.profile(time.time()), ANSWER)
            except HimaliaError:
                return
            self._ended.wait(ASK_INTERVAL)
