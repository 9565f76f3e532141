"""Addresses as text."""

from __future__ import annotations

import pytest

from himalia.comm.addresses import Address, is_loopback, parse
from himalia.errors import UsageError


@pytest.mark.parametrize(
    ("text", "address", "printed"),
    [
        ("tcp://127.0.0.1:8786", Address("tcp", "127.0.0.1", 8786), "tcp://127.0.0.1:8786"),
        ("tls://node7.cluster:1", Address("tls", "node7.cluster", 1), "tls://node7.cluster:1"),
        ("tls://[2001:db8::1]:8786", Address("tls", "2001:db8::1", 8786), "tls://[2001:db8::1]:8786"),
        ("unix:///run/a b/s.sock", Address("unix", path="/run/a b/s.sock"), "unix:///run/a b/s.sock"),
        ("localhost:8786", Address("tcp", "localhost", 8786), "tcp://localhost:8786"),
        ("[::1]:8786", Address("tcp", "::1", 8786), "tcp://[::1]:8786"),
        ("127.1.2.3:8786", Address("tcp", "127.1.2.3", 8786), "tcp://127.1.2.3:8786"),
        ("10.0.0.7:8786", Address("tls", "10.0.0.7", 8786), "tls://10.0.0.7:8786"),
        ("node7:8786", Address("tls", "node7", 8786), "tls://node7:8786"),
        (" tcp://localhost:8786/ ", Address("tcp", "localhost", 8786), "tcp://localhost:8786"),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address, printed: str) -> None:
    assert parse(text) == address
    assert str(address) == printed
    assert parse(printed) == address


@pytest.mark.parametrize(
    "text",
    ["", "8786", ":8786", "tcp://", "tcp://host", "tcp://host:", "tcp://host:x", "tcp://host:70000", "tcp://host:-1",
     "http://host:80", "inproc://x", "unix://relative", "unix:///" + "x" * 104, "::1:8786", "host:²"],
)  # fmt: skip
def test_what_is_no_address_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(UsageError, match="Write host:port, tcp://host:port, tls://host:port or unix:///path"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("unix:///x", True), ("tcp://localhost:1", True), ("tls://[::1]:1", True), ("tls://10.0.0.1:1", False),
     ("tls://0.0.0.0:1", False), ("node7:1", False)],
)  # fmt: skip
def test_loopback_is_known_without_resolving_names(text: str, expected: bool) -> None:
    assert is_loopback(text) is expected
