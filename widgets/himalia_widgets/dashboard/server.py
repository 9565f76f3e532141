"""A Bokeh server for the pages of one source: whatever is asked for passes the guard first.

Decides the routes around the pages, what is logged (never a query: a code may be in it), and that all addresses in
the pages are relative, so that any proxy's prefix works.  It doesn't know whether its source is alive.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bokeh.application import Application
from bokeh.resources import Resources
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from bokeh.server.views.static_handler import StaticHandler
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.iostream import IOStream
from tornado.web import OutputTransform, RedirectHandler, RequestHandler

from himalia.comm.crowd import Crowd
from himalia_widgets.dashboard.attendance import LOOK, Attendance
from himalia_widgets.dashboard.guard import SECURITY_HEADERS, Guard, Verdict
from himalia_widgets.dashboard.metrics import CONTENT_TYPE, render
from himalia_widgets.dashboard.pages import applications, handlers
from himalia_widgets.dashboard.rest import Route
from himalia_widgets.view.followed import Followed

if TYPE_CHECKING:
    from bokeh.protocol import Protocol
    from bokeh.server.connection import ServerConnection
    from bokeh.server.contexts import ApplicationContext
    from bokeh.server.session import ServerSession
    from bokeh.server.views.ws import WSHandler

logger = logging.getLogger("himalia.dashboard")

MAX_STRANGERS: Final = 256
"""Connections whose requests showed no cookie yet.  As many as at the cluster's own doors."""
IDLE: Final = 15.0
"""Seconds that a connection may be without a whole request; a browser opens another one.  Between Apache's
KeepAliveTimeout of 5 and nginx's keepalive_timeout of 75."""
BODY: Final = 4096
"""Bytes of a request's body, which nothing here looks at."""


class DashboardApplication(BokehTornado):
    """Bokeh's application behind a guard."""

    def __init__(self, apps: dict[str, Application], *, guard: Guard, **options: object) -> None:
        self.guard = guard
        self.attendance = Attendance()
        # Set by serve(): the server that counts strangers is made of this application.
        self.let_in: Callable[[HTTPServerRequest], None] = lambda request: None
        super().__init__(
            apps,
            use_index=False,
            include_headers=[],  # else the page carries the request's headers and cookies
            include_cookies=[],
            extra_websocket_origins=["*"],  # the guard has looked, which knows the host
            keep_alive_milliseconds=10_000,
            check_unused_sessions_milliseconds=5_000,
            unused_session_lifetime_milliseconds=10_000,
            log_function=log_request,
            **options,
        )
        # A transform, since files and Bokeh's own handlers answer too, and know nothing of these headers.
        self.add_transform(SecurityHeaders)

    def new_connection(
        self,
        protocol: Protocol,
        socket: WSHandler,
        application_context: ApplicationContext,
        session: ServerSession,
    ) -> ServerConnection:
        """Take in a page that opened its WebSocket."""
        connection = super().new_connection(protocol, socket, application_context, session)
        self.attendance.enter(connection, socket, session.document)
        return connection

    def client_lost(self, connection: ServerConnection) -> None:
        """Forget a page whose WebSocket is closed."""
        self.attendance.leave(connection)
        super().client_lost(connection)

    def resources(self, absolute_url: str | None = None) -> Resources:
        """Return Bokeh's own files, addressed relative to the page."""
        return Resources(mode="server", root_url="", path_versioner=StaticHandler.append_version)

    def find_handler(self, request: HTTPServerRequest, **options: object) -> Any:
        """Let the guard judge before anything else happens."""
        # In find_handler, through which every request goes, those for WebSockets and for pages that don't exist
        # included.
        answer = self.guard.judge(request, now=time.time())
        if request.path == "/login":
            request.uri = request.path  # the code is in no log
        if answer is None:
            self.let_in(request)
            return super().find_handler(request, **options)
        return self.get_handler_delegate(request, AnswerHandler, {"answer": answer})


