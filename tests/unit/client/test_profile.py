from __future__ import annotations

from himalia.client.profile import Profile
from himalia.messages.answers import ProfileSamples
from himalia.show.bars import Bar, draw


def test_a_profile_counts_functions_and_keeps_why_a_host_can_not_look() -> None:
    rows = [(1.0, "f (a.py:1);g (a.py:2)", 3), (2.0, "f (a.py:9);f (a.py:1)", 1), (9.0, "late (a.py:1)", 5)]
    profile = Profile(ProfileSamples({"w": rows}, {"tcp://n": "no py-spy"}), stop=2.0)
    assert [(one.function, one.file, one.own, one.total) for one in profile.functions()] == [
        ("g", "a.py", 3, 3),
        ("f", "a.py", 1, 4),
    ]
    assert "4 samples of 1 worker\ntcp://n: no py-spy" in repr(profile)


def test_an_answer_with_nothing_or_little_in_it_says_when_calls_are_looked_at() -> None:
    advice = "Calls that run for less than a second are looked at only after somebody asked, for ten seconds."
    nothing, little, enough = ([(1.0, "f (a.py:1)", count)] if count else [] for count in (0, 2, 200))
    assert repr(Profile(ProfileSamples({"w": nothing}))).startswith(f"No samples. {advice}")
    assert repr(Profile(ProfileSamples({"w": little}))).startswith(f"2 samples of 1 worker\n{advice}")
    assert "call client.profile() before it" in Profile(ProfileSamples({"w": little}))._repr_html_()
    assert advice not in repr(Profile(ProfileSamples({"w": enough})))


def test_names_become_no_markup() -> None:
    hostile = "<img src=x>"
    assert hostile not in draw([Bar(hostile, 1, 2)], 1.0)
    assert hostile not in Profile(ProfileSamples({"w": [(1.0, f"{hostile} (a.py:1)", 1)]}))._repr_html_()
