"""From settled records to the user's values: which are here, which have to be fetched, which will never be.

Decides what each record contributes.  It never waits or fetches: ``gathering.py`` does, in threads and in coroutines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from himalia import serialize
from himalia.client.engine.errors_view import error_of, note_on_others
from himalia.client.engine.machine import ClientMachine
from himalia.client.engine.state import FINISHED, PENDING, Record
from himalia.names import Key, shorten

SKIPPED: Final = object()
"""In the place of a value whose call failed, with ``errors="skip"``."""


class Values:
    """The values of some records, as they become known.

    Parameters
    ----------
    machine : ClientMachine
        Says why there is no scheduler any more, if there is none.
    records : sequence of Record
    skip_errors : bool
        Whether a call that failed gives :data:`SKIPPED` instead of raising.
    """

    def __init__(self, machine: ClientMachine, records: Sequence[Record], *, skip_errors: bool = False) -> None:
        self._machine = machine
        self._records = records
        self._skip_errors = skip_errors
        self.values: list[Any] = [None] * len(records)
        self.failure: BaseException | None = None
        """What the first call that failed raised; then the values are of no use."""
        # Places, not records: a future may be asked for twice.
        self._missing: list[int] = list(range(len(records)))

    def load_inline(self) -> list[Record]:
        """Unpickle what came with its message; return the records whose value has to be fetched or waited for.

        Returns none if a call failed.
        """
        values, records, load = self.values, self._records, serialize.loads_packed
        missing = []
        for index in self._missing:
            record = records[index]
            # Read once: another thread may cancel the record between two looks.
            data = record.data
            if data is not None:
                try:
                    values[index] = load(data)
                except Exception as error:
                    _note(error, record)
                    raise
            elif record.status in (FINISHED, PENDING):
                missing.append(index)
            elif self._skip_errors:
                values[index] = SKIPPED
            else:
                self.failure = error_of(record, self._machine.gone)
                note = note_on_others(record, records)
                if note:
                    self.failure.add_note(note)
                # It will be raised, so nothing else needs to be unpickled.
                return []
        self._missing = missing
        return [records[index] for index in missing]

    def load(self, found: dict[Key, list[memoryview]]) -> bool:
        """Unpickle what was fetched; return whether everything is there."""
        missing = []
        for index in self._missing:
            record = self._records[index]
            frames = found.get(record.key)
            if frames is None:
                missing.append(index)
                continue
            try:
                self.values[index] = serialize.loads(frames)
            except Exception as error:
                _note(error, record)
                raise
        self._missing = missing
        return not missing


def _note(error: Exception, record: Record) -> None:
    error.add_note(f"This happened while the result of {shorten(record.key)} was unpickled in the client.")
