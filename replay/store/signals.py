"""Step signals as a store keeps them: the arrays with their shapes and types, by their bits."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from replay.data.step_signals import StepSignals
from replay.errors import InputError
from replay.store.table import arrow

__all__ = ["StoredSignals", "pack_signals"]

_LENGTH = struct.Struct("<Q")


def pack_signals(signals: StepSignals) -> bytes:
    """The header as JSON, then the four arrays in numpy's format."""
    head = json.dumps(signals.header).encode()
    file = io.BytesIO()
    file.write(_LENGTH.pack(len(head)) + head)
    for array in signals[1:]:
        np.save(file, np.asarray(array), allow_pickle=False)
    return file.getvalue()


def _unpack(data: bytes) -> StepSignals:
    (length,) = _LENGTH.unpack_from(data)
    file = io.BytesIO(data)
    file.seek(_LENGTH.size)
    header = json.loads(file.read(length))
    arrays = [np.load(file, allow_pickle=False) for _ in range(4)]
    return StepSignals(header, *arrays)


@dataclass(frozen=True)
class StoredSignals:
    """The step signals of one row of a file of runs; nothing is read before they are asked for."""

    path: Path
    row: int

    def read(self) -> StepSignals:
        """Read them. Raises InputError or OSError."""
        pa = arrow()
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                before = 0
                for group in range(file.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    if self.row < before + rows:
                        column = file.read_row_group(group, columns=["step_signals"])["step_signals"]
                        return _unpack(column[self.row - before].as_py())
                    before += rows
        except (pa.ArrowException, ValueError, TypeError, struct.error, EOFError) as error:
            raise InputError(f"{self.path}: the step signals of row {self.row + 1}: {error}") from None
        raise InputError(f"{self.path} has no row {self.row + 1}")
