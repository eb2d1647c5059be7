"""The file of step signals, version 1: what every optimizer step did to every LoRA module, as ``collect``
writes it beside the eval log.

A binary file that is only ever appended to. The first line is a JSON object, ``{"format":
"replay-step-signals", "version": 1, "modules": [...], "parameters": [...], "columns": [...], "totals":
[...]}``, padded with blanks to a multiple of 64 bytes, newline included. Records of equal size follow,
little-endian: CRC-32 of the rest (uint32), segment (uint32), step (uint64), one float32 for each of
``totals``, and for each of ``columns`` one float32 per module. A record that a kill cut off is padded with
zeros by the process that goes on, and fails its CRC. NaN is an unknown value, such as the change of
the first gradient. A later segment voids what earlier ones wrote from its first step on.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from replay.data.step_signals import StepSignals
from replay.errors import InputError

__all__ = [
    "COLUMNS",
    "FILE_NAME",
    "TOTALS",
    "StepSignalsFile",
    "encode_header",
    "encode_record",
    "read_step_signals",
    "record_size",
]

FILE_NAME = "step_signals.bin"
FORMAT_NAME = "replay-step-signals"
VERSION = 1
#: Of each module: element-wise L1 norms of its gradient as the optimizer gets it, of the gradient's change
#: since the step before, and of the step's change of the weights, each summed over its A and B.
COLUMNS = ("gradient_l1", "gradient_change_l1", "weight_change_l1")
#: Of the whole model: learning rate of the step, and L2 norm of all gradients as the optimizer gets them.
TOTALS = ("learning_rate", "grad_norm_clipped")
_PREFIX = struct.Struct("<IIQ")


def encode_header(modules: Sequence[str], parameters: Sequence[int]) -> bytes:
    """The first line of a file; ``parameters`` are the numbers of weights of each module's A and B
    together.
    """
    header = {
        "format": FORMAT_NAME,
        "version": VERSION,
        "modules": list(modules),
        "parameters": list(parameters),
        "columns": COLUMNS,
        "totals": TOTALS,
    }
    line = json.dumps(header).encode()
    return line + b" " * (-(len(line) + 1) % 64) + b"\n"


def record_size(header: dict[str, Any]) -> int:
    """Bytes of one record."""
    return _PREFIX.size + 4 * (len(header["totals"]) + len(header["columns"]) * len(header["modules"]))


def encode_record(
    segment: int, step: int, totals: npt.NDArray[np.float32], values: npt.NDArray[np.float32]
) -> bytes:
    """One record; ``values`` is columns x modules."""
    body = (
        struct.pack("<IQ", segment, step) + np.concatenate([totals, values.ravel()]).astype("<f4").tobytes()
    )
    return struct.pack("<I", zlib.crc32(body)) + body


@dataclass(frozen=True)
class StepSignalsFile:
    """The step signals of a run, which are read when they are asked for."""

    path: Path

    @classmethod
    def beside(cls, log: Path) -> StepSignalsFile | None:
        """The step signals that lie beside a log, if any."""
        beside = os.path.join(os.path.dirname(log), FILE_NAME)  # noqa: PTH118, PTH120 - called for every log
        return cls(log.with_name(FILE_NAME)) if os.path.isfile(beside) else None  # noqa: PTH113

    def read(self) -> StepSignals:
        """Read the file. Raises InputError or OSError."""
        return read_step_signals(self.path)


def read_step_signals(path: Path, *, voided: bool = False) -> StepSignals:
    """The steps of a file, ascending; damaged records are left out, and unless ``voided`` those that a resume
    has voided.

    Raises InputError where the file does not hold step signals, or those of an unknown version.
    """
    data = path.read_bytes()
    line, _, rest = data.partition(b"\n")
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT_NAME:
        raise InputError(f"{path}: no step signals")
    if header.get("version") != VERSION:
        raise InputError(
            f"{path}: step signals of version {header.get('version')!r}; this replay reads version {VERSION}"
        )
    for key in ("modules", "columns", "totals"):
        if not isinstance(header.get(key), list):
            raise InputError(f"{path}: the header of the step signals has no list {key!r}")
    size = record_size(header)
    count = len(rest) // size
    raw = np.frombuffer(rest[: count * size], dtype=np.uint8).reshape(count, size)
    good = np.array(
        [zlib.crc32(row[4:].tobytes()) == int.from_bytes(row[:4].tobytes(), "little") for row in raw],
        dtype=bool,
    )
    raw = np.ascontiguousarray(raw[good])
    segments = raw[:, 4:8].copy().view("<u4").reshape(-1).astype(np.int64)
    steps = raw[:, 8:16].copy().view("<u8").reshape(-1).astype(np.int64)
    floats = raw[:, _PREFIX.size :].copy().view("<f4").astype(np.float32)
    if not voided and len(steps):
        # from the end backwards: the first step of a segment voids all steps from there on in segments before
        # it
        keep = np.ones(len(steps), dtype=bool)
        for segment in np.unique(segments)[1:]:
            keep &= (segments >= segment) | (steps < steps[segments == segment].min())
        segments, steps, floats = segments[keep], steps[keep], floats[keep]
    totals = floats[:, : len(header["totals"])]
    values = floats[:, len(header["totals"]) :].reshape(
        len(steps), len(header["columns"]), len(header["modules"])
    )
    return StepSignals(header, steps, segments, totals, values)
