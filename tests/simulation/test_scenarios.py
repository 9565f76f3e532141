"""What a cluster has to survive and what needs no real process, as scripts on the simulated cluster.

Each one ends with ``finish()``: every future ends, every value is read and compared, and after the last release
nothing is left in any machine or store.
"""

from __future__ import annotations

import pytest

from himalia.names import PeerId
from himalia.testing import calls
from himalia.testing.network import Weather
from himalia.testing.plan import Behaviour, HostPlan
from himalia.testing.scenario import Scenario, make_task

LARGE = 60_000
"""Bytes of a result that stays where it was made."""
TWO_THREADS = [HostPlan(threads=2), HostPlan(threads=2)]


# A host dies


def test_w1_dependents_submitted_after_the_death_of_the_holder_are_computed() -> None:
    """SIGKILL, then new work on what was lost."""
    s = Scenario(make_task("x", nbytes=LARGE), make_task("y", "x"))
    s.submit("x")
    s.wait_for_outcome("x", "finished")
    s.kill_nanny(s.holder("x"))
    s.submit("y")
    s.wait_for_outcome("y", "finished")
    assert s.executions("x") == 2
    s.finish()


def test_w2_a_result_that_died_before_it_was_read_is_computed_again() -> None:
    """Between finish and gather."""
    s = Scenario(*[make_task(f"x{n}", nbytes=LARGE) for n in range(6)])
    s.submit(*[f"x{n}" for n in range(6)])
    for n in range(6):
        s.wait_for_outcome(f"x{n}", "finished")
    s.kill_nanny(s.nanny(0))
    s.finish()


def test_w3_the_holder_of_the_final_result_dies_three_times() -> None:
    """It is computed again each time."""
    s = Scenario(make_task("x", nbytes=LARGE), make_task("y", "x", nbytes=LARGE), hosts=4)
    s.submit("y")
    for _ in range(3):
        s.wait_for_status("y", "finished")
        s.kill_nanny(s.holder("y"))
        s.wait(lambda: s.status("y") != "finished")
    s.wait_for_status("y", "finished")
    assert s.executions("y") == 4
    s.finish()


def test_w5_the_host_that_data_are_fetched_from_dies_during_the_transfer() -> None:
    """The input is computed again, and no stale holder is left."""
    s = Scenario(
        make_task("a", nbytes=LARGE, hosts=("host-0",)),
        make_task("b", nbytes=LARGE, hosts=("host-1",)),
        make_task("c", "a", "b", hosts=("host-1",)),
        hosts=3,
        behaviour=Behaviour(fetch=0.5),
    )
    s.submit("a", "b")
    s.wait_for_status("a", "finished")
    s.wait_for_status("b", "finished")
    s.submit("c")
    s.wait_for_status("c", "assigned")
    s.pass_time(0.1)
    s.kill_nanny(s.nanny(0))
    s.pass_time(5.0)
    assert "tried" not in s.status("c")
    s.cluster.start_nanny(0)
    s.wait_for_outcome("c", "finished")
    assert s.executions("a") == 2
    s.finish()


def test_w8_the_only_copy_of_computed_data_dies_while_dependents_wait() -> None:
    """It is computed again once."""
    s = Scenario(
        make_task("x", nbytes=LARGE),
        *[make_task(f"y{n}", "x", duration=0.2) for n in range(8)],
        make_task("z", *[f"y{n}" for n in range(8)]),
    )
    s.submit("x", *[f"y{n}" for n in range(8)], "z", held=("z",))
    s.wait_for_status("x", "finished")
    s.kill_nanny(s.holder("x"))
    s.wait_for_outcome("z", "finished")
    assert s.executions("x") == 2
    s.finish()


