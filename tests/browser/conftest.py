"""Tests of what a person sees, in a real browser, on real front ends and real clusters.

Run one test, and watch it in a window::

    HIMALIA_HEADED=1 .venv/bin/python -m pytest tests/browser -k <part of its name>

Pictures that tests took are in ``tests/browser/shots/``, which git ignores; a test that failed leaves a picture of
each page there, ``failed-….png``.  ``HIMALIA_CHROMIUM=/path/to/chrome`` chooses another browser.

What is here for a test:

- ``notebook(cells, front="lab")`` opens a notebook in JupyterLab, or with ``front="notebook"`` in Notebook 7
  (:class:`tests.browser.notebook.Notebook`);
- ``open_page(url)`` opens any other page, such as a dashboard, a report or an exported notebook;
- ``jupyter`` is the server of all notebooks, ``chromium`` the browser, each one for all tests of this folder;
- ``light_and_dark`` runs a test twice, with True when it is dark.

Errors that a page reports fail the test.  Without Chromium or JupyterLab tests are skipped and say what is missing;
on a continuous integration (``CI`` is set) that is a failure.  Playwright runs an event loop in the main thread:
``asyncio.run`` has to be called in another.  So both end with the last test of this folder, and other folders' tests
may follow in the same process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Error, expect, sync_playwright

from scripts.bootstrap import BROWSERS, find_browser
from tests.browser.chromium import Complaints, run_chromium, shot
from tests.browser.notebook import Front, Notebook, write_notebook
from tests.browser.servers import JupyterServer, run_server
from tests.integration.leftovers import end_processes, look, wait_until_gone

SIZE = {"width": 1280, "height": 960}
NEEDED = ("anywidget", "jupyterlab", "notebook")
PATIENCE = 20_000
"""ms within which a page has to show what a test expects; Playwright's 5 s are short for two busy cores."""


def give_up(reason: str) -> NoReturn:
    """Skip; on a continuous integration nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Take a picture of each page of a test that failed."""
    report = yield
    if report.when != "teardown" and report.failed:
        item.has_failed = True  # type: ignore[attr-defined]
        for number, page in enumerate(getattr(item, "pages", [])):
            with contextlib.suppress(Error):  # of a page that is closed or hangs; what failed matters more
                shot(page, f"failed-{item.name}-{number}")
    return report


@pytest.fixture(scope="session")
def equipped() -> None:
    """Make sure that all is there, or say what to install."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        give_up(f"needs {', '.join(missing)}: pip install -e '.[test]'")


@pytest.fixture(scope="package")
def chromium(equipped: None, test_run: str, own_place: Path) -> Iterator[Any]:
    """Start the browser."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as driver:
        path = find_browser() or driver.chromium.executable_path
        if not os.path.exists(path):
            give_up(
                f"needs a browser: one of {', '.join(BROWSERS)} on the PATH, or $HIMALIA_CHROMIUM. Debian: sudo apt "
                "install chromium; macOS: brew install chromium; elsewhere: playwright install --with-deps chromium"
            )
        with run_chromium(driver, path) as browser:
            yield browser


@pytest.fixture(scope="package")
def jupyter(equipped: None, test_run: str, own_place: Path) -> Iterator[JupyterServer]:
    """Start the Jupyter server."""
    place = own_place / f"jupyter-{secrets.token_hex(4)}"
    place.mkdir()
    with run_server(place) as server:
        yield server


def new_context(chromium: Any, **options: Any) -> Any:
    return chromium.new_context(**{"viewport": SIZE, "reduced_motion": "reduce"} | options)


@pytest.fixture
def context_for(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., tuple[Any, Complaints]]]:
    """Return a function that makes a browser context (its own cookies) and collects what its pages complain about."""
    contexts = []
    request.node.pages = pages = []

    def make(**options: Any) -> tuple[Any, Complaints]:
        context = new_context(chromium, **options)
        context.on("page", lambda page: pages.append(page))
        contexts.append((context, complaints := Complaints(context)))
        return context, complaints

    yield make
    for context, _ in contexts:
        context.close()
    lines = [line for _, complaints in contexts for line in complaints.lines]
    assert not lines, "errors in the browser:\n" + "\n".join(lines)


