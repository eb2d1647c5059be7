"""The last step of a training whose steps nothing else records: a small file that each step overwrites."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO

from collect.disk import named

__all__ = ["LastStep", "read_last_step"]

#: Hidden, since it means nothing to people; it is removed when the training ends by itself.
_FILE_NAME = ".last_step"


class LastStep:
    """Writes the number of each step that is done into a file of ``folder``, for a log's ``segment``.

    A kill of the process loses nothing of it. A crash of the machine may lose the newest steps, since the
    file is not forced to the disk.
    """

    def __init__(self, folder: Path, segment: int) -> None:
        self._path = folder / _FILE_NAME
        self._segment = segment
        self._file: IO[bytes] | None = None

    def write(self, step: int) -> None:
        """Write that this step is done."""
        with named(self._path):
            if self._file is None:
                self._file = self._path.open("wb", buffering=0)
            self._file.seek(0)
            # one write of always the same length, so that a kill leaves the old line or the new one
            self._file.write(f"{self._segment:10d} {step:20d}\n".encode())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Close the file and remove it: the training has ended by itself."""
        self.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def read_last_step(folder: Path, segment: int) -> int:
    """The last step that a segment has done in a folder; 0 where that is not on record."""
    with contextlib.suppress(OSError, ValueError):
        number, step = (folder / _FILE_NAME).read_bytes().split()
        if int(number) == segment:
            return max(int(step), 0)
    return 0
