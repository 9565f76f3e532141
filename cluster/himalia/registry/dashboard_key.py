"""What opens a cluster's dashboard: one-time codes in links, cookies, and a token for scrapers, all made of one key.

The key is the cluster's own (never its secret) and lies in the cluster file, so whoever may read that file makes a link
without asking the dashboard.  Nothing here reads a clock.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

CODE_SECONDS: Final = 600.0
"""How long a link may lie before somebody opens it: what OAuth allows a code at most (RFC 6749, 4.1.2)."""
COOKIE_SECONDS: Final = 7 * 86400.0
"""How long a browser stays signed in; a cluster seldom lives longer.  (Cookies that tornado signs: 30 days.)"""


def new_key() -> str:
    """Return a fresh key, hex."""
    return secrets.token_hex(32)


def mint(key: str, purpose: str, *, now: float, seconds: float) -> str:
    """Return ``nonce.expiry.proof`` for a purpose (``code``, ``cookie host:port``), good for so many seconds."""
    # The nonce makes two links of the same second different, since each is good once.
    facts = f"{secrets.token_urlsafe(12)}.{int(now + seconds):x}"
    return f"{facts}.{prove(key, purpose, facts)}"


def check(key: str, purpose: str, given: str, *, now: float) -> float:
    """Return when ``given`` expires, epoch seconds, or 0.0 if it isn't good (any more) for this purpose."""
    # The proof first: what a stranger wrote isn't even read as a number.
    facts, _, proof = given.rpartition(".")
    # As bytes: of texts it takes ASCII only, and a stranger may write anything.
    if not hmac.compare_digest(prove(key, purpose, facts).encode(), proof.encode()):
        return 0.0
    expiry = float(int(facts.rpartition(".")[2], 16))  # we wrote it, or the proof would not be good
    return expiry if expiry > now else 0.0


def metrics_token(key: str) -> str:
    """Return what a scraper sends as ``Authorization: Bearer …`` for ``/metrics``; good as long as the cluster."""
    # Always the same: a scraper's configuration is written once.
    return prove(key, "metrics", "")


def prove(key: str, purpose: str, facts: str) -> str:
    """Return the keyed hash that nobody without the key can make."""
    # The purpose is covered: a code isn't good as a cookie, nor one port's cookie at another.
    digest = hmac.digest(bytes.fromhex(key), f"himalia {purpose}\n{facts}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class UsedCodes:
    """Codes that were exchanged for a cookie; one is kept only until it would have expired anyway.

    Parameters
    ----------
    since : float
        Epoch seconds; codes that were made in an earlier second may have been used, and are not good any more.
    """

    def __init__(self, since: float = 0.0) -> None:
        # Expiries are whole seconds.
        self.since = int(since)
        self.expiries: dict[str, float] = {}

    def use(self, key: str, code: str, *, now: float) -> bool:
        """Whether the code is good, which it is once."""
        self.expiries = {used: expiry for used, expiry in self.expiries.items() if expiry > now}
        expiry = check(key, "code", code, now=now)
        # Codes are remembered in this process only: one that was used before a restart would be good again.
        if not expiry or code in self.expiries or expiry < self.since + CODE_SECONDS:
            return False
        self.expiries[code] = expiry
        return True
