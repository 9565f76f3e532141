"""A cluster as static HTML: what a notebook shows, and still shows when it was saved, sent and opened elsewhere.

Decides the markup and the look.  Without the style sheet (a notebook that isn't trusted, GitHub) plain headings,
tables and ``<details>`` remain; there is no script.  Colours are the front end's own where it names some (JupyterLab,
VS Code); else they are made of the surrounding text colour and half-transparent greys, which suit a light page and a
dark one alike: a saved page doesn't say which it is, and ``prefers-color-scheme`` speaks of the reader's system, not
of the page.  Everything that comes from a cluster is escaped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Final

from himalia.deploy.summary import ClusterSummary
from himalia.deploy.text import NO_DASHBOARD, count_of, limit_text, total_memory
from himalia.deploy.units import format_ago

SHOWN: Final = 200
"""Rows of the workers' table at most: about 60 KB of a saved notebook."""

STYLE: Final = """
.himalia-cluster{--h-text:var(--jp-ui-font-color1,var(--vscode-editor-foreground,inherit));
--h-line:var(--jp-border-color2,var(--vscode-panel-border,rgba(128,128,128,.35)));--h-soft:rgba(128,128,128,.09);
--h-link:var(--jp-content-link-color,var(--vscode-textLink-foreground,#4a7fe0));--h-ok:#2fa866;--h-busy:#d9922b;
--h-bad:#dd5b53;--h-off:#8b919b;
--h-code:var(--jp-code-font-family,var(--vscode-editor-font-family,ui-monospace,SFMono-Regular,Menlo,Consolas,monospace));
box-sizing:border-box;max-width:68em;margin:.4em 0;border:1px solid var(--h-line);border-radius:9px;overflow:hidden;
color:var(--h-text);font-family:var(--jp-ui-font-family,var(--vscode-font-family,system-ui,sans-serif));font-size:13px;
line-height:1.45;text-align:left}
.himalia-cluster *{box-sizing:border-box}
.himalia-cluster .h-head{display:flex;align-items:center;gap:.8em;padding:.8em 1em}
.himalia-cluster .h-moon{flex:none;width:30px;height:30px;border-radius:50%;
background:radial-gradient(circle at 64% 62%,rgba(60,48,38,.35) 0 9%,transparent 10%),
radial-gradient(circle at 38% 68%,rgba(60,48,38,.28) 0 6%,transparent 7%),
radial-gradient(circle at 55% 30%,rgba(60,48,38,.25) 0 7%,transparent 8%),
radial-gradient(circle at 32% 30%,#f3e3cd,#c99f74 58%,#7d5a40)}
.himalia-cluster .h-title{flex:1;min-width:0}
.himalia-cluster h3.h-name{margin:0;padding:0;font-size:15px;font-weight:600;line-height:1.3;color:inherit}
.himalia-cluster p.h-id{margin:0;font-family:var(--h-code);font-size:12px;opacity:.7;overflow-wrap:anywhere}
.himalia-cluster .h-status{flex:none;display:inline-flex;align-items:center;gap:.5em;padding:.15em .75em;
border:1px solid var(--h-line);border-radius:99px;font-size:12px}
.himalia-cluster .h-status::before{content:"";width:8px;height:8px;border-radius:50%;background:var(--h-off)}
.himalia-cluster .h-running::before{background:var(--h-ok);box-shadow:0 0 0 3px rgba(47,168,102,.2)}
.himalia-cluster .h-created::before,.himalia-cluster .h-starting::before,.himalia-cluster .h-closing::before
{background:var(--h-busy)}
.himalia-cluster .h-failed::before{background:var(--h-bad)}
.himalia-cluster dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5em,1fr));margin:0;
border-top:1px solid var(--h-line);background:var(--h-soft)}
.himalia-cluster dl>div{padding:.55em 1em;min-width:0}
.himalia-cluster dt{margin:0;font-size:11px;font-weight:400;opacity:.7}
.himalia-cluster dd{margin:0;font-size:14px;font-weight:600;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.himalia-cluster dd.h-off{font-weight:400;opacity:.75}
.himalia-cluster dl.h-facts{grid-template-columns:repeat(auto-fit,minmax(15em,1fr));border:0;background:none;
padding:0 0 .4em}
.himalia-cluster .h-facts>div{padding:.25em 1em}
.himalia-cluster .h-facts dd{font-size:13px;font-weight:400}
.himalia-cluster dd.h-code,.himalia-cluster td.h-code{font-family:var(--h-code);font-size:12px}
.himalia-cluster details{margin:0;border-top:1px solid var(--h-line)}
.himalia-cluster summary{padding:.5em 1em;cursor:pointer;font-weight:600}
.himalia-cluster summary:hover{background:var(--h-soft)}
.himalia-cluster summary small{font-size:12px;font-weight:400;opacity:.7}
.himalia-cluster .h-scroll{overflow-x:auto;padding-bottom:.4em}
.himalia-cluster table{width:100%;margin:0;border:0;border-collapse:collapse;font-size:12px;color:inherit;
background:none}
.himalia-cluster tr,.himalia-cluster tr:hover,.himalia-cluster tbody tr:nth-child(odd){background:none}
.himalia-cluster th,.himalia-cluster td{padding:.4em 1em;border:0;text-align:left;white-space:nowrap;max-width:none}
.himalia-cluster th{font-weight:400;font-size:11px;opacity:.7}
.himalia-cluster tbody tr{border-top:1px solid var(--h-line)}
.himalia-cluster tbody tr:hover{background:var(--h-soft)}
.himalia-cluster td.h-code{white-space:normal;overflow-wrap:anywhere;min-width:13em}
.himalia-cluster td,.himalia-cluster th{vertical-align:top}
.himalia-cluster .h-number{text-align:right;font-variant-numeric:tabular-nums}
.himalia-cluster td.h-off{opacity:.75}
.himalia-cluster a{color:var(--h-link)}
""".replace("\n", "")


