"""How a session stands while its peer says nothing, in words for whoever waits for an answer.

Decides what is said; what is done about a silent peer is the endpoint's business.
"""

from __future__ import annotations

from typing import NamedTuple


class Contact(NamedTuple):
    """What is known of a peer at one moment; seconds."""

    silent: float
    """Since anything was heard of it."""
    lease: float
    """For how long it is dialed again once its connection has broken."""
    lost: float = -1.0
    """Since there is no connection; -1: there is one."""
    why: str = ""
    """Why there is none."""


def describe_contact(contact: Contact | None) -> str:
    """Say in sentences when a scheduler that doesn't answer was heard of last, and what follows."""
    if contact is None:
        return "There is no session with it."
    heard = f"It was last heard of {contact.silent:.1f} s ago"
    if contact.lost < 0.0:
        return (
            f"{heard}, and the connection to it stands: it was stopped, or its machine is out of breath or out of "
            f"reach. It is waited for as long as that connection stands; nothing that was computed is lost if it comes "
            f"back."
        )
    left = max(0.0, contact.lease - contact.lost)
    return (
        f"{heard}; the connection to it broke {contact.lost:.1f} s ago ({contact.why}) and is tried again for another "
        f"{left:.0f} s. If it comes back by then nothing is lost; if not, this session is over."
    )
