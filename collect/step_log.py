"""StepLog: writes the step signals of `replay.readers.step_signals`, one record per step.

A kill loses at most the last record.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO

from collect.disk import named, whole_or_gone
from collect.signals import Adapter, StepMeter
from replay.errors import InputError
from replay.readers.step_signals import (
    COLUMNS,
    FILE_NAME,
    TOTALS,
    encode_header,
    encode_record,
    read_step_signals,
    record_size,
)

__all__ = ["GRADIENTS", "StepLog", "last_recorded_step"]

#: In a checkpoint: the last step's gradients, so that a resumed run can tell how they changed.
GRADIENTS = "last_gradients.safetensors"


def last_recorded_step(folder: Path, segment: int) -> int:
    """The last step that a segment has recorded in a folder; 0 where there is none, or no file of step
    signals.
    """
    with contextlib.suppress(InputError, OSError):
        signals = read_step_signals(folder / FILE_NAME, voided=True)
        return int(signals.steps[signals.segments == segment].max(initial=0))
    return 0


class StepLog:
    """Step signals of an adapter, in ``folder/step_signals.bin``; a ``segment`` other than 0 goes on in the
    file there.
    """

    def __init__(self, folder: Path, adapter: Adapter, segment: int) -> None:
        self._meter = StepMeter(adapter)
        self._segment = segment
        self._path = folder / FILE_NAME
        #: Of the last step: the learning rate, and the L2 norm of all gradients as the optimizer got them.
        self.learning_rate: float | None = None
        self.grad_norm: float | None = None
        header = encode_header(adapter.names, adapter.parameters)
        size = record_size({"modules": adapter.names, "columns": COLUMNS, "totals": TOTALS})
        present = self._path.read_bytes()[: len(header)] if self._path.exists() else b""
        self._file: IO[bytes]
        if present == header and segment:
            self._file = self._path.open("ab", buffering=0)
            if torn := (self._path.stat().st_size - len(header)) % size:  # a kill cut the last record off
                self._file.write(bytes(size - torn))
        elif len(present) < len(header) and header.startswith(present):
            self._file = self._path.open("wb", buffering=0)
            self._file.write(header)
        else:
            raise InputError(
                f"{self._path} is there already and is of another run; nothing is written over it"
            )

    def before(self) -> None:
        """Call when the gradients are ready, clipped if they are to be."""
        self._meter.before()

    def after(self, step: int, learning_rate: float | None) -> None:
        """Call when the optimizer has made this step."""
        totals, values = self._meter.after(learning_rate)
        self.learning_rate, self.grad_norm = learning_rate, float(totals[1])
        with named(self._path):
            self._file.write(encode_record(self._segment, step, totals, values))

    def sync(self) -> None:
        """Have all that was written on disk."""
        with named(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def save(self, checkpoint: Path) -> None:
        """Keep the last gradients in a checkpoint's folder."""
        if (gradients := self._meter.gradients) and checkpoint.is_dir():
            from safetensors.torch import save_file

            whole = {name: gradient.contiguous() for name, gradient in gradients.items()}
            with whole_or_gone(checkpoint):
                save_file(whole, checkpoint / GRADIENTS)

    def restore(self, checkpoint: Path) -> None:
        """Go on from the gradients that a checkpoint holds, if it does."""
        if (checkpoint / GRADIENTS).is_file():
            from safetensors.torch import load_file

            self._meter.restore(load_file(checkpoint / GRADIENTS))
