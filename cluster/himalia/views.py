"""The way from the runtime to what a person sees, which is another package that needn't be installed.

This module finds out whether there are views: ``himalia_widgets`` with what it stands on.  They are imported when
somebody looks, never by a worker, and everything here works without them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Final, NamedTuple

NEEDED: Final = ("anywidget", "bokeh", "ipywidgets")
"""Packages that ``himalia_widgets`` stands on; the extra ``himalia[jupyter]`` brings them."""


class Look(NamedTuple):
    """How something looks now that is shown live."""

    markup: str
    """HTML."""
    text: str
    """What stands for it where there is no HTML."""
    is_final: bool
    """Whether it will look like this for ever."""


def find_views() -> ModuleType | None:
    """Return ``himalia_widgets.hooks``, or None where it or something that it needs isn't installed."""
    # By a text: the runtime doesn't depend on the package.
    return importlib.import_module("himalia_widgets.hooks") if has_views() else None


def has_views() -> bool:
    """Whether :func:`find_views` would return something; imports nothing."""
    names = ("himalia_widgets", *NEEDED)
    return all(name in sys.modules or importlib.util.find_spec(name) is not None for name in names)


def find_live_views() -> ModuleType | None:
    """Return the same in a notebook's kernel; None elsewhere: there is no page that could change."""
    return find_views() if in_notebook() else None


def runs_by_itself(environment: Mapping[str, str]) -> bool:
    """Whether the cell that runs is executed with nobody before its page, such as by nbconvert or papermill.

    Parameters
    ----------
    environment : mapping
        Variables of this process.
    """
    # The message says whether anybody can be asked for input: nbclient, which these are made of, says no.
    kernel = getattr(find_shell(), "kernel", None)
    if kernel is None:
        return False
    content = kernel.get_parent("shell").get("content", {})
    # Voila executes by nbclient too, and then shows the page to a person.
    is_shown = environment.get("SERVER_SOFTWARE", "").startswith("voila")
    return not content.get("allow_stdin", True) and not is_shown


def missing() -> str:
    """Say what to do where :func:`find_views` returns None."""
    return "Views need more packages than computing does: pip install 'himalia[jupyter]'."


def warn_of_missing() -> None:
    """Warn that there is no dashboard and say what to install, once in this process."""
    global _is_warned
    if not _is_warned:
        _is_warned = True
        # At the line that asked for a dashboard: this is two calls below it.
        warnings.warn(f"There is no dashboard. {missing()}", UserWarning, stacklevel=3)


_is_warned = False


def find_shell() -> object:
    """Return the IPython that runs in this process, or None; IPython is not imported for it."""
    # Without an import: where IPython isn't loaded, this is no notebook.
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel, whose output is shown in a page."""
    return getattr(find_shell(), "kernel", None) is not None
