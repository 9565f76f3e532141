"""A Jupyter server with JupyterLab and Notebook 7 in folders of its own; what it may see of the person's is nothing.

Decides how the server is started, known to be ready and ended.  One server serves both front ends, as it does for
people who install both.  Its token is in a file that only this user can read, never in an argument or an address.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START = 60.0
"""Seconds until the server answers; a cold one on two busy cores takes about ten."""
ANY_CERTIFICATE = ssl.create_default_context()
ANY_CERTIFICATE.check_hostname = False
ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE

CONFIG = """
c.IdentityProvider.token = {token!r}
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = 0
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
c.ServerApp.terminals_enabled = False
c.ServerApp.root_dir = {root!r}
c.ServerApp.base_url = {base!r}
c.ServerApp.certfile = {certificate!r}
c.LabApp.expose_app_in_browser = True
c.JupyterNotebookApp.expose_app_in_browser = True
"""
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
"""What a person would have clicked away."""


@dataclass(frozen=True)
class JupyterServer:
    """A running server.

    Attributes
    ----------
    url : str
        Ends with a slash.
    token : str
        For :meth:`ask`; browsers get a cookie by it.
    root : Path
        Where its notebooks are.
    log : Path
        What the server, and the kernels, wrote on their stderr.
    """

    url: str
    token: str
    root: Path
    log: Path

    @property
    def headers(self) -> dict[str, str]:
        """What lets a request in."""
        return {"Authorization": f"token {self.token}"}

    def ask(self, path: str, method: str = "GET") -> Any:
        """Call the server's REST API."""
        request = urllib.request.Request(self.url + path, method=method, headers=self.headers)
        with urllib.request.urlopen(request, timeout=30, context=ANY_CERTIFICATE) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def end_kernels(self) -> None:
        """End all kernels and sessions, and the clusters that live in them."""
        for kernel in self.ask("api/kernels"):
            try:
                self.ask(f"api/kernels/{kernel['id']}", "DELETE")
            except urllib.error.HTTPError as error:
                if error.code != 404:  # gone meanwhile
                    raise


def environment(place: Path) -> dict[str, str]:
    """Return the tests' own environment, with all that Jupyter and IPython keep moved to ``place``."""
    homes = {
        "HOME": "home",
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    for name in homes.values():
        (place / name).mkdir(mode=0o700, exist_ok=True)
    dropped = ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "JUPYTER_TOKEN")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {name: str(place / folder) for name, folder in homes.items()}


@contextmanager
def run_server(place: Path, *, base: str = "/", certificate: str = "") -> Iterator[JupyterServer]:
    """Start a server in this folder, and end it with its kernels.

    Parameters
    ----------
    base : str
        Path below which all of it is.
    certificate : str
        Path of a file with a certificate and its key, for https.
    """
    token = secrets.token_hex(16)
    variables = environment(place)
    (place / "notebooks").mkdir()
    config = place / "config" / "jupyter_server_config.py"
    config.touch(mode=0o600)
    config.write_text(CONFIG.format(token=token, root=str(place / "notebooks"), base=base, certificate=certificate))
    for name, values in SETTINGS.items():
        file = place / "settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    log = place / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab"], env=variables, cwd=place, stdout=output, stderr=output
        )
    try:
        url = wait_for_url(process, place / "runtime", log)
        server = JupyterServer(url=url, token=token, root=place / "notebooks", log=log)
        yield server
        server.end_kernels()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def wait_for_url(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Return the address that the server tells in its runtime file, once it answers there."""
    deadline = time.monotonic() + START
    info = runtime / f"jpserver-{process.pid}.json"
    while process.poll() is None and time.monotonic() < deadline:
        try:
            url = str(json.loads(info.read_text())["url"])
            with urllib.request.urlopen(url + "api", timeout=5, context=ANY_CERTIFICATE):
                return url
        except (OSError, ValueError):
            time.sleep(0.05)
    raise RuntimeError(f"JupyterLab did not start within {START:.0f} s; its last lines:\n{log.read_text()[-3000:]}")
