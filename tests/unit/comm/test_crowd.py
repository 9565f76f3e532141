"""Who of the strangers at a door has to go, and when."""

from __future__ import annotations

from himalia.comm.crowd import SILENT_GRACE, SPEAKING_GRACE, Crowd


def test_the_oldest_of_an_address_goes_when_one_too_many_came() -> None:
    crowd: Crowd[int] = Crowd(limit=10, per_address=3)
    for number in range(4):
        assert crowd.surplus("a", now=1.0) == (None, 0.0)
        crowd.enter(number, "a", now=float(number))
    assert crowd.surplus("a", now=4.0) == (0, 0.0)
    crowd.leave(0)
    assert crowd.surplus("a", now=4.0) == (None, 0.0)
    assert crowd.everybody() == [1, 2, 3]


def test_who_speaks_outlasts_who_is_silent() -> None:
    crowd: Crowd[int] = Crowd(limit=10, per_address=2)
    for number in range(3):
        crowd.enter(number, "a", now=0.0)
    crowd.speaks(0)
    assert crowd.surplus("a", now=1.0) == (1, 0.0)
    crowd.leave(1)
    crowd.enter(3, "a", now=1.0)
    crowd.speaks(2)
    crowd.speaks(3)
    assert crowd.surplus("a", now=2.0) == (0, 0.0)


def test_everybody_is_given_a_moment_to_begin() -> None:
    crowd: Crowd[int] = Crowd(limit=10, per_address=1)
    crowd.enter(1, "a", now=0.0)
    crowd.enter(2, "a", now=0.0)
    assert crowd.surplus("a", now=0.0) == (None, SILENT_GRACE)
    assert crowd.surplus("a", now=SILENT_GRACE) == (1, 0.0)
    crowd.speaks(1)
    crowd.speaks(2)
    assert crowd.surplus("a", now=0.0) == (None, SPEAKING_GRACE)


def test_a_full_door_sends_away_whose_address_has_most() -> None:
    crowd: Crowd[int] = Crowd(limit=3, per_address=3)
    crowd.enter(1, "b", now=0.0)
    crowd.enter(2, "a", now=1.0)
    crowd.enter(3, "a", now=2.0)
    crowd.enter(4, "c", now=3.0)
    assert crowd.surplus("c", now=9.0) == (2, 0.0)


def test_leaving_twice_is_no_harm_and_leaves_nothing() -> None:
    crowd: Crowd[int] = Crowd()
    crowd.enter(1, "a", now=0.0)
    crowd.speaks(1)
    crowd.speaks(1)
    crowd.leave(1)
    crowd.leave(1)
    crowd.speaks(1)
    assert len(crowd) == 0
    assert crowd.count("a") == 0
