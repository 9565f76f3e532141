"""The performance report: one file that opens anywhere, without a network, light or dark as its reader prefers.

Every plot is in it twice, light and dark, and drawn once.  Whatever a user supplied is escaped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from html import escape
from typing import Final

from bokeh.embed import json_item
from bokeh.resources import Resources

from himalia.client.versions import versions_here
from himalia.named_file import write_text
from himalia.show.plain import Plain
from himalia.show.unseen import no_samples
from himalia.version import __version__
from himalia_widgets.cell.recorder import CellRecorder
from himalia_widgets.plots import make_plot
from himalia_widgets.plots.profile import ProfilePlot
from himalia_widgets.view.units import count, seconds, size

SECTIONS: Final[tuple[tuple[str, str], ...]] = (
    ("task_stream", "Task stream"), ("memory", "Memory"), ("cpu", "CPU"), ("transfers", "Transfers"),
    ("system", "System"), ("profile", "Profile"),
)  # fmt: skip
"""Plots and their titles; the profile last, which there may be none of."""
UNSEEN: Final = "this report asked, and none was running when somebody looked."
# Not widgets, tables, GL and MathJax, which no plot uses and which are twice as large as all the rest.
BOKEH: Final = Resources(mode="inline", components=["bokeh"])
STYLE: Final = """
:root { color-scheme: light dark; --ground: #fff; --card: #f6f7f9; --text: #1b1f24; --faint: #667; --bad: #c62828 }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171b; --card: #1e2329; --text: #e4e8ec; --faint: #98a2ad; --bad: #ff7b72 } }
body { background: var(--ground); color: var(--text); font: 14px/1.45 system-ui, sans-serif; max-width: 1100px;
  margin: 24px auto; padding: 0 20px }
h1 { font-size: 22px; margin: 0 } h2 { font-size: 15px; margin: 28px 0 8px } .faint { color: var(--faint) }
.cards { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 10px; margin: 18px 0 }
@media (max-width: 640px) { .cards { grid-template-columns: repeat(2, minmax(0, 1fr)) } }
.cards div { background: var(--card); border-radius: 8px; padding: 8px 14px; overflow-wrap: anywhere }
.cards b { display: block; font-size: 18px; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: 2px 18px 2px 0; text-align: right }
td:first-child, th:first-child { text-align: left }
th { color: var(--faint); font-weight: 500 } .bad { color: var(--bad) }
pre { white-space: pre-wrap; background: var(--card); border-radius: 8px; padding: 8px 14px }
"""
DRAW: Final = """
const items = JSON.parse(document.getElementById("items").textContent);
const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
for (const [name, item] of Object.entries(items[theme])) Bokeh.embed.embed_item(item, "plot-" + name);
"""


def write(recorder: CellRecorder, filename: str, problem: str = "") -> None:
    """Write what was recorded; ``problem`` is the error that ended the block."""
    write_text(filename, page(recorder, problem))


def page(recorder: CellRecorder, problem: str = "") -> str:
    """Return the report."""
    is_seen = any(recorder.samples.samples.values())
    sections = SECTIONS if is_seen else SECTIONS[:-1]
    plots = "".join(f"<h2>{title}</h2><div id='plot-{name}'></div>" for name, title in sections)
    items = {theme: draw(recorder, sections, dark=theme == "dark") for theme in ("light", "dark")}
    # Else a name with "</script>" in it would end the element.
    data = json.dumps(items).replace("<", "\\u003c")
    profile = "".join(
        f"<p class='bad'>{escape(f'{host}: {why}')}</p>" for host, why in recorder.samples.problems.items()
    )
    if not is_seen:
        # In a line: an empty flame graph would be a hole in the page.
        why = "" if profile else f"<p class='faint'>{escape(no_samples(UNSEEN))}</p>"
        profile = f"<h2>Profile</h2>{why}{profile}"
    missing = recorder.missing()
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(recorder.started))
    return (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>himalia report</title>"
        # An empty icon: otherwise a browser asks for one wherever the file came from.
        f"<link rel='icon' href='data:,'><style>{STYLE}</style>{BOKEH.render_js()}</head><body>"
        f"<h1>Performance report</h1><div class='faint'>{began}, himalia {__version__}</div>"
        f"{cards(recorder)}{notice('p', missing)}{notice('pre', problem)}"
        f"<h2>Functions</h2>{table(recorder)}{plots}{profile}<h2>Versions</h2>{versions()}"
        f"<script type='application/json' id='items'>{data}</script><script>{DRAW}</script></body></html>"
    )


def draw(recorder: CellRecorder, sections: Iterable[tuple[str, str]], *, dark: bool) -> Plain:
    """Return the plots of these sections as what BokehJS embeds."""
    items = {}
    for name, _ in sections:
        # A plot of its own for each theme: its colours are part of what is embedded.
        plot = make_plot(name, dark=dark, live=False)
        if isinstance(plot, ProfilePlot):
            plot.samples = recorder.samples.samples
        plot.update(recorder.history)
        items[name] = json_item(plot.root)
    return items


def cards(recorder: CellRecorder) -> str:
    """Return the numbers of the whole."""
    groups = recorder.groups()
    workers = [worker for _, worker in recorder.history.workers]
    threads = sum(worker.nthreads for worker in workers)
    compute = sum(row["compute"] for row in groups)
    facts = [
        ("duration", seconds(recorder.stopped - recorder.started)),
        ("tasks", count(sum(row["done"] + row["failed"] for row in groups))),
        ("failed", count(sum(row["failed"] for row in groups))),
        ("cancelled", count(sum(row["cancelled"] for row in groups))),
        ("computing", f"{compute:,.1f} thread-s"),
        ("transferring", seconds(sum(row["transfer"] for row in groups))),
        ("(de)serializing", seconds(sum(row["serialize"] + row["deserialize"] for row in groups))),
        ("workers", f"{count(len(workers))} with {count(threads)} thread{'s' if threads != 1 else ''}"),
    ]
    # As many as fill rows of four, or of two where there is little room: none is alone in the last one.
    return "<div class='cards'>" + "".join(f"<div><b>{value}</b>{name}</div>" for name, value in facts) + "</div>"


def table(recorder: CellRecorder) -> str:
    """Return a row for each function."""
    rows = "".join(
        f"<tr><td>{escape(row['name'])}</td><td>{row['done']:,}</td>"
        f"<td{' class=bad' if row['failed'] else ''}>{row['failed']:,}</td><td>{seconds(row['compute'])}</td>"
        f"<td>{seconds(row['compute'] / max(1, row['finished']))}</td>"
        f"<td>{seconds(row['transfer'])}</td><td>{size(row['nbytes'])}</td></tr>"
        for row in recorder.groups()
    )
    names = ("function", "finished", "failed", "computing", "each", "transferring", "results")
    return f"<table><tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>{rows}</table>"


def versions() -> str:
    """Return the packages of this process, which is the client's."""
    found = versions_here([])
    return f"<p class='faint'>{escape(', '.join(f'{name} {version}' for name, version in found.items()))}</p>"


def notice(tag: str, text: str) -> str:
    """Return a paragraph of something bad, or nothing if there is nothing to say."""
    return f"<{tag} class='bad'>{escape(text)}</{tag}>" if text else ""
