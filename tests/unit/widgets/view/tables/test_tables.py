from __future__ import annotations

import msgspec
import pytest

from himalia.messages.client import Telemetry
from himalia.messages.telemetry import GroupSummary, HostMetrics, ProcessMetrics, SchedulerStatus, TransferSummary
from himalia.names import HostId, PeerId
from himalia_widgets.view import system, transfers
from himalia_widgets.view.history import History
from himalia_widgets.view.tables import errors, groups, memory, progress, summary, workers
from tests.unit.widgets import synthetic

NOW = 1_700_000_000.0


def push(*summaries: GroupSummary, time: float = 0.0, **fields: object) -> Telemetry:
    return msgspec.structs.replace(Telemetry(time, list(summaries), [], 0, {}), **fields)


def know(*summaries: GroupSummary) -> History:
    history = History()
    history.take(push(*summaries), now=NOW)
    return history


def test_a_row_of_progress_has_every_task_in_one_state() -> None:
    group = GroupSummary("inc", "c", waiting=3, assigned=2, in_memory=4, erred=1, finished=10, failed=1, tasks=10)
    (row,) = progress.progress(know(group))
    assert (row.in_memory, row.released, row.running, row.waiting, row.failed) == (4, 6, 2, 3, 1)
    assert (row.done, row.left, row.total) == (10, 5, 16)


def test_one_function_in_several_cells_is_one_row() -> None:
    history = know(
        GroupSummary("inc", "c/1", finished=5, tasks=5), GroupSummary("inc", "c/2", waiting=3),
        GroupSummary("add", "c/2", waiting=1)
    )  # fmt: skip
    assert {row.name: row.total for row in progress.progress(history)} == {"inc": 8, "add": 1}


def test_functions_with_work_left_come_first_and_too_many_are_summed_up() -> None:
    done = [GroupSummary(f"done-{n}", "c", finished=2) for n in range(20)]
    rows = progress.progress(know(*done, GroupSummary("busy", "c", waiting=1)), most=5)
    assert [row.name for row in rows] == ["busy", "done-19", "done-18", "done-17", "17 others"]
    assert sum(row.total for row in rows) == 41
    assert sum(row.done for row in rows) == 40


def test_a_function_of_several_cells_is_one_of_those_that_are_summed_up() -> None:
    cells = [GroupSummary(f"f-{n}", f"c/{cell}", finished=1) for n in range(4) for cell in range(3)]
    assert [row.name for row in progress.progress(know(*cells), most=2)] == ["f-3", "3 others"]


def test_rate_and_time_left_are_of_the_last_while() -> None:
    history = History()
    for second in range(60):
        count = 100 + 10 * second
        group = GroupSummary("inc", "c", waiting=1000 - count, finished=count, tasks=1000)
        history.take(push(group, time=float(second)), now=NOW + second)
    (row,) = progress.progress(history)
    assert row.rate == pytest.approx(10.0, rel=0.05)
    assert row.eta == pytest.approx(31.0, rel=0.1)


def test_nobody_knows_how_long_what_never_moved_will_take_and_what_is_done_takes_no_time() -> None:
    waiting, done = progress.progress(know(GroupSummary("new", "c", waiting=5), GroupSummary("old", "c", finished=5)))
    assert waiting.eta is None
    assert done.eta == 0.0


def test_a_time_left_that_has_passed_is_told_no_more() -> None:
    """Two calls of a function are longer than the hundred before them."""
    history = History()
    for second, done in ((0, 0), (2, 100)):
        history.take(push(GroupSummary("nap", "c", waiting=102 - done, finished=done)), now=NOW + second)
    (row,) = progress.progress(history)
    assert (row.rate, row.eta) == (50.0, 0.04)
    history.take(push(), now=NOW + 9)
    (row,) = progress.progress(history)
    assert (row.rate, row.eta) == (0.0, None)


def test_work_that_begins_again_is_not_slowed_by_the_pause() -> None:
    history = History()
    history.take(push(GroupSummary("inc", "c", finished=100)), now=NOW)
    history.take(push(GroupSummary("inc", "c", finished=100, waiting=50)), now=NOW + 600)
    history.take(push(GroupSummary("inc", "c", finished=120, waiting=30)), now=NOW + 602)
    (row,) = progress.progress(history)
    assert row.rate == pytest.approx(10.0)


def test_work_that_waited_for_others_is_not_slowed_by_that() -> None:
    """A function whose inputs took ten seconds, with 20 calls a second of it before and after."""
    history = History()
    pushes = [(0.0, 0, 2), (0.25, 5, 2), (1.0, 20, 2), (1.25, 20, 0)]
    # It is told of at each push that its inputs come, and none of its calls is at a host meanwhile.
    pushes += [(second, 20, 0) for second in range(2, 12)]
    pushes += [(12.0 + quarter / 4, 20 + 5 * quarter, 2) for quarter in range(1, 9)]
    for second, done, assigned in pushes:
        group = GroupSummary("inc", "c", waiting=100 - done - assigned, assigned=assigned, finished=done)
        history.take(push(GroupSummary("other", "c", finished=int(second * 4))), now=NOW + second)
        history.take(push(group), now=NOW + second)
    (row,) = [row for row in progress.progress(history) if row.name == "inc"]
    assert row.rate == pytest.approx(20.0, rel=0.15)
    assert row.eta == pytest.approx(2.0, rel=0.15)


