"""The dashboard through a real jupyter-server-proxy, below a hub's path, by http and https."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from himalia import Client, LocalCluster, wait
from himalia.comm.security import make_certificate
from tests.browser.servers import JupyterServer, run_server
from tests.waiting import PATIENCE

BASE = "/user/ann/"
TOLD = """() => [...Bokeh.documents[0]._all_models.values()].some((model) =>
  model.name === "himalia-task_stream-calls" && [...model.data.key ?? []].some((key) => /fresh/.test(key)))"""


@pytest.fixture(params=["http", "https"])
def hub(request: pytest.FixtureRequest, equipped: None, test_run: str, tmp_path: Path) -> Iterator[JupyterServer]:
    """Start a server as a hub would start one for Ann."""
    pytest.importorskip("jupyter_server_proxy", reason="needs it: pip install jupyter-server-proxy")
    pem = ""
    if request.param == "https":
        certificate = make_certificate(["localhost"])
        path = tmp_path / "server.pem"
        path.write_text(certificate.certificate_pem + certificate.key_pem)
        pem = str(path)
    place = tmp_path / "jupyter"
    place.mkdir()
    with run_server(place, base=BASE, certificate=pem) as server:
        yield server


def test_the_link_opens_the_dashboard_and_it_is_live(
    hub: JupyterServer, open_page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = urlsplit(hub.url)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", BASE)
        link = cluster.dashboard_link
        assert link is not None
        assert link.startswith(f"{BASE}proxy/")
        page = open_page(f"{hub.url}api/status?token={hub.token}", ignore_https_errors=True)  # as if she had signed in
        page.goto(f"{origin.scheme}://{origin.netloc}{link}")
        expect(page.locator("[data-number=workers]")).to_have_text("2 workers")
        page.wait_for_function("() => window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
        done = client.map(abs, range(20), key=[f"fresh-{number}" for number in range(20)])
        wait(done)
        page.wait_for_function(TOLD, timeout=PATIENCE * 1000)
        page.get_by_role("link", name="Workers").click()
        expect(page.locator("tbody tr")).to_have_count(2)
        (cookie,) = [one for one in page.context.cookies() if one["name"].startswith("himalia-")]
        assert (cookie["path"], cookie["httpOnly"]) == (link.partition("/login")[0], True)
