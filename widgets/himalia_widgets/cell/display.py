"""A text in a cell's output that is replaced from any thread, whatever cell runs meanwhile.

It is a display that is updated, no widget: it needs no JavaScript, and its last state is what the notebook keeps.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from IPython.display import display, update_display


def show(markup: str, text: str = "") -> Callable[..., None]:
    """Show HTML in the cell that runs; return a function that replaces it.

    Parameters
    ----------
    markup : str
        HTML.
    text : str
        What stands for it where there is no HTML.
    """
    name = f"himalia-{secrets.token_hex(8)}"
    display(bundle(markup, text), raw=True, display_id=name)

    def replace(markup: str, text: str = "") -> None:
        update_display(bundle(markup, text), raw=True, display_id=name)

    return replace


def show_under(publisher: Any, header: Mapping[str, Any]) -> Callable[[str, str], None]:
    """Return a function that shows HTML, and what stands for it, under a cell that may have ended; then replaces it.

    What is sent bears the header of the message that had the cell executed: that is how a front end knows where it
    belongs.  A page that was reloaded since knows neither the old cell nor the display; it shows what was saved.

    Parameters
    ----------
    publisher : ipykernel.zmqshell.ZMQDisplayPublisher
        That of the kernel.
    header : dict
        Of the message that had the cell executed.
    """
    name = f"himalia-{secrets.token_hex(8)}"
    kind = "display_data"

    def replace(markup: str, text: str) -> None:
        nonlocal kind
        content = {"data": bundle(markup, text), "metadata": {}, "transient": {"display_id": name}}
        # By the session itself: display() would put it under the cell that runs now. The socket may be used by any
        # thread.
        publisher.session.send(publisher.pub_socket, kind, content, parent=dict(header), ident=publisher.topic)
        kind = "update_display_data"

    return replace


def bundle(markup: str, text: str) -> dict[str, str]:
    """Return both forms as IPython wants them."""
    return {"text/html": markup, "text/plain": text}
