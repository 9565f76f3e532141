from __future__ import annotations

import os

import pytest

from himalia.deploy.scheduler_worker_commands import SchedulerOptions, run_scheduler
from himalia.errors import UsageError
from himalia.registry.runtime_directory import runtime_bases


def test_an_address_that_can_t_be_meant_leaves_no_directory() -> None:
    (base,) = [base for base in runtime_bases() if base.startswith(os.environ["XDG_RUNTIME_DIR"])]
    before = set(os.listdir(base)) if os.path.exists(base) else set()
    with pytest.raises(UsageError, match="dashboard_address='nonsense' is no address"):
        run_scheduler(SchedulerOptions(port=0, dashboard_address="nonsense"))
    assert not os.path.exists(base) or set(os.listdir(base)) == before
