"""How IPython shows a list of futures: as how many there are in each status, not as one line for each.

Decides when a list is one of futures.  What ``client.map`` returns is a plain list, because Dask and much else looks
for exactly that type, so the look is registered with IPython, as it means it to be; every other list looks as before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeGuard

from himalia.client.future import AnyFuture, Future, name_of_user, records_of
from himalia.client.pictures import look_at_futures
from himalia.client.reprs import Futures, count_statuses, function_words, futures_html, futures_text
from himalia.views import find_live_views, find_shell

if TYPE_CHECKING:
    from IPython.lib.pretty import PrettyPrinter

SHORT: Final = 5
"""Futures up to which the text lists them all."""
LOOKED_AT: Final = 10_000
"""Futures of which the functions are named: about 10 ms."""


def register() -> None:
    """Tell IPython, if this process runs in it; a second time does nothing."""
    formatter = getattr(find_shell(), "display_formatter", None)
    if formatter is None or formatter.ipython_display_formatter.for_type(list) is show:
        return
    formatter.ipython_display_formatter.for_type(list, show)
    # for_type() without a function tells which is there.
    html, plain = formatter.formatters["text/html"], formatter.formatters["text/plain"]
    html.for_type(list, html_or(html.for_type(list)))
    plain.for_type(list, text_or(plain.for_type(list)))


def is_of_futures(value: list[object]) -> TypeGuard[list[AnyFuture]]:
    """Whether there is something in a list, and nothing but futures."""
    # The first item tells nearly always: every list that a cell shows comes by here.
    return bool(value) and isinstance(value[0], Future) and all([isinstance(item, Future) for item in value])


def describe(value: list[AnyFuture]) -> Futures:
    """Return what is shown of these futures."""
    names = {index: name for index, future in enumerate(value) if (name := name_of_user(future)) is not None}
    step = -(-len(value) // LOOKED_AT)
    return Futures(records_of(value), names, function_words(future.key for future in value[::step]))


def show(value: list[object]) -> None:
    """Show a list of futures live; what can't be shown so is left to the other formatters."""
    views = find_live_views()
    if views is None or not is_of_futures(value) or all([future.done() for future in value]):
        raise NotImplementedError  # which tells IPython to ask them
    views.show_live(look_at_futures(describe(value)))


def html_or(before: Callable[[list[object]], str | None] | None) -> Callable[[list[object]], str | None]:
    """Return what makes HTML of a list of futures, and of another list what was made before."""

    def make(value: list[object]) -> str | None:
        if is_of_futures(value):
            return futures_html(describe(value))
        return before(value) if before is not None else None

    return make


def text_or(before: Callable[[list[object], object, bool], None]) -> Callable[[list[object], object, bool], None]:
    """Return what prints a list of futures in a line, and another list as before."""

    def print_list(value: list[object], printer: PrettyPrinter, cycle: bool) -> None:
        if len(value) > SHORT and is_of_futures(value):
            printer.text(futures_text(count_statuses(records_of(value))))
        else:
            before(value, printer, cycle)

    return print_list
