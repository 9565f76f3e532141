"""Texts, names and numbers that no wire can carry, given by people and by calls: each gets an answer, and soon."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from himalia import Client, LocalCluster
from himalia.errors import NoSuitableWorkerError, UsageError

NAME = os.fsdecode(b"\xff\xfe.csv")
LONE = "\ud800 and more"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.wait_for_workers(1, timeout=30)
        yield client


def fail(text: str) -> None:
    raise LookupError(text)


def write(text: str) -> int:
    print(text)
    sys.stderr.write(text + "\n")
    logging.getLogger(text).warning(text)
    return len(text)


def odd_result() -> Any:
    return type("Odd", (), {"__qualname__": LONE, "__module__": LONE})


GIVEN: dict[str, Callable[[Client], Any]] = {
    "key": lambda client: client.submit(abs, -1, key=LONE).result(20),
    "keys of map": lambda client: client.gather(client.map(abs, [-1, -2], key=[NAME, "plain"])),
    "prefix of map": lambda client: client.gather(client.map(abs, [-1, -2], key=NAME)),
    "scatter": lambda client: client.gather(client.scatter({LONE: 1})),
    "graph": lambda client: client.get({(LONE, 0): (abs, -1), NAME: (abs, (LONE, 0))}, [NAME]),
    "workers": lambda client: client.submit(abs, -2, workers=NAME, allow_other_workers=True, pure=False).result(20),
    "retries": lambda client: client.submit(abs, -3, retries=10**30, pure=False).result(20),
    "future of that name": lambda client: client.get_future(NAME + "?").exception(20),
    "argument": lambda client: client.submit(len, LONE).result(20),
    "printed": lambda client: client.submit(write, LONE).result(20),
    "run": lambda client: client.run(lambda: LONE),
    "name of a client": lambda client: Client(client.cluster, name=NAME, set_as_default=False).close(),
    "type of the result": lambda client: client.submit(odd_result, pure=False).exception(20),
}


@pytest.mark.parametrize("what", GIVEN)
def test_what_can_be_meant_works(client: Client, what: str) -> None:
    GIVEN[what](client)
    assert client.submit(abs, -9, pure=False).result(20) == 9


@pytest.mark.parametrize(
    "options",
    [
        {"priority": float("nan")},
        {"priority": 10**400},
        {"resources": {"GPU": float("inf")}},
        {"resources": {"GPU": 10**400}},
        {"retries": "many"},
        {"workers": "w" * 100_000, "allow_other_workers": True},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_at_once_or_works(client: Client, options: dict[str, Any]) -> None:
    try:
        error = client.submit(abs, -4, pure=False, **options).exception(20)
    except UsageError as refused:
        error = refused
    assert error is None or isinstance(error, UsageError | NoSuitableWorkerError)
    assert client.submit(abs, -9, pure=False).result(20) == 9


@pytest.mark.parametrize("text", [NAME, LONE, "a\udfff" * 1000])
def test_an_errors_text_arrives(client: Client, text: str) -> None:
    error = client.submit(fail, text, pure=False).exception(20)
    assert isinstance(error, LookupError)
    assert str(error)[:20] == text[:20]