def test_calls_that_come_one_by_one_are_no_pauses() -> None:
    history = History()
    for half in range(60):
        group = GroupSummary("inc", "c", waiting=99 - half // 2, assigned=half % 2, finished=half // 2)
        history.take(push(group), now=NOW + half / 2)
    (row,) = progress.progress(history)
    assert row.rate == pytest.approx(1.0, rel=0.1)


def test_the_header_says_how_large_and_how_busy_the_cluster_is() -> None:
    history = synthetic.history(10, hosts=2, workers=3, threads=2)
    found = summary.summarize(history)
    assert (found.hosts, found.workers, found.threads, found.clients) == (2, 6, 12, 1)
    assert found.memory_limit == 6 * 2**30
    assert found.own_memory == sum(row.memory for row in workers.worker_rows(history))
    assert found.store == sum(row.store for row in memory.hosts(history))
    assert found.done == sum(group.finished for group in history.groups.values()) > 0
    assert history.trends.rate.last("rate") > 0.0


def test_a_header_can_be_drawn_before_anything_is_known() -> None:
    assert summary.summarize(History()).workers == 0


def test_workers_are_in_the_order_that_people_count_in() -> None:
    history = synthetic.history(2, hosts=1, workers=12)
    assert [row.name for row in workers.worker_rows(history)] == [f"lab-0-{n}" for n in range(12)]


def test_a_worker_known_by_name_only_has_the_numbers_that_came_with_its_name() -> None:
    history = History()
    history.take_info(synthetic.MadeUpCluster(hosts=1, workers=1).info())
    (row,) = workers.worker_rows(history)
    assert (row.cpu, row.memory, row.running, row.last_seen) == (0.5, 80 * 2**20, 1, 0.2)


def test_calls_that_run_are_listed_longest_first() -> None:
    history = synthetic.history(3, hosts=2)
    rows = workers.running_calls(history)
    assert len(rows) == 2
    assert rows[0][3] >= rows[1][3] >= 0.0
    assert [row[0] for row in workers.running_calls(history, "lab-1-0")] == ["lab-1-0"]


def test_memory_is_told_of_each_host() -> None:
    history = synthetic.history(3)
    rows, metrics = memory.hosts(history), history.hosts.values()
    assert [row.name for row in rows] == ["lab-0", "lab-1"]
    assert [(row.store, row.spilled) for row in rows] == [(one.store_bytes, one.spilled_bytes) for one in metrics]
    assert [row.limit for row in rows] == [4096 * 2**20] * 2


def test_memory_of_functions_is_sorted_and_without_those_that_hold_none() -> None:
    history = know(
        GroupSummary("a", "1", memory=5, peak=9), GroupSummary("b", "1", memory=7, peak=7),
        GroupSummary("a", "2", memory=4, peak=4), GroupSummary("c", "1", peak=100),
    )  # fmt: skip
    assert memory.groups(history) == [("a", 9, 13), ("b", 7, 7)]


def test_transfers_are_summed_for_each_pair_of_hosts() -> None:
    history = History()
    source = HostId(PeerId("h0"))
    for at in range(3):
        one = HostMetrics(time=NOW + at, transfers=[TransferSummary(source, 100, 0.5, 2)])
        history.take(push(hosts={"h1": one}), now=NOW + at)
    found = transfers.matrix(history)
    assert found.hosts == ["h0", "h1"]
    (cell,) = found.cells
    assert (cell.source, cell.target, cell.nbytes, cell.count, cell.bandwidth) == (0, 1, 300, 6, 200.0)
    times, rates = transfers.over_time(history, NOW - 10, bins=12)
    assert len(times) == len(rates) == 12
    assert sum(rates) * 1.0 == pytest.approx(300.0)


def test_with_many_hosts_the_matrix_has_those_that_moved_most() -> None:
    history = History()
    for at in range(60):
        one = HostMetrics(time=NOW, transfers=[TransferSummary(HostId(PeerId("h0")), at + 1, 0.5, 1)])
        history.take(push(hosts={f"h{at + 1}": one}), now=NOW)
    found = transfers.matrix(history, most=10)
    assert found.hosts == ["h0", *(f"h{number}" for number in range(52, 61))]
    assert len(found.cells) == 9


def test_errors_are_listed_newest_first_with_a_time_of_our_clock() -> None:
    history = synthetic.history(60)
    rows = errors.error_rows(history)
    assert len(rows) > 1
    assert rows == sorted(rows, key=lambda row: -row.last)
    assert all(synthetic.EPOCH <= row.last <= history.now for row in rows)
    assert rows[0].text.startswith("ValueError")
    assert sum(row.count for row in rows) == sum(group.failed for group in history.groups.values())


def test_a_function_row_has_averages_of_a_call() -> None:
    group = GroupSummary("inc", "c", finished=4, compute=8.0, transfer=2.0, nbytes=400, memory=300, peak=500, moved=20)
    (row,) = groups.group_rows(know(group))
    assert (row.calls, row.means.compute, row.means.transfer, row.means.nbytes) == (4, 2.0, 0.5, 100.0)
    assert (row.memory, row.peak, row.moved) == (300, 500, 20)
    assert row.color.startswith("#")


def test_system_lines_are_the_scheduler_and_each_nanny() -> None:
    history = synthetic.history(10)
    found = system.lines(history, "fds")
    assert [line.name for line in found] == ["scheduler", "lab-0", "lab-1"]
    assert set(found[0].value.tolist()) == {42.0}
    assert all(len(line.time) == len(line.value) > 5 for line in found)


def test_the_rate_of_all_calls_is_counted_by_the_scheduler() -> None:
    history = History()
    for second in range(5):
        status = SchedulerStatus(total=100 * second, process=ProcessMetrics())
        history.take(push(status=status), now=NOW + second)
    assert history.trends.rate.column("rate").tolist() == [0.0, 100.0, 100.0, 100.0, 100.0]
