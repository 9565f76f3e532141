"""The dashboard's process: who is let in, when it starts, and that it ends with its cluster."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from himalia import Client, LocalCluster, views
from himalia.deploy.dashboard.process import Door, open_door
from himalia.errors import UsageError
from himalia.registry import clusters
from himalia.registry.dashboard_key import metrics_token
from himalia.registry.dashboard_link import login_link
from tests.waiting import PATIENCE, wait_until

pytest.importorskip("bokeh", reason="the dashboard needs bokeh: pip install 'himalia[jupyter]'")

Reply = tuple[int, dict[str, str], str]
ROOT = Path(__file__).resolve().parents[2]
PATHS = ("/status", "/static/js/bokeh.min.js", "/status/ws", "/status/autoload.js", "/metrics", "/", "/info")


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """One cluster for the tests that only look at its dashboard."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture
def door(cluster: LocalCluster) -> Door:
    return door_of(cluster)


def door_of(cluster: LocalCluster) -> Door:
    door = cluster._launched.door
    assert door is not None
    return door


def get(place: str, path: str, method: str = "GET", **headers: str) -> Reply:
    """Ask once, and follow nothing."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(urlsplit(place).netloc, timeout=90)  # it gives way to all that runs
    try:
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def log_in(door: Door) -> str:
    """Return the cookie that a link is good for."""
    status, headers, _ = get(door.dashboard, login_link(door).removeprefix(door.dashboard))
    assert status == 302
    assert headers["Location"] == "status"
    return headers["Set-Cookie"].partition(";")[0]


def open_websocket(door: Door, **headers: str) -> int:
    """Return the status of the answer to a handshake."""
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    protocol = {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Protocol": "bokeh, token"}
    return get(door.dashboard, "/status/ws", **upgrade, **protocol, **headers)[0]


def test_the_server_starts_with_the_first_visitor(nothing_left: None) -> None:
    with LocalCluster(n_workers=0, dashboard_address=":0") as cluster:
        child = cluster._launched.dashboard
        assert child is not None
        process = psutil.Process(child.pid)
        wait_until(lambda: any("doorkeeper" in part for part in process.cmdline()))
        assert get(door_of(cluster).dashboard, "/health")[::2] == (200, "ok")
        assert process.cmdline()[-1] == "himalia_widgets.dashboard"
        assert process.nice() >= 10


def test_how_far_it_gives_way_can_be_said(nothing_left: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIMALIA_DASHBOARD_NICE", "3")
    with LocalCluster(n_workers=0, dashboard_address=":0") as cluster:
        child = cluster._launched.dashboard
        assert child is not None
        process = psutil.Process(child.pid)
        before = process.nice()
        assert get(door_of(cluster).dashboard, "/health")[0] == 200
        assert process.nice() == before + 3


def test_nonsense_about_how_far_it_gives_way_is_named() -> None:
    command = [sys.executable, "-m", "himalia_widgets.dashboard"]
    environment = dict(os.environ, HIMALIA_DASHBOARD_NICE="much")
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 1
    assert "HIMALIA_DASHBOARD_NICE='much' is no whole number" in done.stderr


@pytest.mark.parametrize("path", PATHS)
def test_nobody_is_let_in_without_a_cookie(cluster: LocalCluster, door: Door, path: str) -> None:
    status, headers, text = get(door.dashboard, path)
    assert status == 403
    assert f"himalia dashboard {cluster.name}" in text
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors" in headers["Content-Security-Policy"]


def test_a_link_opens_the_dashboard_once(cluster: LocalCluster, door: Door) -> None:
    link = cluster.dashboard_link
    assert link is not None
    assert link != cluster.dashboard_link
    path = link.removeprefix(door.dashboard)
    status, headers, _ = get(door.dashboard, path)
    assert status == 302
    assert "code" not in headers["Location"]
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert get(door.dashboard, path)[0] == 403
    assert get(door.dashboard, path, Cookie=cookie)[0] == 302
    status, headers, page = get(door.dashboard, "/status", Cookie=cookie)
    assert status == 200
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "no-store" in headers.get("Cache-Control", "no-store")
    assert cookie.partition("=")[2] not in page
    script = re.search(r'src="(static/js/bokeh\.min\.js[^"]*)"', page)
    assert script is not None, "addresses are relative to the page"
    assert get(door.dashboard, "/" + script[1], Cookie=cookie)[0] == 200
    assert get(door.dashboard, "/", Cookie=cookie)[1]["Location"] == "status"


def test_other_hosts_and_origins_are_refused(door: Door) -> None:
    cookie, host = log_in(door), urlsplit(door.dashboard).netloc
    assert get(door.dashboard, "/status", Cookie=cookie, Host="evil.example")[0] == 403
    assert open_websocket(door, Cookie=cookie, Origin=f"http://{host}") == 101
    assert open_websocket(door, Cookie=cookie, Origin="http://evil.example") == 403
    assert open_websocket(door, Cookie=cookie) == 403
    assert open_websocket(door, Origin=f"http://{host}") == 403
    assert get(door.dashboard, "/status", "POST", Cookie=cookie)[0] == 405


def test_prometheus_reads_the_metrics(cluster: LocalCluster, door: Door) -> None:
    def samples() -> dict[str, float]:
        status, headers, text = get(
            door.dashboard, "/metrics", Authorization=f"Bearer {metrics_token(door.dashboard_key)}"
        )
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = text_string_to_metric_families(text)
        return {
            sample.name + str(sample.labels or ""): sample.value for family in families for sample in family.samples
        }

    with Client(cluster) as client:
        client.gather(client.map(abs, range(-10, 0)))
        wait_until(lambda: samples().get("himalia_function_calls_total{'function': 'abs'}") == 10.0)
    wait_until(lambda: "himalia_scheduler_memory_bytes" in samples())
    found = samples()
    assert found["himalia_workers"] == 1.0
    assert found["himalia_scheduler_memory_bytes"] > 1e6


def test_a_dashboard_that_died_comes_back_with_the_next_look_at_its_link(nothing_left: None) -> None:
    with LocalCluster(n_workers=0, dashboard_address=":0") as cluster:
        door = door_of(cluster)
        used = login_link(door).removeprefix(door.dashboard)
        cookie = get(door.dashboard, used)[1]["Set-Cookie"].partition(";")[0]
        child = cluster._launched.dashboard
        assert child is not None
        time.sleep(1.1)  # links are told apart by the second
        child.signal(signal.SIGKILL)
        wait_until(lambda: not child.is_running())
        assert cluster.status == "running"
        link = cluster.dashboard_link
        assert link is not None
        assert link.startswith(door.dashboard)
        assert get(door.dashboard, link.removeprefix(door.dashboard))[0] == 302
        assert get(door.dashboard, "/info", Cookie=cookie)[0] == 200
        assert get(door.dashboard, used)[0] == 403


def test_who_finds_the_cluster_by_its_name_gets_a_link_too(cluster: LocalCluster, door: Door) -> None:
    with Client(cluster.name) as client:
        link = client.dashboard_link
        assert client.dashboard_address == f"{door.dashboard}/status"
    assert link is not None
    assert get(door.dashboard, link.removeprefix(door.dashboard))[0] == 302


def test_the_documented_prometheus_yml_scrapes(cluster: LocalCluster, door: Door) -> None:
    """Done as Prometheus does it: defaults of its own, a token from a file, whose white space it takes off."""
    yaml = pytest.importorskip("yaml", reason="reads the document's example: pip install pyyaml")
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "seeing.md").read_text(), re.DOTALL)
    (job,) = yaml.safe_load(example)["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8787"]}]
    command = [sys.executable, "-m", "himalia", "dashboard", cluster.name, "--metrics"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    place = re.search(r"^Metrics: +(\S+)$", told, re.MULTILINE)
    file = re.search(r"^Token file: (\S+)", told, re.MULTILINE)
    assert place is not None
    assert file is not None
    assert place[1] == f"{door.dashboard}{job.get('metrics_path', '/metrics')}"
    named = job["authorization"].pop("credentials_file")
    assert named.replace("NAME", cluster.name).endswith("/clusters/" + os.path.basename(file[1]))
    scheme = job["authorization"].pop("type", "Bearer")
    assert job["authorization"] == {}
    token = Path(file[1]).read_text().strip()
    assert token not in told
    status, _, text = get(door.dashboard, urlsplit(place[1]).path, Authorization=f"{scheme} {token}")
    assert status == 200
    assert "\nhimalia_workers " in text
    refused = get(door.dashboard, "/metrics")
    assert refused[0] == 403
    assert f"himalia dashboard {cluster.name} --metrics" in refused[2]


def test_a_cluster_without_a_dashboard_has_no_metrics(nothing_left: None) -> None:
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        command = [sys.executable, "-m", "himalia", "dashboard", cluster.name, "--metrics"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 1
        assert f"The cluster {cluster.name} has no dashboard, and so no /metrics: start it with one" in done.stderr


def test_on_a_hub_the_link_goes_through_its_proxy(
    cluster: LocalCluster, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ann/")
    link = cluster.dashboard_link
    assert link is not None
    assert link.startswith(f"/user/ann/proxy/{urlsplit(door.dashboard).port}/login?code=")


def test_what_is_saved_and_shown_opens_nothing(cluster: LocalCluster, door: Door) -> None:
    get(door.dashboard, "/health")
    entry = clusters.read(cluster.name)
    assert (entry.dashboard, entry.dashboard_key) == (door.dashboard, door.dashboard_key)
    text, markup = cluster._repr_mimebundle_()["text/plain"], cluster._repr_html_()
    assert f"{door.dashboard}/status (himalia dashboard {cluster.name} opens it)" in text
    assert f"{door.dashboard}/status" in markup
    assert "href=" not in markup, "a link without its code leads to a locked door"
    shown = [text, markup, repr(cluster), repr(entry), repr(vars(cluster._launched)), *cluster.get_logs().values()]
    for child in cluster._launched.processes:
        shown += [Path(f"/proc/{child.pid}/{place}").read_text("latin-1") for place in ("cmdline", "environ")]
    assert not any(secret in one for one in shown for secret in ("code=", *entry.keys.values(), entry.dashboard_key))


def test_a_cluster_works_without_its_dashboard(nothing_left: None) -> None:
    with LocalCluster(n_workers=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        child = cluster._launched.dashboard
        assert child is not None
        child.signal(signal.SIGKILL)
        assert child.wait(PATIENCE)
        assert cluster.status == "running"
        assert client.submit(abs, -1).result(timeout=30) == 1


def test_no_dashboard_is_a_choice(nothing_left: None) -> None:
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        assert cluster.dashboard_link is None
        assert cluster.dashboard_address == clusters.read(cluster.name).dashboard == ""
        assert "not running" in cluster._repr_mimebundle_()["text/plain"]


def test_a_server_in_use_ends_with_its_cluster(nothing_left: None) -> None:
    cluster = LocalCluster(n_workers=0, dashboard_address=":0")
    door = door_of(cluster)
    log_in(door)
    began = time.monotonic()
    cluster.close()
    assert time.monotonic() - began < 3.0
    assert cluster.dashboard_link is None
    with pytest.raises(ConnectionRefusedError):
        get(door.dashboard, "/health")


@pytest.mark.parametrize("visited", [False, True])
def test_nothing_is_left_of_an_owner_that_was_killed(nothing_left: None, visited: bool) -> None:
    program = """
        import time
        from himalia import LocalCluster
        cluster = LocalCluster(n_workers=0, dashboard_address=":0")
        print(cluster.dashboard_address, flush=True)
        time.sleep(60)
        """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            place = owner.stdout.readline().strip().removesuffix("/status")
            assert not visited or get(place, "/health")[0] == 200
        finally:
            owner.kill()


def test_a_taken_port_is_replaced_by_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        door = open_door(port)
        assert door is not None
        with door.listener:
            assert urlsplit(door.dashboard).port not in (port, 0)
            assert door.listener.getsockname()[0] == "127.0.0.1"


def test_a_dashboard_that_lacks_packages_says_so_once_and_in_the_printout(
    nothing_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "NEEDED", ("a_package_that_nobody_has",))
    monkeypatch.setattr(views, "_is_warned", False)
    with LocalCluster(n_workers=0) as cluster, Client(cluster) as client:
        with pytest.warns(UserWarning, match=r"There is no dashboard.*pip install 'himalia\[jupyter\]'"):
            assert cluster.dashboard_link is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert cluster.dashboard_link is client.dashboard_link is None
        assert "himalia[jupyter]" in repr(cluster)
        assert "pip install &#x27;himalia[jupyter]&#x27;" in cluster._repr_html_()
        assert "pip install &#x27;himalia[jupyter]&#x27;" in client._repr_html_()


def test_a_cluster_that_wants_no_dashboard_warns_of_nothing(
    nothing_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "NEEDED", ("a_package_that_nobody_has",))
    monkeypatch.setattr(views, "_is_warned", False)
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cluster.dashboard_link is None
        assert "himalia[jupyter]" not in repr(cluster) + cluster._repr_html_()


@pytest.mark.parametrize("address", ["0.0.0.0:8787", "here", ":99999", "example.org:1", -1])
def test_other_addresses_are_refused(address: str | int) -> None:
    with pytest.raises(UsageError, match="dashboard_address"):
        open_door(address)


def test_the_command_prints_a_link(cluster: LocalCluster, door: Door) -> None:
    command = [sys.executable, "-m", "himalia", "dashboard", cluster.name, "--page", "workers", "--no-browser"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=dict(os.environ), check=True)
    link = done.stdout.strip().removeprefix("Dashboard: ")
    status, headers, _ = get(door.dashboard, link.removeprefix(door.dashboard))
    assert status == 302
    assert headers["Location"] == "workers"


def test_the_command_serves_a_cluster_that_has_no_dashboard(nothing_left: None) -> None:
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        command = [sys.executable, "-m", "himalia", "dashboard", cluster.name, "--no-browser"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                link = server.stdout.readline().strip().removeprefix("Dashboard: ")
                place, path = link.split("/login")
                assert get(place, f"/login{path}")[0] == 302
                cluster.close()
                assert server.wait(PATIENCE) == 0
            finally:
                server.kill()
