"""Whether the pages of a dashboard still take what is drawn for them: a page that doesn't for a minute is given up.

A browser that was stopped, or whose laptop sleeps, keeps its connection for as long as its kernel answers, or a proxy
does in its place.  Then the connection is closed with a reason, and its document goes; a page that wakes finds that it
was left, and loads itself again (``assets/page.js``).  Nothing here draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bokeh.document import Document
from bokeh.models import ColumnDataSource, CustomJS

if TYPE_CHECKING:
    from bokeh.server.connection import ServerConnection
    from bokeh.server.views.ws import WSHandler

NAME: Final = "himalia-drawn"
LOOK: Final = 5.0
"""Seconds between two looks at who owes an answer."""
LOOKS: Final = 12
"""Looks after which a page is given up: a minute, as nginx has (``send_timeout``)."""
TRY_AGAIN: Final = 1013
"""Code of a WebSocket that is closed for now (IANA's registry)."""
REASON: Final = "This page took nothing for too long; load it again."
ANSWER: Final = "source.data = {seen: [source.tags[0]]}"


class Drawn:
    """How often a document was drawn, and which of these drawings its page has; both are in the document.

    Attributes
    ----------
    source : ColumnDataSource
        ``tags`` is ours, ``data`` is the page's.
    answer : CustomJS
        Has the page say what it has; to be called once when the document is ready.
    """

    def __init__(self) -> None:
        # Each side writes a property of its own, so that no late answer overwrites a newer number.
        self._number = 0
        self.source = ColumnDataSource({"seen": [0]}, tags=[0], name=NAME)
        self.answer = CustomJS(args={"source": self.source}, code=ANSWER)
        # In the page: it answers once the change is there, whatever a proxy took before.
        self.source.js_on_change("tags", self.answer)

    def count(self) -> None:
        """Count a drawing; to be called after its changes, so that the page answers when it has them."""
        self._number += 1
        self.source.tags = [self._number]

    @property
    def is_behind(self) -> bool:
        """Whether the page lacks what was drawn last."""
        return is_behind(self.source)


class Attendance:
    """The connections of all pages, and for how many looks each has owed an answer to the same drawing."""

    def __init__(self) -> None:
        self._sockets: dict[ServerConnection, tuple[WSHandler, Document]] = {}
        self._owed: dict[ServerConnection, tuple[list[object], int]] = {}

    def enter(self, connection: ServerConnection, socket: WSHandler, document: Document) -> None:
        """Take in a connection of Bokeh's."""
        self._sockets[connection] = socket, document

    def leave(self, connection: ServerConnection) -> None:
        """Forget one."""
        self._sockets.pop(connection, None)
        self._owed.pop(connection, None)

    def look(self) -> None:
        """Close the connections of pages that have owed an answer for :data:`LOOKS` looks.

        Looks are counted, not seconds: if this process itself stood still, what pages said meanwhile is read first.
        """
        # A copy: who is given up leaves the table.
        for connection, (socket, document) in list(self._sockets.items()):
            source = document.get_model_by_name(NAME)
            # A document without it, such as two recordings side by side, is drawn once and owes nothing.
            drawing = list(source.tags) if source is not None and is_behind(source) else []
            before, looks = self._owed.get(connection, ([], 0))
            # Of the same drawing only: a page that answers one and owes the next is slow, not gone.
            self._owed[connection] = drawing, looks + 1 if drawing and drawing == before else 0
            if self._owed[connection][1] >= LOOKS:
                self.leave(connection)
                socket.close(TRY_AGAIN, REASON)


def is_behind(source: ColumnDataSource) -> bool:
    """Whether the page hasn't answered the last drawing; what it says may be anything."""
    return list(source.data.get("seen", ())) != list(source.tags)
