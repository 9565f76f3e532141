"""A flame graph of what user code was doing, or why there is none.

Samples aren't in the history: who has them sets ``samples``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from bokeh.models import LayoutDOM

from himalia.show.unseen import no_samples
from himalia_widgets.plots import theme
from himalia_widgets.plots.base import Plot
from himalia_widgets.view import profile, units
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.marks import Columns
from himalia_widgets.view.text import hover, label

LEVEL: Final = 20
"""Pixels of a frame."""
LETTER: Final = 7.0
"""Pixels of a letter, about."""
REASON: Final = 300
"""Characters of what stands in place of the frames."""
WIDTH: Final = 900
"""Pixels that the plot is taken to be wide where its labels are cut."""


class ProfilePlot(Plot):
    """Sources ``frames`` and ``note``, which says why there are none.

    Attributes
    ----------
    samples : mapping
        By worker: ``(time, stack, count)`` each, as ``Source.profile`` returns them.
    function : str or None
        Show only stacks with this function, from there on.
    since : float
        Show only samples from then on, epoch seconds.
    problems : mapping
        By nanny address: why its workers can't be looked at.
    advice : str
        What it means that nobody saw anything, see :func:`himalia.show.unseen.no_samples`.
    """

    name: ClassVar[str] = "profile"
    title: ClassVar[str] = "Profile"
    height: ClassVar[int] = 400
    follows_history_only: ClassVar[bool] = False

    def __init__(self, **options: Any) -> None:
        self.samples: profile.Samples = {}
        self.function: str | None = None
        self.since = 0.0
        self.problems: Mapping[str, str] = {}
        self.advice = "ask again while they run."
        super().__init__(**options)

    def build(self) -> LayoutDOM:
        fig = theme.new_figure(
            self.theme, height=self.pixels, x_range=theme.unit_range(), tools="xwheel_zoom,xpan,reset",
            # Rows of a fixed height: with a range that follows the data a shallow profile would have frames like
            # towers.
            y_range=theme.fixed_rows(max(4, (self.pixels - 10) // LEVEL)),
        )  # fmt: skip
        frames = self.source("frames", "left right top bottom middle color name text place detail")
        drawn = fig.quad(
            source=frames, left="left", right="right", top="top", bottom="bottom", line_color=self.theme.tooltip,
            fill_color={"field": "color", "transform": theme.data_colors()}, fill_alpha=0.85,
        )  # fmt: skip
        fig.text(
            # On the frame's colour, not on the page's ground, so the text is dark in both themes.
            source=frames, x="left", y="middle", text="text", x_offset=5, text_baseline="middle",
            text_font=theme.FONT_VALUE, text_font_size=theme.SMALL, text_color="#14181d",
        )  # fmt: skip
        fig.add_tools(
            theme.new_hover(
                self.theme, "<b>@name</b>", "@place", "@detail", renderers=[drawn], point_policy="follow_mouse"
            )
        )
        theme.add_note(self.theme, fig, self.source("note", "x y text"))
        return fig

    def columns(self, history: History) -> dict[str, Columns]:
        root = profile.tree(self.samples, since=self.since, function=self.function, worker=self.worker)
        found = profile.flames(root)
        # What was submitted has its colour of everywhere else; frames are many, and take what colours are left.
        numbers = history.colors.with_others(one.function for one in found)
        return {
            "frames": {
                "left": [one.left for one in found],
                "right": [one.right for one in found],
                "top": [one.depth + 0.0 for one in found],
                "bottom": [one.depth + 1.0 for one in found],
                "middle": [one.depth + 0.5 for one in found],
                "color": [numbers[one.function] for one in found],
                "name": [hover(one.function) for one in found],
                "text": [fitting(one) for one in found],
                "place": [hover(one.place) for one in found],
                "detail": [
                    f"{units.percent(one.count / root.count)} of {units.count(root.count)} samples, "
                    f"{units.percent(one.own / root.count)} in itself"
                    for one in found
                ],
            },
            "note": theme.note_columns("" if found else self.reason(), self.pixels),
        }  # fmt: skip

    def reason(self) -> str:
        """Say why there is nothing to draw."""
        if self.problems:
            return label(" · ".join(f"{address}: {why}" for address, why in self.problems.items()), REASON)
        if any(self.samples.values()):
            return "No samples of what is chosen: there are some of other functions, workers or times."
        return no_samples(self.advice)


def fitting(one: profile.Flame) -> str:
    """Return as much of a frame's name as fits into it."""
    letters = int((one.right - one.left) * WIDTH / LETTER) - 2
    return label(one.function, letters) if letters >= 4 else ""
