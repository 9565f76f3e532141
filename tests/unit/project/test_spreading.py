from __future__ import annotations

from pathlib import Path

import pytest

from tests.spreading import APART

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("path", sorted(APART))
def test_tests_that_are_dealt_out_one_by_one_share_nothing(path: str) -> None:
    assert 'scope="module"' not in (ROOT / path).read_text()
