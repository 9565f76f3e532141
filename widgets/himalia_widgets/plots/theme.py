"""How plots look: text, lines and grounds on light and on dark, in one place.  Data: ``view/colors.py``."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from bokeh.core.properties import value
from bokeh.models import (
    AdaptiveTicker,
    Axis,
    BasicTicker,
    ColumnDataSource,
    CustomJSTickFormatter,
    DataRange1d,
    DatetimeTicker,
    HoverTool,
    LabelSet,
    Legend,
    LinearColorMapper,
    Range1d,
    SingleIntervalTicker,
    Title,
)
from bokeh.plotting import figure

if TYPE_CHECKING:
    from bokeh.core.property.vectorization import Value

from himalia_widgets.view.colors import PALETTE

# A canvas inherits no font from the page.
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'DejaVu Sans', sans-serif"
FONT_VALUE: Final = value(FONT)
"""The same for glyphs, which take a bare string for the name of a column."""
SMALL: Final = "11px"
TEXT: Final = "12px"
NOTE: Final = 64
"""Characters of a line of a note: about 360 pixels, which most windows have."""
NOTE_LINE: Final = 18
"""Pixels of a line of a note."""


@dataclass(frozen=True)
class Theme:
    """Colours that depend on the ground."""

    text: str
    faint: str
    """Text of less weight: axes, units."""
    line: str
    """Grids, and frames of what is full."""
    track: str
    """Ground of a bar."""
    limit: str
    """Lines that mean a limit."""
    tooltip: str
    """Ground of a hover."""


# A dark page replaces these texts in a plot's JSON (widget/js/theme.js): no two may be equal, and nothing else may have
# such a colour.
LIGHT: Final = Theme("#24292f", "#6b7480", "#e3e7ec", "#f1f3f6", "#9aa3ae", "#ffffff")
DARK: Final = Theme("#e2e6ea", "#98a2ae", "#343b44", "#262b32", "#76808c", "#1d2126")

DONE: Final = "#2e9e6b"
RELEASED: Final = "#86c5a6"
RUNNING: Final = "#4a86c8"
FAILED: Final = "#d62f45"
CANCELLED: Final = "#9aa0a8"
STORE: Final = "#4a86c8"
PROCESS: Final = "#8fb4dd"
SPILLED: Final = "#b08a4e"
CPU: Final = "#2ca37c"
WARM: Final = "#e39a2d"
"""Nearing a limit."""

LIGHT_SHADES: Final = ("#eef3f9", "#dbe7f3", "#c5d8ec", "#adc8e4", "#95b8dc", "#7da7d3")
DARK_SHADES: Final = ("#222c38", "#263648", "#2a415a", "#2f4d6e", "#345a83", "#3a6899")

SCALES: Final[dict[str, str]] = {
    "": "return tick >= 1e6 ? tick / 1e6 + ' M' : tick >= 1e4 ? tick / 1e3 + ' k' : String(+tick.toPrecision(4))",
    "percent": "return +(tick * 100).toPrecision(3) + ' %'",
    "seconds": "return tick === 0 ? '0' : tick < 1 ? +(tick * 1000).toPrecision(3) + ' ms' : tick + ' s'",
    "bytes": """