def test_w9_scattered_data_that_died_with_their_host_are_named_as_lost() -> None:
    """Never a hang; the dependents say which data were lost."""
    s = Scenario(make_task("x", "data", duration=1.0), make_task("y", "x"), placed={"data": LARGE})
    s.do("scatter", "data")
    s.wait_for_status("data", "finished")
    holder = s.holder("data")
    s.submit("x", "y")
    s.wait_for_status("x", "assigned")
    s.kill_nanny(holder)
    s.wait(lambda: s.record("data").status == "lost")
    assert s.record("y").status in ("error", "pending")
    s.wait_for_outcome("y", "error")
    error = s.record("y").error
    assert error is not None and error.kind == "lost" and error.key == "data"
    s.do("scatter", "data")
    s.wait(lambda: s.record("data").status == "finished")
    s.finish()


def test_w10_one_of_two_holders_of_scattered_data_dies() -> None:
    """The other one is enough."""
    s = Scenario(
        make_task("x", "data", hosts=("host-0",)),
        make_task("y", "data", hosts=("host-1",)),
        placed={"data": LARGE},
        hosts=3,
    )
    s.do("scatter", "data")
    s.wait_for_status("data", "finished")
    s.submit("x", "y")
    s.wait(lambda: len(getattr(s.task("data"), "holders", ())) >= 2)
    s.kill_nanny(s.holder("data"))
    s.pass_time(5.0)
    assert s.status("data") == "finished"
    s.finish()


def test_w12_a_host_dies_in_the_tick_in_which_its_result_arrives() -> None:
    """One commit, then a recomputation with another attempt."""
    s = Scenario(make_task("x", nbytes=LARGE))
    s.submit("x")
    s.wait_for_status("x", "finished")
    task = s.task("x")
    assert task is not None
    first = task.attempt
    s.kill_nanny(s.holder("x"))
    s.wait(lambda: s.status("x") != "finished")
    s.wait_for_status("x", "finished")
    assert task.attempt > first
    s.finish()


def test_w15_a_host_that_comes_back_inherits_nothing() -> None:
    """Same name and address, another incarnation."""
    s = Scenario(make_task("x", nbytes=LARGE), hosts=1)
    s.submit("x")
    s.wait_for_status("x", "finished")
    old = s.nanny(0).me
    s.kill_nanny(s.nanny(0))
    s.cluster.start_nanny(0)
    assert s.nanny(0).me != old
    s.wait(lambda: s.executions("x") == 2)
    s.finish()


def test_w16_a_host_that_does_not_have_what_it_said_is_found_out() -> None:
    """The key is computed again after one failed read."""
    s = Scenario(make_task("x", nbytes=LARGE, hosts=("host-0",)), make_task("y", "x", hosts=("host-1",)))
    s.submit("x")
    s.wait_for_status("x", "finished")
    s.nanny(0).spoil(1.0)
    s.submit("y")
    s.wait_for_outcome("y", "finished")
    assert s.executions("x") == 2
    s.finish()


# A worker dies


def test_a_call_whose_worker_was_killed_runs_again() -> None:
    """And its neighbour too."""
    s = Scenario(make_task("x", duration=1.0), make_task("y", duration=1.0), hosts=[HostPlan(threads=2)])
    s.submit("x", "y")
    s.wait_until_running("x")
    s.wait_until_running("y")
    s.pass_time(0.1)
    s.kill_worker(s.runner("x"))
    s.wait_for_outcome("x", "finished")
    s.wait_for_outcome("y", "finished")
    assert (s.executions("x"), s.executions("y")) == (2, 2)
    s.finish()


def test_poison_is_blamed_and_nothing_else() -> None:
    """Three workers die, then the call is an error with evidence; whoever ran beside it gets its value."""
    innocents = [f"x{n}" for n in range(20)]
    s = Scenario(
        make_task("poison", duration=0.05, nature=calls.POISON),
        *[make_task(name, duration=0.1) for name in innocents],
        hosts=TWO_THREADS,
    )
    s.submit("poison", *innocents)
    s.wait_for_outcome("poison", "error")
    error = s.record("poison").error
    assert error is not None and error.kind == "killed" and "SIGSEGV" in error.text
    for name in innocents:
        s.wait_for_outcome(name, "finished")
    assert s.executions("poison") == 3
    s.finish()


