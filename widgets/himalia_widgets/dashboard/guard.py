"""Who is let into a dashboard: one decision for each request, before any page, file or WebSocket sees it.

A link carries a code that is good once; ``/login`` exchanges it for a cookie that only this cluster's dashboard made,
bound to the host that the browser asked.  So a page of another origin that found the port (by guessing, or by a name
that it points at loopback) has no cookie for it, and is refused like anybody else.  Nothing here knows Bokeh, and a
refusal says what to do.
"""

from __future__ import annotations

import hmac
import re
from html import escape
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from himalia.registry.dashboard_key import COOKIE_SECONDS, UsedCodes, check, metrics_token, mint

PAGE: Final = re.compile(r"[\w-]+(/[\w.-]+)*(\?[\w.~%&=+-]*)?", re.ASCII)
"""Where ``next=`` may lead: a page of this dashboard, relative to ``/login``."""
PREFIX: Final = re.compile(r"(/[\w.~%@-]+)+", re.ASCII)
"""A path that a proxy has taken off the request, as it says itself."""
HOST: Final = re.compile(r"[\w.:\[\]-]+", re.ASCII)
PREFIX_HEADERS: Final = ("X-Forwarded-Context", "X-ProxyContextPath")
"""Of jupyter-server-proxy."""

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "frame-ancestors 'self' http://127.0.0.1:* http://localhost:*",
}
"""Of every response; framed only by itself and by pages of this host, such as a notebook's."""


class Verdict(NamedTuple):
    """What is answered instead of what was asked for."""

    status: int
    text: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Guard:
    """The decision, and the codes that were used up.

    Parameters
    ----------
    key : str
        Of the cluster's dashboard (:mod:`himalia.registry.dashboard_key`).
    name : str
        Of the cluster; its cookie is named after it.
    since : float
        Epoch seconds; links that are older may have been used.
    """

    def __init__(self, key: str, name: str, since: float = 0.0) -> None:
        self.key = key
        self.name = name
        # Cookies know no ports: without the name two clusters at one host would overwrite each other's.
        self.cookie = "himalia-" + re.sub(r"[^\w.-]", "-", name, flags=re.ASCII)
        # Known to this process only: links from before its start count as used.
        self.used = UsedCodes(since)

    def judge(self, request: HTTPServerRequest, *, now: float) -> Verdict | None:
        """Return what to answer, or ``None`` if the request may go on.

        Parameters
        ----------
        now : float
            Epoch seconds.
        """
        if request.method not in ("GET", "HEAD"):
            return Verdict(405, "Only GET and HEAD are answered here.", (("Allow", "GET, HEAD"),))
        # Before the host is looked at: who watches over processes may call it anything, and learns nothing.
        if request.path == "/health":
            return Verdict(200, "ok")
        # It becomes part of what a cookie is signed for.
        if not HOST.fullmatch(request.host):
            return Verdict(400, "The request doesn't say which host it is for.")
        # A browser sends cookies with WebSockets of every page of the same site, and a site has all ports: SameSite
        # isn't enough.
        if request.headers.get("Upgrade", "").lower() == "websocket" and not self.is_own_page(request):
            return Verdict(403, "A WebSocket is opened by a page of this dashboard only.")
        # Before the code: a used link still leads on for who was let in by it.
        known = self.has_cookie(request, now)
        if request.path == "/login":
            return self.log_in(request, known, now)
        if known or (request.path == "/metrics" and self.has_token(request)):
            return None
        return self.refuse_scraper() if request.path == "/metrics" else self.refuse()

    def is_own_page(self, request: HTTPServerRequest) -> bool:
        """Whether the page that asks came from the same host and port."""
        # Without the scheme: behind a proxy that speaks https the request itself is plain http.
        return urlsplit(request.headers.get("Origin", "")).netloc.lower() == request.host.lower()

    def has_cookie(self, request: HTTPServerRequest, now: float) -> bool:
        """Whether the browser has been let in before, at this host."""
        found = request.cookies.get(self.cookie)
        return found is not None and check(self.key, self.purpose(request), found.value, now=now) > 0.0

    def has_token(self, request: HTTPServerRequest) -> bool:
        """Whether a scraper shows the token for ``/metrics``."""
        given = request.headers.get("Authorization", "")
        # As bytes: of texts it takes ASCII only, and a stranger may send anything.
        return hmac.compare_digest(given.encode(), f"Bearer {metrics_token(self.key)}".encode())

    def log_in(self, request: HTTPServerRequest, known: bool, now: float) -> Verdict:
        """Return the way to the page, with a cookie for a good code."""
        code, page = last(request, "code"), last(request, "next")
        # Never an absolute address: a link that we made mustn't lead elsewhere.
        onward = ("Location", page if PAGE.fullmatch(page) else "status")
        # Not by HEAD, with which programs look at links before a person opens them.
        if request.method == "GET" and self.used.use(self.key, code, now=now):
            return Verdict(302, "", (onward, ("Set-Cookie", self.make_cookie(request, now))))
        return Verdict(302, "", (onward,)) if known else self.refuse("The link was used already, or is too old.")

    def make_cookie(self, request: HTTPServerRequest, now: float) -> str:
        """Return the cookie that opens this dashboard to this browser, and is sent nowhere else."""
        value = mint(self.key, self.purpose(request), now=now, seconds=COOKIE_SECONDS)
        given = [request.headers.get(name, "").rstrip("/") for name in PREFIX_HEADERS]
        # Checked, since it goes into a header. With it, what else is behind the same proxy doesn't get the cookie.
        path = next((prefix for prefix in given if PREFIX.fullmatch(prefix)), "/")
        # Over plain http a browser throws a Secure cookie away. Of several proxies the first stood at the browser.
        secure = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip() == "https"
        rest = f"Path={path}; Max-Age={COOKIE_SECONDS:.0f}; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        return f"{self.cookie}={value}; {rest}"

    def purpose(self, request: HTTPServerRequest) -> str:
        """Return what a cookie is good for."""
        return f"cookie {request.host.lower()}"

    def refuse(self, why: str = "This browser has not been let in yet.") -> Verdict:
        """Return the page for whoever has no cookie."""
        return Verdict(403, REFUSAL.format(why=why, name=escape(self.name)), (("Content-Type", "text/html"),))

    def refuse_scraper(self) -> Verdict:
        """Return the text for a scraper without the token, which a person reads who tries it by hand."""
        return Verdict(403, SCRAPER_REFUSAL.format(name=self.name), (("Content-Type", "text/plain; charset=utf-8"),))


def last(request: HTTPServerRequest, name: str) -> str:
    """Return an argument of the query, or nothing."""
    values = request.query_arguments.get(name, [b""])
    return values[-1].decode("utf-8", "replace")


SCRAPER_REFUSAL: Final = """\
The metrics of this cluster are for a scraper that sends its token: `Authorization: Bearer …`.
In which file the token is, and at which address the metrics are:

    himalia dashboard {name} --metrics

prometheus.yml names that file:

    authorization:
      credentials_file: FILE

A browser is let in by a fresh link: himalia dashboard {name} --page metrics
"""
REFUSAL: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>himalia: needs a fresh link</title>
<meta name="color-scheme" content="light dark">
<body style="font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em">
<h1 style="font-size: 1.3em">This dashboard needs a fresh link</h1>
<p>It runs. {why} A fresh link lets it in, and is good once and for ten minutes:</p>
<ul><li>in a terminal: <code>himalia dashboard {name}</code></li>
<li>in Python: <code>cluster.dashboard_link</code> or <code>client.dashboard_link</code></li></ul></body></html>
"""
