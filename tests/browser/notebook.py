"""A notebook that is open in a page of JupyterLab or Notebook 7, driven as a person would.

Decides how a cell is run and when it is done.  Commands go through the front end's own (``window.jupyterapp``), what
is seen is asked of the page; nothing talks to the kernel past the front end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import nbformat

from tests.browser.chromium import Complaints, shot
from tests.browser.servers import JupyterServer

Front = Literal["lab", "notebook"]

READY = """path => {
  const panel = window.jupyterapp?.shell?.currentWidget, context = panel?.sessionContext;
  return !!(panel?.content?.widgets?.length && context?.isReady && panel.context.isReady && panel.context.path === path
    && (context.session?.kernel?.status === 'idle' || context.isTerminated || context.hasNoKernel));
}"""
"""Whether the notebook is shown and its kernel can be asked."""
OPEN = "path => { window.jupyterapp.commands.execute('docmanager:open', { path }); }"
CLEAR = "() => { for (const widget of [...window.jupyterapp.shell.widgets('main')]) widget.dispose(); }"
"""Closes what is open, without a question whether to save it."""
IDLE = """() => ['idle', 'terminated', 'dead'].includes(
  window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status ?? 'dead')"""
DONE = """index => {
  const cell = window.jupyterapp.shell.currentWidget.content.widgets.filter(w => w.model.type === 'code').at(index);
  return cell.model.executionCount !== null && cell.model.executionState === 'idle';
}"""
"""Whether a code cell has run to its end."""
FAILED = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  const cells = panel.content.widgets.filter(w => w.model.type === 'code');
  const failed = cells.find(cell => cell.model.outputs.toJSON().some(output => output.output_type === 'error'));
  return panel.sessionContext.session?.kernel?.status === 'idle' && cells.at(-1).model.executionState === 'idle'
    ? failed?.outputArea.node.innerText ?? '' : '';
}"""
"""What a cell raised that ended a run of all cells."""
RUNNING = """index => {
  const cell = window.jupyterapp.shell.currentWidget.content.widgets.filter(w => w.model.type === 'code').at(index);
  return cell.model.executionState === 'running';
}"""
APPEND = """source => {
  const content = window.jupyterapp.shell.currentWidget.content;
  content.model.sharedModel.addCell({cell_type: 'code', source, metadata: {}});
  content.activeCellIndex = content.widgets.length - 1;
  window.jupyterapp.commands.execute('notebook:run-cell');
  return content.widgets.filter(w => w.model.type === 'code').length - 1;
}"""
"""Appends a cell and runs it; its index."""
PRINTED = """index => {
  const cell = window.jupyterapp.shell.currentWidget.content.widgets.filter(w => w.model.type === 'code').at(index);
  const outputs = cell.model.outputs.toJSON().filter(output => output.name === 'stdout');
  return outputs.map(output => [output.text].flat().join('')).join('');
}"""
"""What a code cell printed; the page may show it a moment later."""
NOTE_RESTART = """() => {
  window.hasRestarted = false;
  const { sessionContext } = window.jupyterapp.shell.currentWidget;
  sessionContext.statusChanged.connect((_, status) => { window.hasRestarted ||= status === 'restarting'; });
}"""
COMMAND = "([name, args]) => { window.jupyterapp.commands.execute(name, args); }"
"""Starts a command without waiting: Playwright would await the promise, and that of a run lasts as long as it."""


