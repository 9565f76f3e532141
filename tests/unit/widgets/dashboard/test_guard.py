from __future__ import annotations

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from himalia.registry.dashboard_key import CODE_SECONDS, COOKIE_SECONDS, metrics_token, mint, new_key
from himalia_widgets.dashboard.guard import Guard, Verdict

NOW = 1_000_000.0
HOST = "127.0.0.1:8787"


class Connection:
    """What a request wants to know of its connection."""

    context = None

    def set_close_callback(self, callback: object) -> None:
        """Nothing closes here."""


def ask(uri: str, method: str = "GET", host: str = HOST, **headers: str) -> HTTPServerRequest:
    named = HTTPHeaders({"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}})
    line = RequestStartLine(method, uri, "HTTP/1.1")
    return HTTPServerRequest(start_line=line, headers=named, connection=Connection())  # type: ignore[arg-type]


@pytest.fixture
def guard() -> Guard:
    return Guard(new_key(), "mine")


def code_of(guard: Guard) -> str:
    return mint(guard.key, "code", now=NOW, seconds=CODE_SECONDS)


def header(answer: Verdict | None, name: str) -> str:
    assert answer is not None
    return dict(answer.headers).get(name, "")


def log_in(guard: Guard, **options: str) -> str:
    """Return the cookie that a fresh code is exchanged for."""
    answer = guard.judge(ask(f"/login?code={code_of(guard)}", **options), now=NOW)
    return header(answer, "Set-Cookie").partition(";")[0]


def status(answer: Verdict | None) -> int:
    return 200 if answer is None else answer.status


@pytest.mark.parametrize("path", ["/status", "/static/js/bokeh.min.js", "/status/ws", "/metrics", "/", "/nowhere"])
def test_without_a_cookie_everything_is_refused(guard: Guard, path: str) -> None:
    answer = guard.judge(ask(path), now=NOW)
    assert status(answer) == 403
    assert answer is not None
    assert "himalia dashboard mine" in answer.text


def test_a_code_is_exchanged_for_a_cookie_that_lets_in(guard: Guard) -> None:
    answer = guard.judge(ask(f"/login?code={code_of(guard)}&next=tasks"), now=NOW)
    assert status(answer) == 302
    assert header(answer, "Location") == "tasks"
    cookie = header(answer, "Set-Cookie")
    assert cookie.startswith("himalia-mine=")
    assert cookie.endswith("; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax")
    assert guard.judge(ask("/status", Cookie=cookie.partition(";")[0]), now=NOW) is None


def test_a_code_is_good_once_and_for_a_while(guard: Guard) -> None:
    code = code_of(guard)
    assert status(guard.judge(ask(f"/login?code={code}", "HEAD"), now=NOW)) == 403
    assert status(guard.judge(ask(f"/login?code={code}"), now=NOW)) == 302
    assert status(guard.judge(ask(f"/login?code={code}"), now=NOW)) == 403
    assert status(guard.judge(ask(f"/login?code={code_of(guard)}"), now=NOW + CODE_SECONDS + 1)) == 403
    assert status(guard.judge(ask("/login"), now=NOW)) == 403


def test_a_used_code_with_a_cookie_only_leads_on(guard: Guard) -> None:
    cookie = log_in(guard)
    answer = guard.judge(ask("/login?code=used&next=workers", Cookie=cookie), now=NOW)
    assert status(answer) == 302
    assert header(answer, "Location") == "workers"
    assert header(answer, "Set-Cookie") == ""


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "javascript:alert(1)", "/x", "a%0d%0ab", "../x"]
)
def test_a_login_leads_nowhere_else(guard: Guard, target: str) -> None:
    answer = guard.judge(ask(f"/login?code={code_of(guard)}&next={target}"), now=NOW)
    assert header(answer, "Location") == "status"


def test_a_cookie_is_good_for_its_host_its_key_and_its_time(guard: Guard) -> None:
    cookie = log_in(guard)
    assert status(guard.judge(ask("/status", host="evil.example:8787", Cookie=cookie), now=NOW)) == 403
    assert status(guard.judge(ask("/status", host="127.0.0.1:9999", Cookie=cookie), now=NOW)) == 403
    assert status(guard.judge(ask("/status", Cookie=cookie), now=NOW + COOKIE_SECONDS + 1)) == 403
    assert status(guard.judge(ask("/status", Cookie=cookie + "x"), now=NOW)) == 403
    assert status(Guard(new_key(), "mine").judge(ask("/status", Cookie=cookie), now=NOW)) == 403


def test_a_proxy_gets_a_cookie_for_its_path(guard: Guard) -> None:
    behind = {"host": "hub.example", "X_Forwarded_Context": "/user/ann/proxy/8787", "X_Forwarded_Proto": "https,http"}
    answer = guard.judge(ask(f"/login?code={code_of(guard)}", **behind), now=NOW)
    cookie = header(answer, "Set-Cookie")
    assert "; Path=/user/ann/proxy/8787;" in cookie
    assert cookie.endswith("; Secure")
    assert guard.judge(ask("/status", host="hub.example", Cookie=cookie.partition(";")[0]), now=NOW) is None
    odd = guard.judge(ask(f"/login?code={code_of(guard)}", X_Forwarded_Context="/a; Domain=evil"), now=NOW)
    assert "; Path=/;" in header(odd, "Set-Cookie")


def test_a_websocket_is_opened_by_its_own_page_only(guard: Guard) -> None:
    cookie = log_in(guard)

    def opened(**headers: str) -> int:
        return status(guard.judge(ask("/status/ws", Upgrade="WebSocket", Cookie=cookie, **headers), now=NOW))

    assert opened(Origin=f"http://{HOST}") == 200
    assert opened(Origin="http://evil.example") == opened(Origin="null") == opened() == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_reading_is_allowed(guard: Guard, method: str) -> None:
    assert status(guard.judge(ask("/status", method, Cookie=log_in(guard)), now=NOW)) == 405


def test_health_is_open_and_says_nothing_else(guard: Guard) -> None:
    assert guard.judge(ask("/health"), now=NOW) == Verdict(200, "ok")


def test_a_scraper_shows_a_token_for_the_metrics_alone(guard: Guard) -> None:
    token = f"Bearer {metrics_token(guard.key)}"
    assert guard.judge(ask("/metrics", Authorization=token), now=NOW) is None
    assert status(guard.judge(ask("/status", Authorization=token), now=NOW)) == 403
    assert status(guard.judge(ask("/metrics", Authorization="Bearer é"), now=NOW)) == 403


def test_a_name_is_escaped_where_it_becomes_markup() -> None:
    answer = Guard(new_key(), "<b>run;\r\n</b>").judge(ask("/status"), now=NOW)
    assert answer is not None
    assert "<b>" not in answer.text


def test_a_scraper_without_its_token_is_told_in_which_file_it_is(guard: Guard) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = guard.judge(ask("/metrics", **headers), now=NOW)
        assert answer is not None
        assert header(answer, "Content-Type").startswith("text/plain")
        assert "himalia dashboard mine --metrics" in answer.text
        assert metrics_token(guard.key) not in answer.text
