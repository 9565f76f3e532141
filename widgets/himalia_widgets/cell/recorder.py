"""What a client's cluster told while a block of code ran, for a report.

Single calls are asked for at the end (the scheduler keeps the newest ``settings.telemetry_ring``); hosts' metrics are
followed, and so are profiles, since asking for these is what makes nannies look closely.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import msgspec

from himalia.client.profile import Profile
from himalia.errors import HimaliaError
from himalia.messages.answers import ProfileSamples
from himalia.messages.client import Telemetry
from himalia.system import machine_identity
from himalia_widgets.view.history import History

ASK_INTERVAL: Final = 5.0
"""Seconds between two questions for profiles; less than ``settings.profile_lease``."""


class CellRecorder:
    """Follows a client's cluster from :meth:`begin` to :meth:`end`; both are called by the user's thread."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.history = History()
        self.started = time.time()
        self.stopped = 0.0
        self.profile = Profile(ProfileSamples({}))
        self.versions: dict[str, Any] = {}
        self._ended = threading.Event()

    def begin(self) -> None:
        """Begin to follow."""
        self._take_info()
        self._known = {(group.name, group.span): group for group in self.client.telemetry(since=self.started).groups}
        self._unfollow = self.client.follow_telemetry(self._take)
        self._asking = threading.Thread(target=self._ask, name="himalia-report", daemon=True)
        self._asking.start()

    def end(self) -> None:
        """Ask for what is only known at the end; follow no more."""
        self.stopped = time.time()
        self._unfollow()
        self._ended.set()
        self._asking.join()
        try:
            report = self.client.telemetry(since=self.started)
            self.profile = self.client.profile(start=self.started)
            self.versions = self.client.get_versions()
            self._take_info()
        except HimaliaError:  # the cluster ended in the block: what was followed is what there is
            return
        telemetry = Telemetry(self.stopped, report.groups, report.records, 0, {})
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
            row["attempts"] = row["finished"] + group.failed - (before.failed if before else 0)
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

    def _take_info(self) -> None:
        told = self.client.scheduler_info().told
        self.history.take_info(msgspec.structs.replace(told, here=machine_identity()))

    def _take(self, telemetry: Telemetry) -> None:
        thin = msgspec.structs.replace(telemetry, records=[], skipped=0)  # others follow the same push
        self.history.take(thin, now=time.time())

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                self.client.profile(start=time.time())
            except HimaliaError:
                return
            self._ended.wait(ASK_INTERVAL)
