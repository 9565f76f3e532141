"""Columns as they cross to a page: numbers as binary buffers, texts in JSON (js/columns.js reads them).

Decides how many bytes a number takes.  Times need eight as they are, but four from the first one on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from himalia.show.plain import Plain
from himalia_widgets.view.stream.marks import Columns

FINE: Final = 2.0**-24
"""Relative error of four-byte numbers."""
EXACT: Final = 1e-5
"""Error that four bytes may add to a number of a range: a hundredth of a millisecond in times."""


class BufferPacker:
    """The buffers of one message; columns refer to them by number."""

    def __init__(self) -> None:
        self.buffers: list[memoryview] = []

    def pack(self, columns: Columns) -> list[Plain]:
        """Return what the page needs to read these columns (arrays, or lists of texts) again."""
        return [{"name": name, **self._pack(values)} for name, values in columns.items()]

    def _pack(self, values: npt.NDArray[Any] | Sequence[object]) -> Plain:
        if isinstance(values, np.ndarray) and values.dtype.kind in "iufb":
            return self._numbers(values)
        return self._texts(list(values))

    def _numbers(self, values: npt.NDArray[Any]) -> Plain:
        if values.dtype.kind in "iub":
            least, most = (int(values.min()), int(values.max())) if len(values) else (0, 0)
            # Beyond four bytes doubles, which are what JavaScript counts in.
            for kind, low, high in (("u1", 0, 255), ("u2", 0, 65535), ("i4", -(2**31), 2**31 - 1)):
                if low <= least and most <= high:
                    return {"kind": kind, "buffer": self._add(values, kind)}
            return {"kind": "f8", "buffer": self._add(values, "f8")}
        if values.dtype == np.float32:
            return {"kind": "f4", "buffer": self._add(values, "f4")}
        # Times of a plot lie within minutes: from the first one on, they are small.
        base = float(values[0]) if len(values) and np.isfinite(values[0]) else 0.0
        shifted = values - base
        spread = float(np.abs(shifted).max(initial=0.0))
        if spread * FINE <= EXACT:  # False also for nan
            return {"kind": "f4", "buffer": self._add(shifted, "f4"), "base": base}
        return {"kind": "f8", "buffer": self._add(values, "f8")}

    def _texts(self, values: Sequence[object]) -> Plain:
        texts = [value if isinstance(value, str) else str(value) for value in values]
        distinct = dict.fromkeys(texts)
        # A table pays where texts repeat.
        if len(distinct) * 2 > len(texts) or len(distinct) > 65535:
            return {"kind": "text", "values": texts}
        codes = {text: code for code, text in enumerate(distinct)}
        kind = "u1" if len(distinct) <= 256 else "u2"
        column = np.fromiter((codes[text] for text in texts), kind, len(texts))
        return {"kind": kind, "buffer": self._add(column, kind), "values": list(distinct)}

    def _add(self, values: npt.NDArray[Any], kind: str) -> int:
        # A column may be a slice of a table: a buffer has to be in one piece.
        self.buffers.append(memoryview(np.ascontiguousarray(values, kind).tobytes()))
        return len(self.buffers) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(buffer.nbytes for buffer in self.buffers)