@pytest.fixture
def open_page(context_for: Callable[..., tuple[Any, Complaints]]) -> Callable[..., Any]:
    """Return ``open_page(url, *, dark=False, **options_of_the_context)``, whose result is a Playwright page."""

    def open_page(url: str, *, dark: bool = False, **options: Any) -> Any:
        context, _ = context_for(color_scheme="dark" if dark else "light", **options)
        page = context.new_page()
        page.goto(url, timeout=90_000)  # a busy machine: the dashboard gives way to everybody else
        return page

    return open_page


@pytest.fixture(scope="package")
def loaded() -> list[tuple[Any, Complaints]]:
    """Hold the page of JupyterLab, with nothing open in it, that the next test takes, since loading is slow."""
    return []


@pytest.fixture
def notebook(
    jupyter: JupyterServer,
    chromium: Any,
    context_for: Callable[..., tuple[Any, Complaints]],
    loaded: list[tuple[Any, Complaints]],
    request: pytest.FixtureRequest,
    test_run: str,
    own_place: Path,
) -> Iterator[Callable[..., Notebook]]:
    """Return ``notebook(cells, *, front="lab", dark=False, run=True, files={}, fresh=False)``.

    Each notebook is in a folder of its own, with these files.  In JupyterLab it is opened in the page that the test
    before had, unless ``fresh`` or other options of a browser context are asked for.  Afterwards kernels and clusters
    are gone.
    """
    before = look(test_run, own_place)
    reused = []

    def open_reused(path: Path) -> Notebook:
        if loaded:
            page, complaints = loaded.pop()
            page.set_viewport_size(SIZE)
        else:
            context = new_context(chromium)
            complaints = Complaints(context)
            assert context.request.get(jupyter.url + "api/status", headers=jupyter.headers).ok
            page = context.new_page()
        opened = Notebook(page, jupyter, path, "lab", complaints)
        reused.append(opened)
        request.node.pages.append(page)
        opened.open() if page.url == "about:blank" else opened.open_in_page()
        return opened

    def open_fresh(path: Path, front: Front, options: dict[str, Any]) -> Notebook:
        context, complaints = context_for(**options)
        assert context.request.get(jupyter.url + "api/status", headers=jupyter.headers).ok
        opened = Notebook(context.new_page(), jupyter, path, front, complaints)
        opened.open()
        return opened

    def open_notebook(
        cells: list[str] | Path,
        *,
        front: Front = "lab",
        dark: bool = False,
        run: bool = True,
        timeout: float = 60.0,
        files: dict[str, str] | None = None,
        fresh: bool = False,
        **options: Any,
    ) -> Notebook:
        path = jupyter.root / f"n{secrets.token_hex(4)}" / "notebook.ipynb"
        path.parent.mkdir()
        for name, text in (files or {}).items():
            (path.parent / name).write_text(text)
        if isinstance(cells, Path):
            path.write_bytes(cells.read_bytes())
        else:
            write_notebook(path, cells)
        is_fresh = fresh or front != "lab" or options
        opened = open_fresh(path, front, options) if is_fresh else open_reused(path)
        opened.set_dark(dark)
        if run:
            opened.run_all(timeout=timeout)
        return opened

    yield open_notebook
    lines = []
    for opened in reused:
        lines += opened.complaints.lines
        if lines or opened.was_reloaded or getattr(request.node, "has_failed", False):
            opened.page.context.close()
        else:
            opened.clear()
            loaded.append((opened.page, opened.complaints))
    jupyter.end_kernels()
    left = wait_until_gone(test_run, own_place, before)
    end_processes(test_run, before)
    assert not left, "left behind:\n" + "\n".join(left)
    assert not lines, "errors in the browser:\n" + "\n".join(lines)


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def light_and_dark(request: pytest.FixtureRequest) -> bool:
    """Run the test on a light page and on a dark one."""
    return bool(request.param)
