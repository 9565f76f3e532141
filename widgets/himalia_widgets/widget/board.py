"""One cluster as its widget shows it: what is known of it, and who looks.

A thread looks four times a second while anybody may be watching, and sends one message with what changed; it follows
the cluster's feed meanwhile, and ends with the last view.  Nothing here waits for a page: the kernel hears pages only
between two cells.  What is sent is decided in ``pushes.py`` and ``lines.py``.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from himalia.errors import ClosedError, HimaliaError
from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ProcessLogs
from himalia.show.plain import Plain
from himalia_widgets.view.history import History
from himalia_widgets.widget.busy import quiet, watch
from himalia_widgets.widget.cluster_object import ClusterObject
from himalia_widgets.widget.header import describe_header
from himalia_widgets.widget.leases import Leases
from himalia_widgets.widget.lines import LineReader
from himalia_widgets.widget.pushes import Message, Pushes
from himalia_widgets.widget.questions import explain_failure, make_question
from himalia_widgets.widget.scaling import Scaling, describe_scaling

if TYPE_CHECKING:
    from himalia.messages.answers import ClusterInfo
    from himalia.messages.client import Telemetry

logger = logging.getLogger(__name__)

Send = Callable[[Mapping[str, object], list[memoryview]], None]

PERIOD: Final = 0.25
"""Seconds between two looks: what a person still sees as moving."""
RETRY: Final = 2.0
"""Seconds between two attempts to follow a cluster."""
QUIET: Final = 1.0
"""Seconds without a cell after which the kernel has heard all that waited behind queued ones: cells that
are run one after another follow within milliseconds."""
LOGS: Final = 1.0
"""Seconds between two questions for output."""
LINK: Final = 60.0
"""Seconds after which pages get another link to the dashboard: each opens it only once, and not for long."""
PATIENCE: Final = 5.0
"""Seconds that a cluster whose feed ended may take to say that it was closed."""
ENDED: Final = ("closed", "failed")


class Board:
    """What a widget shows of a cluster.

    Parameters
    ----------
    cluster : ClusterObject
        Not kept alive by this.
    send : callable
        Sends a message with buffers to all pages; called by any thread, one at a time.
    """

    def __init__(self, cluster: ClusterObject, send: Send) -> None:
        self.cluster = weakref.ref(cluster)
        # Kept, since the cluster isn't: the last picture still says who it was.
        self.title, self.name = type(cluster).__name__, cluster.name
        self.send = send
        # Reentrant: a question may be answered, and a subscriber told of the end, before the call for it returns.
        self.lock = threading.RLock()
        self.leases = Leases()
        self.history = new_history()
        self.pushes = Pushes()
        self.reader = LineReader()
        self.kernel: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self.feed: ThreadFeed | None = None
        self.unsubscribe: Callable[[], None] | None = None
        self.last: Message | None = None
        """The picture that stays when the cluster has ended."""
        self._tried_at = self._logs_at = float("-inf")
        self._is_calling = self._is_reading = False
        self._lost_at = 0.0
        self._reason = ""
        self._link, self._linked_at = "", float("-inf")

    def promise(self) -> None:
        """A cell is about to show a view; call in the kernel's main thread."""
        try:
            # Its turns tell when the kernel is free to hear pages.
            self.kernel = asyncio.get_running_loop()
        except RuntimeError:
            self.kernel = None
        watch()
        with self.lock:
            # The page can't report before the cell has ended; until then it counts as there.
            self.leases.promise()
            self.pushes.wants_all = True
        self.wake()

    def take(self, message: Mapping[str, object]) -> None:
        """Do what a page's message asks for."""
        with self.lock:
            match message:
                case {"type": "hello", "views": list(views)}:
                    for view, tab in views:
                        self.leases.here(str(view), str(tab), self.leases.roll)
                    self.pushes.wants_all = True
                # Which lines this page has isn't known: it gets them from the beginning, at once.
                case {"type": "look", "view": str(view), "tab": str(tab)}:
                    self.leases.look(view, tab)
                    if tab == "logs":
                        self._logs_at = float("-inf")
                        self.reader.restart(len(self.history.info.workers), time.time())
                case {"type": "here", "view": str(view), "tab": str(tab), "roll": int(roll)}:
                    self.leases.here(view, tab, roll)
                case {"type": "bye", "view": str(view)}:
                    self.leases.leave(view)
                # The link is used up: another one with the next push.
                case {"type": "visit"}:
                    self._linked_at = float("-inf")
                case {"type": "ask", "id": int(number), "page": str(page)}:
                    self.ask(message, {"id": number, "page": page})
        self.wake()

    def ask(self, message: Mapping[str, object], about: Plain) -> None:
        """Ask the cluster, and answer the page when it answered."""
        # Before anything else: without it the page says that it waits for the running cell.
        self.send({"type": "ack", **about}, [])

        def answer(value: object, error: BaseException | None) -> None:
            outcome = {"error": explain_failure(error)} if error is not None else {"value": value}
            with self.lock:  # it is the feed's thread that answers
                match message:
                    case {"action": "scale", "workers": int(workers)} if error is None:
                        self._expect(workers)
                self.send({"type": "answer", **about, **outcome}, [])

        try:
            question = make_question(message, self.history)
            if self.feed is None:
                raise ClosedError(
                    f"The cluster {self.name} has ended." if self.last else "The cluster isn't reached yet."
                )
            self.feed.post(question, answer)
        except HimaliaError as error:
            answer(None, error)

    def _expect(self, workers: int) -> None:
        cluster = self.cluster()
        if cluster is not None:
            cluster.expect(workers)

    def wake(self) -> None:
        """Make sure that views are served: by the thread, or by the last picture of a cluster that has ended."""
        with self.lock:
            if self.last is not None:
                if self.pushes.wants_all:
                    self.pushes.wants_all = False
                    self.send(*self.last)
            elif self.thread is None and self.leases.is_watched:
                self.thread = threading.Thread(target=self.run, name="himalia-widget", daemon=True)
                self.thread.start()

    def run(self) -> None:
        """Look until nobody watches, or the cluster has ended."""
        try:
            while self.step(time.time()):
                time.sleep(PERIOD)
        except Exception:
            logger.exception("The live view of %s has broken; show it again to go on.", self.name)
            with self.lock:
                # Nobody watches any more: else wake() below would begin the same again at once.
                self.leases = Leases()
        self.leave_feed()
        with self.lock:
            self.thread = None
        # When the interpreter ends, no thread can be started any more.
        if threading.main_thread().is_alive():
            self.wake()  # somebody may have come in the meantime

    def step(self, now: float) -> bool:
        """Look once; return whether to go on."""
        self.call_roll()
        cluster = self.cluster()
        status = cluster.status if cluster is not None else "closed"
        with self.lock:
            # A cluster that has ended is said goodbye to even if nobody looks: the last picture is for pages to come.
            if not self.leases.is_watched and status not in ENDED:
                return False
            if self._is_over(status, now):
                self.finish(cluster, now)
                return False
        # Without the lock, as leave_feed() is: the feed has locks of its own.
        if self.feed is None and cluster is not None and status == "running" and now - self._tried_at > RETRY:
            self._tried_at = now
            self.follow(cluster)
        with self.lock:
            self.read_lines(now)
            message = self.compose(cluster, now)
            if message is not None:
                self.send(*message)
        return True

    def _is_over(self, status: str, now: float) -> bool:
        """Whether the cluster has ended: it says so, or its feed ended and nothing more is heard."""
        return status in ENDED or bool(self._lost_at and now - self._lost_at > PATIENCE)

    def call_roll(self) -> None:
        """Let the kernel's loop call the roll when it is free."""
        # No loop that could be busy: quiet() alone tells.
        if self.kernel is None or self.kernel.is_closed():
            self._roll()
        # One at a time: while a cell runs they would pile up in the loop, and be called all at once.
        elif not self._is_calling:
            self._is_calling = True
            try:
                self.kernel.call_soon_threadsafe(self._roll)
            except RuntimeError:  # it was closed just now: the kernel ends
                self._is_calling = False

    def _roll(self) -> None:
        with self.lock:
            self._is_calling = False
            # The loop also turns inside a cell that awaits, and pages aren't heard then.
            if quiet() > QUIET:
                self.leases.call(time.monotonic())

    def follow(self, cluster: ClusterObject) -> None:
        """Follow the cluster's telemetry."""
        try:
            self.feed = feed = ThreadFeed.of(cluster)
            self.unsubscribe = feed.subscribe(
                # Not self.feed, which may be none by then.
                lambda telemetry: self._take_telemetry(telemetry, feed.now()),
                self._take_info,
                self._take_end,
                self._take_restart,
            )
        except HimaliaError as error:
            self.leave_feed()
            self._reason = explain_failure(error)

    def leave_feed(self) -> None:
        """Follow no more; not with the lock, which the feed's thread may wait for."""
        # Taken away first: nothing is asked of a feed that is being left.
        unsubscribe, self.unsubscribe, self.feed = self.unsubscribe, None, None
        if unsubscribe is not None:
            unsubscribe()

    def _take_telemetry(self, telemetry: Telemetry, now: float) -> None:
        with self.lock:
            self.history.take(telemetry, now=now)

    def _take_info(self, info: ClusterInfo) -> None:
        with self.lock:
            self.history.take_info(info)

    def _take_end(self, reason: str) -> None:
        with self.lock:
            # Not the end yet: the cluster object may be about to say that it was closed.
            self._lost_at = time.time()
            self._reason = reason

    def _take_restart(self) -> None:
        with self.lock:
            self.history = new_history()
            self.pushes.wants_all = True

    def compose(self, cluster: ClusterObject | None, now: float) -> Message | None:
        """Return the next message to all pages, or None if there is nothing to say."""
        return self._compose(self.describe(cluster, now), self._describe_scale(cluster), now)

    def _compose(self, header: Plain, scale: Mapping[str, object], now: float) -> Message | None:
        roll, is_promised = self.leases.roll, self.leases.is_promised
        return self.pushes.compose(self.history, header, scale, roll=roll, is_promised=is_promised, now=now)

    def describe_name(self) -> Plain:
        """Return what never changes."""
        return {"title": self.title, "name": self.name}

    def describe(self, cluster: ClusterObject | None, now: float) -> Plain:
        """Return the header."""
        return {
            **self.describe_name(),
            "state": cluster.status if cluster is not None else "closed",
            "address": cluster.scheduler_address if cluster is not None else "",
            "dashboard": self._link_dashboard(cluster, now) if cluster is not None else "",
            "expected": cluster.expected if cluster is not None else None,
            "no_restart": self.feed.obstacle("restart") if self.feed is not None else "",
            "reason": self._reason,
            **describe_header(self.history),
        }

    def _link_dashboard(self, cluster: ClusterObject, now: float) -> str:
        """Return a link that nobody has used, as far as is known: a page can't tell while a cell keeps the kernel."""
        if cluster.status != "running":
            return ""
        if now - self._linked_at > LINK:
            self._linked_at = now
            self._link = cluster.dashboard_link or ""
        return self._link

    def _describe_scale(self, cluster: ClusterObject | None) -> Scaling:
        expected = cluster.expected if cluster is not None else None
        if cluster is None or cluster.status != "running":
            obstacle = "The cluster isn't running."
        else:
            obstacle = self.feed.obstacle("scale") if self.feed is not None else "The cluster isn't reached yet."
        return describe_scaling(self.history, expected=expected, obstacle=obstacle)

    def read_lines(self, now: float) -> None:
        """Ask for output, if somebody looks at it."""
        if self.feed is None or self._is_reading or now - self._logs_at < LOGS or not self.leases.shows("logs"):
            return
        self._logs_at = now
        # One question at a time: a nanny may take longer to answer than until the next look.
        self._is_reading = True
        since = self.reader.since
        self.feed.post(lambda source: source.logs(since), self._take_lines)

    def _take_lines(self, found: ProcessLogs | None, error: BaseException | None) -> None:
        cluster = self.cluster()
        with self.lock:
            self._is_reading = False
            if error is not None:
                self.send({"type": "lines", "full": False, "lines": [], "note": explain_failure(error)}, [])
                return
            own = cluster.own_logs() if cluster is not None else {}
            message = self.reader.take(found or ProcessLogs({}), own)
            if message is not None:
                self.send(message, [])

    def finish(self, cluster: ClusterObject | None, now: float) -> None:
        """Say goodbye, keep one picture for pages to come, and let go of everything else."""
        # Whatever was told last, nothing runs any more.
        header = {**self.describe(cluster, now), "final": True, "ended": now, "running": 0, "waiting": 0}
        # It can't say so itself: its scheduler is gone, and it takes itself to be running.
        if header["state"] not in ENDED:
            header["state"] = "failed"
        scale = {**self._describe_scale(cluster), "can": False, "reason": "The cluster has ended."}
        goodbye = self._compose(header, scale, now)
        if goodbye is not None:
            self.send(*goodbye)
        self.pushes.wants_all = True
        # All of it once more: the goodbye had only what changed.
        self.last = self._compose(header, scale, now)
        # The picture is made: what it was made of may go.
        self.history = History(records=1)
        self.pushes.end()


def new_history() -> History:
    """Return an empty memory of what a page can show."""
    return History(records=20_000, seconds=600.0)
