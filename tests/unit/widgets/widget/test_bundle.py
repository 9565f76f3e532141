from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from himalia import views
from himalia.comm.security import Credentials
from himalia.deploy import cluster as cluster_module
from himalia.deploy.cluster import Cluster
from himalia_widgets.widget import model as model_module
from himalia_widgets.widget.board import Board

VIEW = "application/vnd.jupyter.widget-view+json"


class Unstarted(Cluster):
    """A cluster of nothing."""

    @property
    def credentials(self) -> Credentials:
        raise AssertionError("a representation has no business with secrets")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(Board, "wake", lambda board: None)
    return Unstarted(name="lab", asynchronous=False)


def test_a_terminal_gets_text_and_html_only(cluster: Cluster) -> None:
    assert set(cluster._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_a_notebook_gets_a_live_view_and_the_static_one_for_when_it_is_saved(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "in_notebook", lambda: True)
    first, second = cluster._repr_mimebundle_(), cluster._repr_mimebundle_()
    assert set(first) == {"text/plain", "text/html", VIEW}
    assert first[VIEW]["model_id"] == second[VIEW]["model_id"]
    assert first["text/plain"].startswith("Unstarted lab")
    assert "<script" not in first["text/html"]
    assert len(json.dumps(first)) < 12_000


class Kernel:
    """A kernel whose cell was sent by a front end that can ask for input, or by one that can't."""

    def __init__(self, allow_stdin: bool) -> None:
        self.allow_stdin = allow_stdin

    def get_parent(self, channel: str) -> dict[str, Any]:
        return {"header": {}, "content": {"allow_stdin": self.allow_stdin}}


def test_a_notebook_that_is_executed_by_itself_keeps_what_can_be_read_without_scripts(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(allow_stdin=False)
    monkeypatch.setattr(views, "find_shell", lambda: SimpleNamespace(kernel=kernel))
    assert set(cluster._repr_mimebundle_()) == {"text/plain", "text/html"}
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.8")
    assert VIEW in cluster._repr_mimebundle_(), "Voila shows it to a person"
    monkeypatch.delenv("SERVER_SOFTWARE")
    kernel.allow_stdin = True
    assert VIEW in cluster._repr_mimebundle_()


def test_without_the_packages_of_views_a_notebook_gets_the_static_one(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "in_notebook", lambda: True)
    monkeypatch.setattr(cluster_module, "find_views", lambda: None)
    assert set(cluster._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_a_view_that_cannot_be_made_is_a_warning_and_not_a_broken_cell(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_it(*_: Any) -> NoReturn:
        raise ImportError("no such front end")

    monkeypatch.setattr(cluster_module, "in_notebook", lambda: True)
    monkeypatch.setattr(cluster_module, "find_views", break_it)
    with pytest.warns(RuntimeWarning, match="no such front end"):
        assert set(cluster._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_a_cluster_that_ended_before_it_was_shown_needs_no_live_view(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "in_notebook", lambda: True)
    cluster._status = "closed"
    assert set(cluster._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_a_model_holds_no_cluster_and_what_it_saves_is_small_but_for_bokehjs(cluster: Cluster) -> None:
    bundle = model_module.show_cluster(cluster)
    widget = model_module._widgets[cluster]
    assert bundle[VIEW]["model_id"] == widget.model_id
    state = widget.get_state()
    assert len(json.dumps({name: value for name, value in state.items() if isinstance(value, str)})) < 200_000
    widget.close()
