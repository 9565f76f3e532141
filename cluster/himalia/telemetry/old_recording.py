"""Answers in recordings of format 1, where they were dicts with the fields' names, as the structs that they are now.

A field that a dict lacks gets the struct's default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from himalia.decoders import convert
from himalia.messages.answers import ClusterInfo, HostView, ProfileSamples, WorkerView
from himalia.messages.parts import Part
from himalia.names import HostId, PeerId

P = TypeVar("P", bound=Part)


def is_map(packed: msgspec.Raw) -> bool:
    """Whether packed data are a dict, which their first byte tells (``fixmap``, ``map 16``, ``map 32``)."""
    kind = bytes(packed)[0]
    return kind & 0xF0 == 0x80 or kind in (0xDE, 0xDF)


def read_info(found: Mapping[str, object]) -> ClusterInfo:
    """Return an answer to ``GetInfo``."""
    hosts, workers = read_table(found.get("hosts")), read_table(found.get("workers"))
    return msgspec.structs.replace(
        # Tables apart: their entries may have fields of their own that this version dropped.
        read_part(ClusterInfo, {**found, "hosts": {}, "workers": {}}),
        hosts={HostId(PeerId(host)): read_part(HostView, {"address": "", **view}) for host, view in hosts.items()},
        workers={address: read_part(WorkerView, view) for address, view in workers.items()},
    )


def read_profile(found: Mapping[str, object]) -> ProfileSamples:
    """Return an answer to ``GetProfile``, in which a text said why a host can't be looked at."""
    problems = {name: rows for name, rows in found.items() if isinstance(rows, str)}
    # One dict held both then; what isn't a text is a list of samples.
    samples = {name: rows for name, rows in found.items() if name not in problems}
    return read_part(ProfileSamples, {"samples": samples, "problems": problems})


def read_table(found: object) -> dict[str, dict[str, object]]:
    """Return a dict of dicts; an empty one if there is none."""
    return convert(found or {}, dict[str, dict[str, object]])


def read_part(kind: type[P], found: Mapping[str, object]) -> P:
    """Return a part that was written as a dict, without what it doesn't know."""
    known = {field.name: field.type for field in msgspec.structs.fields(kind)}
    # Fields that this version dropped are left out: an old file is still worth what it shares with a new one.
    return kind(**{name: convert(value, known[name]) for name, value in found.items() if name in known})