def test_t2_a_worker_that_was_asked_to_leave_blames_nobody() -> None:
    """Scaling down under load."""
    s = Scenario(*[make_task(f"x{n}", duration=0.1) for n in range(20)], hosts=[HostPlan(workers=3)])
    s.submit(*[f"x{n}" for n in range(20)])
    s.wait_until_running("x0")
    s.do("scale", number=0, count=1)
    s.finish()
    assert not s.cluster.witness.struck


# The network


@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_p1_a_partition_that_heals_within_the_lease_changes_nothing(seconds: float) -> None:
    """The stream is resumed: every call runs once."""
    s = Scenario(*[make_task(f"x{n}", duration=0.05) for n in range(40)])
    s.submit(*[f"x{n}" for n in range(40)])
    s.wait_until_running("x0")
    s.line(s.nanny(0)).cut(seconds)
    s.finish()
    assert set(s.cluster.witness.executions.values()) == {1}


def test_p1_a_partition_longer_than_the_lease_fences_the_host() -> None:
    """What it had is computed elsewhere, once; the old incarnation ends."""
    s = Scenario(*[make_task(f"x{n}", duration=0.2) for n in range(10)])
    s.submit(*[f"x{n}" for n in range(10)])
    s.wait_until_running("x0")
    cut_off = s.nanny(0)
    s.line(cut_off).cut(6.0)
    s.finish()
    s.wait(lambda: not cut_off.is_alive)


def test_p2_hosts_that_cannot_reach_each_other_still_finish() -> None:
    """An input is computed again where it is needed, or the call goes where it is."""
    s = Scenario(
        make_task("a", nbytes=LARGE), make_task("b", nbytes=LARGE), make_task("c", "a", "b"), make_task("d", "a", "b")
    )
    s.cluster.parted[0, 1] = s.world.now + 5.0
    s.submit("a", "b", "c", "d")
    s.wait_for_outcome("c", "finished")
    s.wait_for_outcome("d", "finished")
    s.finish()


def test_p8_duplicates_and_delays_across_reconnects() -> None:
    """Each message counts once."""
    weather = Weather(duplicate=0.5, slow=0.3, slow_latency=0.1, notice=0.3)
    s = Scenario(*[make_task(f"x{n}", duration=0.02) for n in range(60)], weather=weather)
    s.submit(*[f"x{n}" for n in range(60)])
    for _ in range(10):
        s.pass_time(0.1)
        for nanny in list(s.cluster.nannies.values()):
            s.line(nanny).cut(0.05)
        s.line(s.client()).cut(0.05)
    s.finish()
    assert set(s.cluster.witness.executions.values()) == {1}


# Clients


def test_c2_a_client_that_was_cut_off_for_a_moment_keeps_its_futures() -> None:
    """They go on as if nothing had happened."""
    s = Scenario(make_task("x", duration=0.5), make_task("y", "x"))
    s.submit("x", "y")
    s.line(s.client()).cut(2.0)
    s.wait_for_outcome("y", "finished")
    s.finish()


def test_c1_the_futures_of_a_killed_client_are_let_go_after_its_lease() -> None:
    """Nothing of it is left, another client goes on."""
    s = Scenario(make_task("x", nbytes=LARGE), make_task("y", nbytes=LARGE), clients=2)
    s.submit("x", client=0)
    s.submit("y", client=1)
    s.wait_for_status("x", "finished")
    s.client(0).kill()
    s.pass_time(5.0)
    assert (s.status("x"), s.status("y")) == ("forgotten", "finished")
    s.finish()


def test_c6_one_of_two_clients_cancels() -> None:
    """The other one is not affected."""
    s = Scenario(make_task("x", duration=1.0), make_task("y", "x"), clients=2)
    s.submit("x", "y", client=0)
    s.submit("x", "y", client=1)
    s.wait_until_running("x")
    s.do("cancel", "x", client=0)
    s.wait_for_outcome("x", "cancelled", client=0)
    s.wait_for_outcome("y", "finished", client=1)
    assert s.executions("x") == 1
    s.finish()


