"""The look of everything that is shown as static HTML: one small style sheet, and the few pieces that it knows.

Decides the markup and the look.  Without the style sheet (a notebook that isn't trusted, GitHub) plain headings,
lists, tables and ``<details>`` remain; there is no script.  Colours are the front end's own where it names some
(JupyterLab, VS Code); else they are made of the surrounding text colour and half-transparent greys, which suit a light
page and a dark one alike: a saved page doesn't say which it is, and ``prefers-color-scheme`` speaks of the reader's
system, not of the page.

Cards stand under widgets of the same family: they have the same ground and the same edges, for which they reach into
the 20 pixels that JupyterLab keeps free at the right of all HTML.

Pieces take text and escape it, except where a parameter is said to be HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

STYLE: Final = """
.himalia{--h-text:var(--jp-ui-font-color1,var(--vscode-editor-foreground,inherit));
--h-line:var(--jp-border-color2,var(--vscode-panel-border,rgba(128,128,128,.35)));--h-soft:rgba(128,128,128,.09);
--h-link:var(--jp-content-link-color,var(--vscode-textLink-foreground,#4a7fe0));--h-ok:#2fa866;--h-busy:#d9922b;
--h-bad:#dd5b53;--h-off:#8b919b;
--h-code:var(--jp-code-font-family,var(--vscode-editor-font-family,ui-monospace,SFMono-Regular,Menlo,Consolas,monospace));
box-sizing:border-box;max-width:82em;margin:4px 0;border:1px solid var(--h-line);border-radius:9px;overflow:hidden;
background:var(--jp-layout-color1,var(--vscode-editor-background,transparent));
color:var(--h-text);font-family:var(--jp-ui-font-family,var(--vscode-font-family,system-ui,sans-serif));font-size:13px;
line-height:1.45;text-align:left}
.jp-RenderedHTMLCommon>.himalia{margin-inline-end:-20px}
.himalia *{box-sizing:border-box}
.himalia .h-head{display:flex;align-items:center;gap:.8em;padding:.8em 1em}
.himalia .h-moon{flex:none;width:30px;height:30px;border-radius:50%;
background:radial-gradient(circle at 64% 62%,rgba(60,48,38,.35) 0 9%,transparent 10%),
radial-gradient(circle at 38% 68%,rgba(60,48,38,.28) 0 6%,transparent 7%),
radial-gradient(circle at 55% 30%,rgba(60,48,38,.25) 0 7%,transparent 8%),
radial-gradient(circle at 32% 30%,#f3e3cd,#c99f74 58%,#7d5a40)}
.himalia .h-title{flex:1;min-width:0}
.himalia h3.h-name{margin:0;padding:0;font-size:15px;font-weight:600;line-height:1.3;color:inherit}
.himalia p.h-id{margin:0;font-family:var(--h-code);font-size:12px;opacity:.7;overflow-wrap:anywhere}
.himalia .h-status{flex:none;display:inline-flex;align-items:center;gap:.5em;padding:.15em .75em;
border:1px solid var(--h-line);border-radius:99px;font-size:12px}
.himalia .h-status::before{content:"";width:8px;height:8px;border-radius:50%;background:var(--h-off)}
.himalia .h-was::before{display:none}
.himalia .h-running::before{background:var(--h-ok);box-shadow:0 0 0 3px rgba(47,168,102,.2)}
.himalia .h-created::before,.himalia .h-starting::before,.himalia .h-closing::before
{background:var(--h-busy)}
.himalia .h-failed::before{background:var(--h-bad)}
.himalia dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5em,1fr));margin:0;
border-top:1px solid var(--h-line);background:var(--h-soft)}
.himalia dl>div{padding:.55em 1em;min-width:0}
.himalia dt{display:block;float:none;width:auto;margin:0;font-size:11px;font-weight:400;opacity:.7}
.himalia dd{margin:0;font-size:14px;font-weight:600;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.himalia dd.h-off{font-weight:400;opacity:.75}
.himalia dl.h-facts{grid-template-columns:repeat(auto-fit,minmax(15em,1fr));border:0;background:none;
padding:0 0 .4em}
.himalia dl+dl.h-facts{padding-top:.4em}
.himalia .h-facts>div{padding:.25em 1em}
.himalia .h-facts dd{font-size:13px;font-weight:400}
.himalia dd.h-code,.himalia td.h-code{font-family:var(--h-code);font-size:12px}
.himalia details{margin:0;border-top:1px solid var(--h-line)}
.himalia summary{padding:.5em 1em;cursor:pointer;font-weight:600}
.himalia summary:hover{background:var(--h-soft)}
.himalia summary small{font-size:12px;font-weight:400;opacity:.7}
.himalia .h-scroll{overflow-x:auto;padding-bottom:.4em}
.himalia table{width:100%;margin:0;border:0;border-collapse:collapse;font-size:12px;color:inherit;
background:none}
.himalia tr,.himalia tr:hover,.himalia tbody tr:nth-child(odd){background:none}
.himalia th,.himalia td{padding:.4em 1em;border:0;text-align:left;white-space:nowrap;max-width:none}
.himalia th{font-weight:400;font-size:11px;opacity:.7}
.himalia tbody tr{border-top:1px solid var(--h-line)}
.himalia tbody tr:hover{background:var(--h-soft)}
.himalia td.h-code{white-space:normal;overflow-wrap:anywhere;min-width:13em}
.himalia td,.himalia th{vertical-align:top}
.himalia .h-number{text-align:right;font-variant-numeric:tabular-nums}
.himalia td.h-off{opacity:.75}
.himalia a{color:var(--h-link)}
.himalia .h-share{display:flex;height:6px;background:var(--h-soft)}
.himalia .h-share>span{height:6px}
.himalia .h-finished::before,.himalia .h-share .h-finished{background:var(--h-ok)}
.himalia .h-pending::before,.himalia .h-share .h-pending{background:var(--h-busy)}
.himalia .h-error::before,.himalia .h-lost::before,.himalia .h-share .h-error{background:var(--h-bad)}
.himalia .h-share .h-cancelled{background:var(--h-off)}
.himalia .h-scroll>p{margin:0;padding:.4em 1em;font-size:12px;opacity:.7}
.himalia pre{margin:0;padding:.4em 1em;max-height:20em;overflow:auto;border:0;background:none;color:inherit;
font-family:var(--h-code);font-size:12px;white-space:pre-wrap;overflow-wrap:anywhere}
""".replace("\n", "")
NO_BREAK: Final = "\N{NO-BREAK SPACE}"


def card(
    title: str, subject: str, *, status: str, content: str, label: str = "", taken: float = 0.0, moon: bool = False
) -> str:
    """Return a framed card with its style sheet.

    Parameters
    ----------
    subject : str
        What it is a card of; in small letters under the title.
    status : str
        Colours the mark at the right.
    content : str
        HTML: what is below.
    label : str
        Text of that mark, if it isn't the status itself.
    taken : float
        When it was so, epoch seconds, of what may have changed since: told, and no mark that looks alive is beside it.
        0: it stays so.
    moon : bool
        Whether the picture of a moon is at the left.
    """
    # It becomes a part of an attribute: what a peer calls its status must not end that.
    known = status if status.isalpha() else "unknown"
    when = "Status"
    if taken:
        label = label or f"as of {time_of_day(taken)}"
        when = f"So it was at {exact(taken)}; it may have changed since."
        # A green mark would say that it runs now, whenever somebody opens the notebook.
        known = "was"
    picture = '<span class="h-moon" aria-hidden="true"></span>' if moon else ""
    return (
        # With every card: outputs are saved, copied and cleared one by one, so none may lean on another.
        f"<style>{STYLE}</style>"
        # Notebooks typeset what stands between dollar signs; MathJax 3 and 2 are told by these classes to leave it.
        '<div class="himalia mathjax_ignore tex2jax_ignore">'
        f'<div class="h-head">{picture}'
        f'<div class="h-title"><h3 class="h-name">{escape(title)}</h3>'
        f'<p class="h-id">{escape(subject)}</p></div>'
        f'<span class="h-status h-{known}" title="{when}">{escape(label or known)}</span></div>'
        f"{content}</div>"
    )


def facts(*items: str, fine: bool = False) -> str:
    """Return a row of what :func:`fact` made; ``fine``: in small letters, inside a section."""
    kind = ' class="h-facts"' if fine else ""
    return f"<dl{kind}>{''.join(items)}</dl>"


def fact(name: str, value: str, *, code: bool = False, off: bool = False) -> str:
    """Return a named value; ``value`` is HTML."""
    kind = ' class="h-code"' if code else ' class="h-off"' if off else ""
    return f"<div><dt>{escape(name)}</dt><dd{kind}>{value}</dd></div>"


def listed(text: str) -> str:
    """Return a list of words as HTML whose lines break at commas only."""
    return escape(", ".join(part.replace(" ", NO_BREAK) for part in text.split(", ")))


def section(title: str, content: str, *, note: str = "") -> str:
    """Return a part that folds; ``content`` is HTML."""
    small = f" <small>{escape(note)}</small>" if note else ""
    return f"<details><summary>{escape(title)}{small}</summary>{content}</details>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = (), more: int = 0) -> str:
    """Return a table that scrolls sideways.

    Parameters
    ----------
    heads : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        Cells as HTML, see :func:`cell` and :func:`code`.
    numbers : sequence of str
        Names of columns that stand to the right.
    more : int
        Rows that were left out.
    """
    classes = [' class="h-number"' if head in numbers else "" for head in heads]
    header = "".join(f"<th{kind}>{escape(head)}</th>" for head, kind in zip(heads, classes, strict=True))
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    note = f"<p>… and {more:,} more</p>" if more > 0 else ""
    return f'<div class="h-scroll"><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>{note}</div>'


def cell(text: object, *, number: bool = False, off: bool = False) -> str:
    """Return a cell of a table."""
    kind = ' class="h-number"' if number else ' class="h-off"' if off else ""
    return f"<td{kind}>{escape(str(text))}</td>"


def code(text: object) -> str:
    """Return a cell of an address, a path or a key."""
    return f'<td class="h-code">{escape(str(text))}</td>'


def share(counts: Mapping[str, int]) -> str:
    """Return a bar that is divided like these counts; their names are statuses."""
    # Nothing of nothing is an empty bar.
    total = sum(counts.values()) or 1
    parts = "".join(
        f'<span class="h-{status}" style="width:{100 * count / total:.2f}%"></span>'
        for status, count in counts.items()
        if count
    )
    return f'<div class="h-share" aria-hidden="true">{parts}</div>'


def time_of_day(moment: float, form: str = "%H:%M:%S") -> str:
    """Return a time, epoch seconds, as a clock on the wall shows it."""
    return datetime.fromtimestamp(moment).astimezone().strftime(form)


def exact(moment: float) -> str:
    """Return a time, epoch seconds, for whoever reads it elsewhere and later."""
    # In UTC, since the reader may sit in another time zone than the cluster.
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