def render(summary: ClusterSummary, *, now: float) -> str:
    """Return the HTML of a cluster.

    Parameters
    ----------
    now : float
        Seconds since the epoch that "ago" counts from.
    """
    status = summary.status if summary.status.isalpha() else "unknown"
    return (
        f"<style>{STYLE}</style>"
        '<div class="himalia-cluster">'
        '<div class="h-head"><span class="h-moon" aria-hidden="true"></span>'
        f'<div class="h-title"><h3 class="h-name">{escape(summary.title)}</h3>'
        f'<p class="h-id">{escape(summary.name)}</p></div>'
        f'<span class="h-status h-{status}" title="Status">{status}</span></div>'
        f"<dl>{tiles(summary)}</dl>{scheduler(summary, now)}{workers(summary)}</div>"
    )


def tiles(summary: ClusterSummary) -> str:
    """Return the numbers at the top."""
    return (
        fact("Workers", escape(count_of(summary)))
        + fact("Total threads", str(summary.total_threads))
        + fact("Total memory", total_memory(summary))
        + dashboard_fact(summary.dashboard)
        + fact("Using processes", str(summary.processes))
    )


def scheduler(summary: ClusterSummary, now: float) -> str:
    """Return the section about the scheduler."""
    return (
        "<details><summary>Scheduler info</summary>"
        '<dl class="h-facts">'
        + fact("Id", escape(summary.scheduler_id or "unknown"), code=True)
        + fact("Comm", escape(summary.comm or "none"), code=True)
        + dashboard_fact(summary.dashboard)
        + fact("Workers", escape(count_of(summary)))
        + fact("Total threads", str(summary.total_threads))
        + fact("Started", started(summary.started, now))
        + fact("Total memory", total_memory(summary))
        + "</dl></details>"
    )


def workers(summary: ClusterSummary) -> str:
    """Return the section with a row per worker."""
    heads = ("Name", "Comm", "Threads", "Dashboard", "Memory limit", "Nanny", "Local directory")
    numbers = ("Threads", "Memory limit")
    header = "".join(f'<th class="h-number">{head}</th>' if head in numbers else f"<th>{head}</th>" for head in heads)
    rows = "".join(
        f"<tr><td>{escape(worker.name)}</td>{code(worker.comm)}"
        f'<td class="h-number">{worker.nthreads}</td>'
        f"{dashboard_cell(worker.dashboard)}"
        f'<td class="h-number">{limit_text(worker.memory_limit)}</td>'
        f"{code(worker.nanny)}{code(worker.local_directory)}</tr>"
        for worker in summary.workers[:SHOWN]
    )
    more = len(summary.workers) - SHOWN
    note = f"<p>… and {more} more workers</p>" if more > 0 else ""
    return (
        f"<details><summary>Workers <small>{escape(count_of(summary))}</small></summary>"
        f'<div class="h-scroll"><table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>{note}</div>'
        "</details>"
    )


def fact(name: str, value: str, *, code: bool = False, off: bool = False) -> str:
    """Return a named value; ``value`` is HTML."""
    kind = ' class="h-code"' if code else ' class="h-off"' if off else ""
    return f"<div><dt>{name}</dt><dd{kind}>{value}</dd></div>"


def code(text: str) -> str:
    """Return a cell of an address or a path."""
    return f'<td class="h-code">{escape(text)}</td>'


def dashboard_fact(link: str) -> str:
    """Return the dashboard's place, or that there is none."""
    return fact("Dashboard", anchor(link) if link else NO_DASHBOARD, off=not link)


def dashboard_cell(link: str) -> str:
    """Return the same as a cell of a table."""
    return f"<td>{anchor(link)}</td>" if link else f'<td class="h-off">{NO_DASHBOARD}</td>'


def anchor(link: str) -> str:
    """Return a link that opens a page of its own; what isn't a web address stays text."""
    text = escape(link)
    if not link.startswith(("http://", "https://", "/")):
        return text
    return f'<a href="{text}" target="_blank" rel="noopener noreferrer">{text}</a>'


def started(moment: float, now: float) -> str:
    """Return how long ago, with the time itself for whoever opens the saved notebook later."""
    if not moment:
        return "unknown"
    exact = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f'<time title="{exact}">{format_ago(now - moment)}</time>'