def test_c6_with_force_both_lose_it() -> None:
    """What depends on it as well."""
    s = Scenario(make_task("x", duration=1.0), make_task("y", "x"), clients=2)
    s.submit("x", "y", client=0)
    s.submit("x", "y", client=1)
    s.wait_until_running("x")
    s.do("cancel", "x", client=0, force=True)
    for client in (0, 1):
        s.wait_for_outcome("y", "cancelled", client=client)
    s.finish()


@pytest.mark.parametrize("pause", [0.0, 0.0005, 0.001, 0.3])
def test_c7_a_release_under_way_does_not_touch_the_future_that_follows(pause: float) -> None:
    """Released and submitted again at once, while the answer may be on its way."""
    s = Scenario(make_task("x", duration=0.001))
    for _ in range(20):
        s.submit("x")
        s.pass_time(pause)
        s.do("release", "x")
    s.submit("x")
    s.wait_for_outcome("x", "finished")
    s.finish()


# Cancel and submit again


def test_x1_a_call_that_is_released_while_it_runs_leaves_nothing() -> None:
    """Its result is dropped."""
    s = Scenario(make_task("x", duration=0.5, nbytes=LARGE))
    s.submit("x")
    s.wait_until_running("x")
    s.do("release", "x")
    s.finish()


@pytest.mark.parametrize("how", ["release", "cancel"])
def test_x2_a_key_is_submitted_again_while_its_old_attempt_runs(how: str) -> None:
    """One result."""
    s = Scenario(make_task("x", duration=0.5))
    s.submit("x")
    s.wait_until_running("x")
    s.do(how, "x")
    s.submit("x")
    s.wait_for_outcome("x", "finished")
    s.finish()


def test_x3_released_here_computed_there_and_needed_here() -> None:
    """No wait, no second result."""
    s = Scenario(
        make_task("x", duration=0.3, nbytes=LARGE),
        make_task("y", "x", hosts=("host-0",)),
        make_task("z", "x", hosts=("host-1",)),
    )
    s.submit("x")
    s.wait_until_running("x")
    s.do("release", "x")
    s.submit("x", "y", "z")
    s.wait_for_outcome("y", "finished")
    s.wait_for_outcome("z", "finished")
    s.finish()


def test_x4_a_cancelled_call_that_raises_frees_its_thread_and_resources() -> None:
    """The next one that needs them runs."""
    gpu = [HostPlan(resources={"GPU": 1.0})]
    s = Scenario(
        make_task("x", duration=5.0, nature=calls.RAISES, resources={"GPU": 1.0}),
        make_task("y", resources={"GPU": 1.0}),
        hosts=gpu,
    )
    s.submit("x")
    s.wait_until_running("x")
    s.do("cancel", "x")
    s.submit("y")
    s.wait_for_outcome("y", "finished")
    s.finish()


def test_a_cancelled_call_frees_its_worker_within_two_seconds() -> None:
    """Interrupted first, then its worker is replaced."""
    for seed in range(10):  # some calls are deaf to the interrupt
        s = Scenario(make_task("x", duration=100.0), make_task("y"), hosts=1, seed=seed)
        s.submit("x")
        s.wait_until_running("x")
        s.do("cancel", "x")
        s.submit("y")
        s.wait(lambda s=s: s.record("y").status == "finished", seconds=2.0)  # type: ignore[misc]
        s.finish()


def test_x7_a_call_is_cancelled_while_its_inputs_are_fetched() -> None:
    """The copy that arrives is dropped."""
    s = Scenario(
        make_task("a", nbytes=LARGE, hosts=("host-0",)),
        make_task("b", "a", hosts=("host-1",)),
        behaviour=Behaviour(fetch=0.5),
    )
    s.submit("a")
    s.wait_for_status("a", "finished")
    s.submit("b")
    s.wait_for_status("b", "assigned")
    s.pass_time(0.01)
    s.do("cancel", "b")
    s.pass_time(0.2)
    s.do("release", "a")
    s.finish()