class BoundedServer(HTTPServer):
    """tornado's server, which strangers can't fill: connections that the guard let nothing through yet are bounded.

    What brings no whole request for :data:`IDLE` seconds is closed.
    """

    def initialize(self, *args: Any, **options: Any) -> None:
        """See tornado, which constructs by this."""
        super().initialize(*args, **options)
        # By no address: behind a proxy everybody has the same one.
        self.crowd: Crowd[IOStream] = Crowd(MAX_STRANGERS, MAX_STRANGERS)

    def handle_stream(self, stream: IOStream, address: tuple[object, ...]) -> None:
        """Take a connection in, and send the oldest stranger away if there are too many."""
        # Looked at here: a stream tells one listener of its end, and that is tornado's own connection.
        for known in self.crowd.everybody():
            if known.closed():
                self.crowd.leave(known)
        now = time.monotonic()
        self.crowd.enter(stream, "", now=now)
        surplus, _ = self.crowd.surplus("", now=now)
        if surplus is None and len(self.crowd) > MAX_STRANGERS:  # nobody had the time to speak yet
            surplus = stream
        if surplus is not None:
            self.crowd.leave(surplus)
            surplus.close()
        if surplus is not stream:
            super().handle_stream(stream, address)

    def let_in(self, request: HTTPServerRequest) -> None:
        """Take the connection of a request that the guard has let in out of the crowd."""
        stream = getattr(request.connection, "stream", None)
        if stream is not None:
            self.crowd.leave(stream)


class AnswerHandler(RequestHandler):
    """Answers what the guard said, to every method."""

    def initialize(self, answer: Verdict) -> None:
        """Take the answer."""
        self.answer = answer

    def prepare(self) -> None:
        """Answer before a method is looked for."""
        self.set_status(self.answer.status)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        for name, value in self.answer.headers:
            self.set_header(name, value)
        self.finish(self.answer.text)


class MetricsHandler(RequestHandler):
    """``/metrics`` for Prometheus."""

    def initialize(self, followed: Followed) -> None:
        """Take what to tell of."""
        self.followed = followed

    def get(self) -> None:
        """Answer in Prometheus's text format."""
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(render(self.followed.history))


class SecurityHeaders(OutputTransform):
    """Adds the guard's headers to every response."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """See tornado."""
        headers.update(SECURITY_HEADERS)
        return status_code, headers, chunk


def log_request(handler: RequestHandler) -> None:
    """Log one request without its query."""
    # Strangers may cause as many refusals as they like: those fill no log.
    level = logging.WARNING if handler.get_status() >= 500 else logging.DEBUG
    logger.log(level, "%d %s %s", handler.get_status(), handler.request.method, handler.request.path)


async def serve(
    followed: Followed,
    listener: socket.socket,
    guard: Guard,
    stop: asyncio.Event,
    *,
    more: Mapping[str, Application] | None = None,
    routes: Sequence[Route] = (),
) -> None:
    """Show a source's pages, ``more`` by their paths and other ``routes``, at a socket until ``stop`` is set."""
    patterns = [
        (r"/metrics", MetricsHandler, {"followed": followed}),
        *handlers(followed),
        *routes,
        (r"/", RedirectHandler, {"url": "status", "permanent": False}),
    ]
    application = DashboardApplication(applications(followed) | dict(more or {}), guard=guard, extra_patterns=patterns)
    http = BoundedServer(application, idle_connection_timeout=IDLE, body_timeout=IDLE, max_body_size=BODY)
    application.let_in = http.let_in
    # tornado accepts until there is nothing more, and would stand still at a socket that blocks.
    listener.setblocking(False)
    http.add_socket(listener)
    server = BaseServer(IOLoop.current(), application, http)
    server.start()
    looking = PeriodicCallback(application.attendance.look, LOOK * 1000)
    looking.start()
    try:
        await stop.wait()
    finally:
        looking.stop()
        server.stop()
        http.stop()
