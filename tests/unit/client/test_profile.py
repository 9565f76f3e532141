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


def test_names_become_no_markup() -> None:
    hostile = "<img src=x>"
    assert hostile not in draw([Bar(hostile, 1, 2)], 1.0)
    assert hostile not in Profile(ProfileSamples({"w": [(1.0, f"{hostile} (a.py:1)", 1)]}))._repr_html_()