def test_x11_queued_calls_are_submitted_again_fast() -> None:
    """Nothing gets stuck."""
    names = [f"x{n}" for n in range(30)]
    s = Scenario(*[make_task(name, duration=0.05) for name in names])
    for _ in range(5):
        s.submit(*names)
        s.pass_time(0.02)
        s.do("release", *names)
    s.submit(*names)
    s.finish()


def test_x13_an_input_is_lost_while_siblings_run() -> None:
    """Fan-out: one branch starts again, the others go on."""
    branches = [f"b{n}" for n in range(6)]
    s = Scenario(
        make_task("root", nbytes=LARGE),
        *[make_task(name, "root", duration=0.3, nbytes=LARGE) for name in branches],
        make_task("end", *branches),
        hosts=3,
    )
    s.submit("root", *branches, "end", held=("end",))
    s.wait_until_running("b0")
    s.kill_nanny(s.holder("root"))
    s.wait_for_outcome("end", "finished")
    s.finish()


def test_x16_a_dependent_of_an_erred_call_errs_at_once() -> None:
    """With the root cause."""
    s = Scenario(make_task("x", nature=calls.RAISES), make_task("y", "x"), make_task("z", "y"))
    s.submit("x")
    s.wait_for_outcome("x", "error")
    s.submit("y", "z")
    s.wait_for_outcome("z", "error")
    error = s.record("z").error
    assert error is not None and error.key == "x"
    assert s.executions("y") == 0
    s.finish()


def test_a_flaky_call_with_enough_retries_finishes() -> None:
    """And one without errs."""
    s = Scenario(
        make_task("x", nature=calls.FLAKY, times=2, retries=2), make_task("y", nature=calls.FLAKY, times=2, retries=1)
    )
    s.submit("x", "y")
    s.wait_for_outcome("x", "finished")
    s.wait_for_outcome("y", "error")
    s.do("retry", "y")
    s.wait(lambda: s.record("y").status == "finished")
    s.finish()


# Several hosts


def test_b2_the_host_that_calls_are_stolen_from_dies_before_it_answers() -> None:
    """They run elsewhere."""
    s = Scenario(
        *[make_task(f"x{n}", duration=0.3) for n in range(12)],
        hosts=[HostPlan(), HostPlan(starts_at=0.5)],
        queue_seconds=10.0,
    )
    s.submit(*[f"x{n}" for n in range(12)])
    s.wait(lambda: any(task.withdrawing for task in s.cluster.scheduler.machine.tasks.values()))
    s.kill_nanny(s.nanny(0))
    s.finish()


def test_b3_the_host_that_steals_dies_before_it_receives() -> None:
    """They run where they were, or anywhere else."""
    s = Scenario(
        *[make_task(f"x{n}", duration=0.3) for n in range(12)],
        hosts=[HostPlan(), HostPlan(starts_at=0.5)],
        queue_seconds=10.0,
    )
    s.submit(*[f"x{n}" for n in range(12)])
    s.wait(lambda: any(task.withdrawing for task in s.cluster.scheduler.machine.tasks.values()))
    s.kill_nanny(s.nanny(1))
    s.finish()


def test_b8_calls_are_not_moved_back_and_forth() -> None:
    """Without faults every call runs once, and few are sent twice."""
    s = Scenario(*[make_task(f"x{n}", duration=0.1) for n in range(40)], hosts=3, queue_seconds=1.0)
    s.submit(*[f"x{n}" for n in range(40)])
    s.finish()
    assert set(s.cluster.witness.executions.values()) == {1}
    assert len(s.cluster.witness.assigned) <= 80