let [value, unit] = [tick, "B"]
for (const next of ["KiB", "MiB", "GiB", "TiB", "PiB"]) if (value >= 1024) [value, unit] = [value / 1024, next]
return `${+value.toPrecision(3)} ${unit}`""",
}
SCALES["bytes/s"] = SCALES["bytes"].replace("${unit}`", "${unit}/s`")
"""How a number is written on a scale."""

CLOCK: Final = """
const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1000
const at = new Date(tick)
const two = (n) => String(n).padStart(2, "0")
let text = `${two(at.getHours())}:${two(at.getMinutes())}`
if (step < 60000) text += `:${two(at.getSeconds())}`
if (step < 1000) text += `.${String(Math.round((tick % 1000) * 1000)).padStart(6, "0").slice(0, step < 1 ? 6 : 3)}`
return text
"""
"""Writes a tick as the clock of whoever looks at the page, as finely as the ticks are apart."""


def new_figure(theme: Theme, *, height: int, title: str = "", tools: str = "", **options: Any) -> figure:
    """Return an empty figure in the house style, as wide as it may be."""
    options.setdefault("x_axis_location", None)
    options.setdefault("y_axis_location", None)
    fig = figure(
        # No ground of its own: the page's shows through, whatever its theme.
        height=height, sizing_mode="stretch_width", output_backend="canvas", tools=tools, toolbar_location=None,
        min_width=240, background_fill_alpha=0.0, border_fill_alpha=0.0, outline_line_color=None,
        min_border=4, **options,
    )  # fmt: skip
    fig.grid.grid_line_color = None
    for axis in fig.axis:
        style_axis(theme, axis)
    if title:
        fig.title = Title(
            text=title,
            text_font=FONT,
            text_font_size="13px",
            text_font_style="bold",
            text_color=theme.text,
            standoff=10,
        )
    return fig


def style_axis(theme: Theme, axis: Axis) -> None:
    """Leave nothing of an axis but its numbers."""
    axis.axis_line_color = None
    axis.major_tick_line_color = None
    axis.minor_tick_line_color = None
    axis.major_label_text_color = theme.faint
    axis.major_label_text_font = FONT
    axis.major_label_text_font_size = SMALL
    axis.axis_label_text_font = FONT
    axis.axis_label_text_font_size = SMALL
    axis.axis_label_text_font_style = "normal"
    axis.axis_label_text_color = theme.faint


def style_legend(theme: Theme, legend: Legend) -> Legend:
    """Make a legend one quiet line."""
    legend.update(
        orientation="horizontal", location="top_left", background_fill_alpha=0.0, border_line_alpha=0.0, padding=0,
        margin=2, spacing=10, label_standoff=3, label_text_font=FONT, label_text_font_size=SMALL,
        label_text_color=theme.text,
        glyph_width=12, glyph_height=12, label_height=14, ncols="auto",
    )  # fmt: skip
    return legend


def text(words: str) -> Value:
    """Return words where a bare string would be the name of a column."""
    return value(words)


def clock_axis(fig: figure, *, ticks: int) -> None:
    """Make the x axis one of epoch milliseconds, written as clock time."""
    fig.xaxis.ticker = DatetimeTicker(desired_num_ticks=ticks)
    # In the page, not here: a server doesn't know the time zone of who looks.
    fig.xaxis.formatter = CustomJSTickFormatter(code=CLOCK)


def scale_axis(fig: figure, unit: str) -> None:
    """Make the y axis a scale of ``bytes``, ``bytes/s``, ``percent`` (of fractions), ``seconds``, or plain numbers."""
    if unit.startswith("bytes"):
        # Ticks at powers of two: round decimal numbers of bytes aren't round in MiB.
        fig.yaxis.ticker = AdaptiveTicker(
            base=1024, mantissas=[1, 2, 4, 8, 16, 32, 64, 128, 256, 512], desired_num_ticks=4
        )
    else:
        fig.yaxis.ticker = BasicTicker(desired_num_ticks=4)
    fig.yaxis.formatter = CustomJSTickFormatter(code=SCALES[unit])


def shades(theme: Theme) -> list[str]:
    """Return colours from next to nothing to most."""
    return list(DARK_SHADES if theme is DARK else LIGHT_SHADES)


def padded_range(*, last: float | None = None) -> DataRange1d:
    """A range as wide as what is drawn, or as the ``last`` seconds of it where that is epoch milliseconds."""
    # In the page, too: the view moves with the data though nothing but columns is sent.
    following = {} if last is None else {"follow": "end", "follow_interval": last * 1000}
    return DataRange1d(range_padding=0.0, **following)


def name_rows(fig: figure, rows: ColumnDataSource) -> None:
    """Make the y axis say the ``label`` of each row of a source, where row 0 is at 0; it follows the source's data."""
    fig.yaxis.ticker = SingleIntervalTicker(interval=1, num_minor_ticks=0)
    # Ticks are also made where there is no row.
    fig.yaxis.formatter = CustomJSTickFormatter(args={"rows": rows}, code="return rows.data.label[tick] ?? ''")


def row_range() -> DataRange1d:
    """Return a range for rows that count downwards."""
    return DataRange1d(flipped=True, range_padding=0.0)


def fixed_rows(count: int) -> Range1d:
    """Return a range for so many rows that count downwards, whether they are there or not."""
    return Range1d(count, 0)


def unit_range() -> Range1d:
    """Return the range of fractions."""
    return Range1d(0.0, 1.0)


def data_colors() -> LinearColorMapper:
    """Return what turns the numbers of ``view/colors.py`` into colours."""
    # Half a number beyond both ends, so that each number falls into the middle of its colour.
    return LinearColorMapper(palette=list(PALETTE), low=-0.5, high=len(PALETTE) - 0.5)


def add_note(theme: Theme, fig: figure, note: ColumnDataSource) -> None:
    """Write the rows of a source, which :func:`note_columns` made, where a figure has nothing to show."""
    # In pixels of the screen: without data the ranges have nothing to place it by.
    words = LabelSet(
        source=note, x="x", y="y", text="text", x_units="screen", y_units="screen",
        text_font=FONT, text_font_size=TEXT, text_color=theme.faint,
    )  # fmt: skip
    fig.add_layout(words)


def note_columns(words: str, pixels: int) -> dict[str, list[Any]]:
    """Return the rows of a note in a figure so many ``pixels`` high; no words, no rows."""
    lines = wrap(words, NOTE)
    # In the middle, but of a high figure where one looks first.
    top = max((pixels + len(lines) * NOTE_LINE) // 2, pixels - 4 * NOTE_LINE)
    return {
        "x": [8] * len(lines),
        # From the bottom, as screens have it.
        "y": [top - (at + 2) * NOTE_LINE for at in range(len(lines))],
        "text": lines,
    }


def new_hover(theme: Theme, *lines: str, **options: Any) -> HoverTool:
    """Return a hover that says these lines, the first with most weight.

    ``@name`` in them stands for a column; Bokeh escapes what it puts there, and doesn't look into it again.  Of the
    colours, Jupyter's own go first, because its page may change from light to dark.
    """
    first, *others = lines
    style = (
        "font: 12px/1.45 system-ui, sans-serif; max-width: 440px; margin: -6px; padding: 6px 9px; border-radius: 3px; "
        f"color: var(--jp-ui-font-color1, {theme.text}); background: var(--jp-layout-color1, {theme.tooltip})"
    )
    rest = "".join(f'<div style="opacity: .8">{line}</div>' for line in others)
    return HoverTool(tooltips=f'<div style="{style}"><div>{first}</div>{rest}</div>', limit=2, **options)
