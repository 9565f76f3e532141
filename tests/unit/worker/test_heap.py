"""How much freed memory a worker may keep, and that whoever said something else is heard."""

from __future__ import annotations

import pytest

from himalia.settings import MIB
from himalia.worker.heap import KEPT, LARGEST, MAP, TRIM, heap_environment


def test_a_worker_without_a_limit_keeps_what_an_operation_on_a_large_chunk_needs() -> None:
    assert heap_environment(0, {}) == {TRIM: str(KEPT), MAP: str(LARGEST)}
    assert heap_environment(2**40, {}) == {TRIM: str(KEPT), MAP: str(LARGEST)}


def test_a_worker_keeps_an_eighth_and_a_small_one_nothing() -> None:
    assert heap_environment(800 * MIB, {"PATH": "/bin"}) == {TRIM: str(100 * MIB), MAP: str(100 * MIB)}
    assert heap_environment(128 * MIB, {}) == {TRIM: "65536"}


@pytest.mark.parametrize("given", [{TRIM: "65536"}, {MAP: "1"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=128"}])
def test_somebody_who_tuned_the_heap_is_heard(given: dict[str, str]) -> None:
    assert heap_environment(0, given) == {}


def test_other_settings_of_the_heap_are_no_reason_to_leave_it() -> None:
    assert heap_environment(0, {"MALLOC_ARENA_MAX": "2", "GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=512"})