def test_b9_restrictions_hold_whatever_is_stolen() -> None:
    """Only the named host runs them."""
    s = Scenario(*[make_task(f"x{n}", duration=0.05, hosts=("host-0",)) for n in range(10)], hosts=3, queue_seconds=1.0)
    s.submit(*[f"x{n}" for n in range(10)])
    s.wait_for_outcome("x9", "finished")
    for key in ("x0", "x9"):
        task = s.task(key)
        assert task is not None and [holder.info.name for holder in task.holders] == ["host-0"]
    s.finish()


def test_b11_resources_are_given_back_after_cancel_and_error() -> None:
    """The books are at zero in the end."""
    gpu = [HostPlan(resources={"GPU": 2.0}, threads=2)]
    names = [f"x{n}" for n in range(8)]
    natures = [calls.NORMAL, calls.RAISES] * 4
    s = Scenario(
        *[make_task(n, duration=0.1, nature=k, resources={"GPU": 1.0}) for n, k in zip(names, natures, strict=True)],
        hosts=gpu,
    )
    s.submit(*names)
    s.wait_until_running("x0")
    s.do("cancel", "x0", "x5")
    s.finish()
    for host in s.cluster.scheduler.machine.hosts.values():
        for worker in host.workers.values():
            assert all(abs(used) < 1e-9 for used in worker.used.values())


def test_b12_a_call_that_no_worker_may_run_says_so_and_can_be_cancelled() -> None:
    """``explain`` names what it waits for."""
    s = Scenario(make_task("x", hosts=("nowhere",)))
    s.submit("x")
    s.pass_time(2.0)
    assert "nowhere" in s.cluster.witness.explain(s.record("x").key)
    s.do("cancel", "x")
    s.finish()


def test_b14_calls_that_were_there_before_the_first_host_run_when_it_comes() -> None:
    """A start storm."""
    names = [f"x{n}" for n in range(200)]
    s = Scenario(*[make_task(name, duration=0.001) for name in names], hosts=[HostPlan(starts_at=1.0, workers=2)])
    s.submit(*names)
    s.finish()
    assert set(s.cluster.witness.executions.values()) == {1}


def test_a_paused_host_gets_no_new_work() -> None:
    """And gets some again when it has room."""
    large = [make_task(f"large{n}", nbytes=60_000, hosts=("host-0",)) for n in range(6)]
    small = [f"x{n}" for n in range(10)]
    behaviour = Behaviour(memory=400_000, disk=0)
    s = Scenario(*large, *[make_task(name, duration=0.1) for name in small], behaviour=behaviour)
    s.submit(*[f"large{n}" for n in range(6)])
    s.pass_time(1.5)
    s.submit(*small)
    s.pass_time(3.0)
    for name in small:
        task = s.task(name)
        assert task is not None and [holder.info.name for holder in task.holders] == ["host-1"]
    s.do("release", *[f"large{n}" for n in range(6)], *small)
    s.pass_time(1.5)
    s.submit(*small)
    s.pass_time(3.0)
    assert {holder.info.name for name in small for holder in s.task(name).holders} == {"host-0", "host-1"}  # type: ignore[union-attr]
    s.finish()


# Room and memory


def test_an_input_of_a_recalled_call_is_mapped_by_nobody() -> None:
    """Its worker never reads it, and says so."""
    s = Scenario(make_task("x", nbytes=LARGE), make_task("busy", duration=5.0), make_task("y", "x"), hosts=1)
    s.submit("x")
    s.wait_for_outcome("x", "finished")
    s.submit("busy")
    s.wait_until_running("busy")
    s.submit("y")
    s.wait_for_status("y", "assigned")
    s.pass_time(0.1)
    s.do("cancel", "y")
    s.do("release", "x")
    s.do("release", "y")
    s.do("release", "busy")
    s.pass_time(8.0)
    assert s.nanny(0).store.nbytes == 0
    s.finish()


