from __future__ import annotations

from himalia_widgets.widget.allowance import Allowance
from himalia_widgets.widget.leases import MISSES, PERIOD, Leases


def call(leases: Leases, times: int, start: float = 0.0) -> None:
    for number in range(times):
        leases.call(start + number * PERIOD)


def test_nobody_watches_at_first_and_after_the_last_view_left() -> None:
    leases = Leases()
    assert not leases.is_watched
    leases.look("a", "workers")
    leases.look("b", "logs")
    assert leases.shows("logs")
    leases.leave("b")
    assert leases.is_watched
    assert not leases.shows("logs")
    leases.leave("a")
    leases.leave("a")
    assert not leases.is_watched


def test_a_view_that_answers_stays_and_one_that_misses_several_rolls_is_forgotten() -> None:
    leases = Leases()
    leases.look("here", "workers")
    leases.look("gone", "workers")
    for number in range(10):
        leases.call(number * PERIOD)
        leases.here("here", "workers", leases.roll)
    assert list(leases.views) == ["here"]


def test_while_a_cell_keeps_the_kernel_no_roll_is_called_and_nobody_forgotten() -> None:
    leases = Leases()
    leases.look("a", "workers")
    leases.call(0.0)
    leases.call(10_000.0)  # an hours-long cell ended; the answers are still in the queue
    assert "a" in leases.views
    leases.here("a", "workers", 1)
    call(leases, MISSES, 10_001.0)
    assert "a" in leases.views


def test_rolls_are_not_called_more_often_than_they_can_be_answered() -> None:
    leases = Leases()
    leases.look("a", "workers")
    for number in range(1000):
        leases.call(number * PERIOD / 1000)
    assert leases.roll == 1
    assert leases.is_watched


def test_a_promised_view_counts_until_it_reports_or_plainly_does_not_come() -> None:
    leases = Leases()
    leases.promise()
    assert leases.is_watched
    assert leases.is_promised
    leases.look("a", "workers")
    assert not leases.is_promised
    leases.leave("a")
    leases.promise()
    call(leases, MISSES + 1)
    assert not leases.is_watched


def test_a_view_that_was_forgotten_and_wakes_up_is_known_again() -> None:
    leases = Leases()
    leases.here("asleep", "logs", 7)
    assert leases.is_watched
    assert leases.shows("logs")


def test_what_was_spent_too_early_is_waited_for_and_little_is_saved_up() -> None:
    allowance = Allowance(rate=100.0)
    assert allowance.left(10.0) == 100.0
    allowance.spend(300)
    assert allowance.left(11.0) == -100.0
    assert allowance.left(12.5) == 50.0
    assert allowance.left(1000.0) == 100.0