class Notebook:
    """One open notebook; indices count code cells, from 0, or from the end as in lists.

    Attributes
    ----------
    page : playwright.sync_api.Page
        For whatever isn't here.
    path : Path
        Its file.
    front : str
        ``lab`` or ``notebook``.
    was_reloaded : bool
        Whether the page restores what was open in it, later than anybody can wait for.
    complaints : Complaints
        Errors that the page reported; the fixture fails the test for them, unless it cleared the list.
    """

    def __init__(self, page: Any, server: JupyterServer, path: Path, front: Front, complaints: Complaints) -> None:
        self.page = page
        self.server = server
        self.path = path
        self.front = front
        self.complaints = complaints
        self.was_reloaded = False

    # opening

    @property
    def where(self) -> str:
        """Its path below the server's root."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def url(self) -> str:
        """The address at which the front end shows it, and nothing else."""
        front = f"lab/workspaces/{self.path.parent.name}/tree" if self.front == "lab" else "notebooks"
        return f"{self.server.url}{front}/{self.where}"

    def open(self) -> None:
        """Load the page, and wait until the kernel answers."""
        self.page.goto(self.url)
        self.wait_ready()

    def open_in_page(self) -> None:
        """Open it in a JupyterLab that is loaded, and wait until the kernel answers."""
        self.page.evaluate(OPEN, self.where)
        self.wait_ready()

    def clear(self) -> None:
        """Close all that is open in the page, unsaved."""
        self.page.evaluate(CLEAR)

    def wait_ready(self) -> None:
        """Wait until the notebook is shown and its kernel idle."""
        self.page.wait_for_function(READY, arg=self.where, timeout=60_000)

    def reload(self, *, wait: bool = True) -> None:
        """Save, and load the page again; the kernel goes on.  Don't wait if a cell is running."""
        self.save()
        self.was_reloaded = True
        self.page.goto(self.url)  # the page's own address may be that of the notebook that was here before
        if wait:
            self.wait_ready()

    def set_dark(self, dark: bool) -> None:
        """Switch the theme of the front end."""
        self.command("apputils:change-theme", theme=f"JupyterLab {'Dark' if dark else 'Light'}")
        light = "false" if dark else "true"
        self.page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)

    # running

    def command(self, name: str, **args: Any) -> None:
        """Start a command of the front end."""
        self.page.evaluate(COMMAND, [name, args])

    def run_all(self, *, wait: bool = True, timeout: float = 60.0) -> None:
        """Run all cells, and wait until the last is done; one that raises ends it, and the test."""
        self.command("notebook:run-all-cells")
        if wait:
            ended = f"() => ({DONE})(-1) || ({FAILED})()"
            self.page.wait_for_function(ended, timeout=timeout * 1000)
            assert self.page.evaluate(DONE, -1), self.page.evaluate(FAILED)

    def run(self, source: str, *, wait: bool = True, timeout: float = 60.0) -> Any:
        """Append a cell, run it, and return a locator of its output."""
        index = self.page.evaluate(APPEND, source)
        if wait:
            self.wait_done(index, timeout=timeout)
        return self.output(index)

    def value(self, expression: str) -> str:
        """Return what a new cell prints of an expression."""
        self.run(f"print({expression})")
        return str(self.page.evaluate(PRINTED, -1)).strip()

    def wait_done(self, index: int, *, timeout: float = 60.0) -> None:
        """Wait until a cell has run to its end, by whatever outcome."""
        self.page.wait_for_function(DONE, arg=index, timeout=timeout * 1000)

    def wait_running(self, index: int, *, timeout: float = 60.0) -> None:
        """Wait until a cell runs."""
        self.page.wait_for_function(RUNNING, arg=index, timeout=timeout * 1000)

    def interrupt(self) -> None:
        """Interrupt the kernel, as the stop button does."""
        self.command("notebook:interrupt-kernel")

    def restart_kernel(self) -> None:
        """Restart the kernel and answer the question that this asks; outputs stay."""
        self.page.evaluate(NOTE_RESTART)
        self.command("notebook:restart-kernel")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.wait_for_function("() => window.hasRestarted", timeout=60_000)
        self.page.wait_for_function(IDLE, timeout=60_000)

    def save(self) -> Any:
        """Save, and return the notebook that is in the file, as nbformat reads it."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        return nbformat.read(self.path, as_version=4)

    # looking

    def cell(self, index: int) -> Any:
        """Return a locator of a code cell; −1 is the last."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell").nth(index)

    def output(self, index: int) -> Any:
        """Return a locator of all that is below a code cell."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def show(self, index: int) -> Any:
        """Scroll a cell's output into view, and return its locator."""
        output = self.output(index)
        output.scroll_into_view_if_needed()
        return output

    def shot(self, name: str) -> Path:
        """Take a picture of the whole page."""
        return shot(self.page, name)


def write_notebook(path: Path, cells: list[str]) -> None:
    """Write a notebook of code cells; one that starts with ``#md`` is text."""
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    for source in cells:
        is_text = source.startswith("#md")
        make = nbformat.v4.new_markdown_cell if is_text else nbformat.v4.new_code_cell
        notebook.cells.append(make(source.removeprefix("#md").strip()))
    nbformat.write(notebook, path)