def test_a_worker_that_is_slow_to_say_what_it_took_maps_nothing_that_was_given_to_others() -> None:
    """Its neighbour's death makes its nanny look for what was taken: twice in no slot is no proof."""
    for seed in range(20):
        s = Scenario(
            make_task("x", nbytes=LARGE),
            make_task("y", "x", nbytes=LARGE, duration=0.2),
            make_task("z", "x", nbytes=LARGE, duration=0.2),
            hosts=[HostPlan(workers=2)],
            behaviour=Behaviour(slow_begin=1.0, memory=400_000, lost_datagram=1.0),
            seed=seed,
            copy_limit=0,
        )
        s.submit("x")
        s.wait_for_outcome("x", "finished")
        s.submit("y", "z")
        s.wait(lambda s=s: any(worker.running for worker in s.nanny(0).workers.values()))  # type: ignore[misc]
        idle = [worker for worker in s.nanny(0).workers.values() if not worker.running]
        for worker in idle[:1]:
            s.kill_worker(worker)
        s.wait_for_outcome("y", "finished")
        s.wait_for_outcome("z", "finished")
        s.finish()


def test_more_inputs_than_the_store_has_room_for() -> None:
    """Quick calls on all of them: each waits for its turn, and none fails."""
    names = [f"x{n}" for n in range(40)]
    s = Scenario(
        *[make_task(name, nbytes=60_000, duration=0.001) for name in names],
        *[make_task(f"y{n}", *names[n : n + 4], duration=0.001) for n in range(36)],
        hosts=[HostPlan(workers=2)],
        behaviour=Behaviour(memory=400_000),
    )
    s.submit(*names, *[f"y{n}" for n in range(36)])
    s.finish()
    assert s.cluster.witness.outcomes["finished"] == 76


def test_a_user_who_keeps_more_than_the_store_has_gets_copies() -> None:
    """Every value comes, and calls go on beside them."""
    names = [f"x{n}" for n in range(30)]
    s = Scenario(
        *[make_task(name, nbytes=60_000) for name in names],
        make_task("y", *names[:5]),
        hosts=1,
        behaviour=Behaviour(memory=400_000),
        copy_limit=0,
    )
    s.submit(*names)
    s.wait(lambda: all(s.record(name).status == "finished" for name in names))
    s.do("gather", *names)
    s.wait(lambda: len(s.client().checked) == 30)
    s.submit("y")
    s.wait_for_outcome("y", "finished")
    s.finish()


def test_a_cancelled_call_that_ends_by_nothing_else_is_stopped_in_time() -> None:
    """Also where its worker is deaf to the interrupt, and has to be replaced."""
    for seed in range(10):
        s = Scenario(make_task("x", nature=calls.ENDLESS), make_task("y"), hosts=1, seed=seed)
        s.submit("x")
        s.wait_until_running("x")
        s.do("cancel", "x", force=True)
        s.wait(lambda s=s: not s.is_running("x"), 2.0)  # type: ignore[misc]
        s.submit("y")
        s.wait_for_outcome("y", "finished")
        s.finish()


def test_two_clients_that_scatter_the_same_key_both_keep_it() -> None:
    """Also when both copies went to the same host."""
    for seed in range(6):
        s = Scenario(make_task("x", "data"), placed={"data": LARGE}, clients=2, seed=seed)
        s.do("scatter", "data", client=0)
        s.do("scatter", "data", client=1)
        s.wait(lambda s=s: all("data" in s.client(n).futures for n in (0, 1)))  # type: ignore[misc]
        s.pass_time(1.0)
        s.submit("x", client=0)
        s.wait_for_outcome("x", "finished", client=0)
        s.finish()


def test_a_client_that_dies_while_it_scatters_leaves_nothing_behind() -> None:
    """The host has the value, and the scheduler never heard of it."""
    s = Scenario(placed={"data": LARGE}, behaviour=Behaviour(fetch=0.2), hosts=1)
    s.do("scatter", "data")
    s.wait(lambda: bool(s.nanny(0).store))
    s.client().kill()
    s.finish()


def test_the_scheduler_is_called_by_its_alias() -> None:
    """What a nanny calls the scheduler, whatever its incarnation."""
    s = Scenario()
    assert set(s.nanny(0).comm.peers) == {PeerId("scheduler")}
    s.finish()
