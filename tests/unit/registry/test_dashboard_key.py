from __future__ import annotations

from himalia.registry.dashboard_key import CODE_SECONDS, UsedCodes, check, metrics_token, mint, new_key

KEY = new_key()


def test_a_code_opens_once() -> None:
    used = UsedCodes()
    code = mint(KEY, "code", now=100.0, seconds=CODE_SECONDS)
    assert used.use(KEY, code, now=101.0)
    assert not used.use(KEY, code, now=102.0)


def test_a_code_from_before_the_dashboard_was_started_again_opens_nothing() -> None:
    used = UsedCodes(since=200.5)
    old, new = (mint(KEY, "code", now=now, seconds=CODE_SECONDS) for now in (199.9, 201.0))
    assert not used.use(KEY, old, now=202.0)
    assert used.use(KEY, new, now=202.0)


def test_a_code_expires_and_is_forgotten_then() -> None:
    used = UsedCodes()
    old, kept = (mint(KEY, "code", now=now, seconds=CODE_SECONDS) for now in (100.0, 500.0))
    assert used.use(KEY, kept, now=600.0)
    assert not used.use(KEY, old, now=100.0 + CODE_SECONDS)
    used.use(KEY, "", now=500.0 + CODE_SECONDS)
    assert used.expiries == {}


def test_another_key_or_purpose_or_expiry_proves_nothing() -> None:
    code = mint(KEY, "code", now=100.0, seconds=10.0)
    nonce, expiry, proof = code.split(".")
    longer = f"{nonce}.{int(expiry, 16) + 1000:x}.{proof}"
    assert check(KEY, "code", code, now=101.0) == 110.0
    assert not check(new_key(), "code", code, now=101.0)
    assert not check(KEY, "cookie 127.0.0.1:8787", code, now=101.0)
    assert not check(KEY, "code", longer, now=101.0)


def test_garbage_is_refused_without_an_error() -> None:
    for given in ("", ".", "..", "a.b.c", "é.ü.ö", metrics_token(KEY), "." + metrics_token(KEY)):
        assert check(KEY, "code", given, now=0.0) == 0.0
