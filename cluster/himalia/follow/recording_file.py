"""The file that a recording is written to: appended block by block, and kept below its limit.

A file of something else is never overwritten.  What the blocks say is decided in ``recording_contents.py``, how they
are written in ``telemetry/recording_format.py``.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Final

from himalia.errors import RecordingError, UsageError
from himalia.named_file import replacing
from himalia.telemetry.recording_format import MAGIC, Header, Packer, RecordedBlock, begin, choose_cut

PRIVATE: Final = 0o600
"""Mode of a new recording: it tells of calls, of what they printed and of their errors."""


class RecordingFile:
    """A recording that is being written; one thread at a time.

    Parameters
    ----------
    path : Path
        A recording that is there already is replaced.
    header : Header
    limit : int
        Bytes that the file may have; of a longer recording the oldest part is dropped.

    Raises
    ------
    UsageError
        If ``path`` is a file of something else.
    RecordingError
        If it can't be written.
    """

    def __init__(self, path: Path, header: Header, limit: int) -> None:
        self.path = path
        self._header = begin(header)
        self._limit = limit
        self._blocks: list[RecordedBlock] = []
        try:
            # A slip of the keyboard must not cost a notebook or a data set.
            if path.exists() and not is_ours(path):
                raise UsageError(f"{path} exists and is not a recording; give another name.")
            with replacing(path, PRIVATE) as file:
                # At once: a process that dies in the first second leaves a recording of nothing, not a broken file.
                file.write(self._header)
        except OSError as error:
            raise RecordingError(f"{path} can't be written: {error.strerror or error}.") from error
        # Open still: replacing() leaves that to whoever goes on writing.
        self._file = file
        self.nbytes = len(self._header)

    def write(self, packer: Packer) -> None:
        """Append what was collected, on the disk of which other programs see it at once.

        Raises
        ------
        OSError
            If there is no room, or the like.
        """
        made = packer.take(self.nbytes)
        if made is None:
            return
        block, data = made
        if self.nbytes + block.size > self._limit:
            self._make_room(block)
            # It was made for the end of the longer file.
            block = block._replace(offset=self.nbytes)
        self._file.write(data)
        # Whole blocks are with the system then, which keeps them if this process is killed.
        self._file.flush()
        self._blocks.append(block)
        self.nbytes += block.size

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _make_room(self, new: RecordedBlock) -> None:
        """Write the newest half of the file to another one, and put that into its place."""
        # To half the limit, not just below it: else every further block would copy the file.
        cut = choose_cut([*self._blocks, new], max(new.size, self._limit // 2))
        kept = self._blocks[cut:]
        # Another file, which takes the place at the end: a death in between leaves the longer one as it is.
        with replacing(self.path, PRIVATE) as shorter:
            shorter.write(self._header)
            if kept:
                self._file.seek(kept[0].offset)
                shutil.copyfileobj(self._file, shorter)
        # Only now: had the copy failed, the old one would be what is left at the path.
        self._file.close()
        self._file = shorter
        back = kept[0].offset - len(self._header) if kept else 0
        self._blocks = [block._replace(offset=block.offset - back) for block in kept]
        self.nbytes = len(self._header) + sum(block.size for block in kept)


def is_ours(path: Path) -> bool:
    """Whether a file is a recording, or empty."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # a pipe would wait for ever
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode) and file.read(len(MAGIC)) in (MAGIC, b"")
