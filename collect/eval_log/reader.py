"""The log that a folder holds already, as far as its writer must know it to continue it or to refuse it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from replay.errors import InputError
from replay.readers.formats.eval_log import FORMAT_NAME, VERSION, decode, encode, entries, number

__all__ = ["FILE_NAME", "ExistingLog", "read_existing_log", "without_plan"]

FILE_NAME = "eval_log.jsonl"
#: How the header line of every log begins.
_BEGIN = encode({"format": FORMAT_NAME}).rstrip("}\n")
#: What makes two runs different runs: a log is only continued where these are the same.
_IDENTITY = ("config", "model", "dataset", "data", "hyperparameters", "seed")


class ExistingLog(NamedTuple):
    """A log on disk. ``header`` is empty where a kill cut off the very first line.

    ``records`` are the other lines that can be read, ``step`` is the last step, ``evals`` the number of
    evaluations; ``ended`` says whether the training ended by itself, ``torn`` whether the last line is cut
    off.
    """

    header: dict[str, Any]
    records: list[dict[str, Any]]
    step: float
    evals: int
    ended: bool
    torn: bool

    @property
    def extended_at(self) -> int | None:
        """The step at which the training had ended when it was extended for the last time; None where it was
        not.
        """
        step = number(self._extension.get("step"))
        return None if step is None or not math.isfinite(step) else int(step)

    @property
    def planned_steps(self) -> int | None:
        """How many steps are planned, by now."""
        planned = number(self._extension.get("planned_steps") or self.header.get("planned_steps"))
        return None if planned is None or not math.isfinite(planned) else int(planned)

    @property
    def _extension(self) -> Mapping[str, Any]:
        extensions = (record for record in reversed(self.records) if record.get("kind") == "extended")
        return next(extensions, {})

    def difference(self, header: Mapping[str, Any], names: Sequence[str] = _IDENTITY) -> str | None:
        """The first entry in which a run with this header is another run (``learning_rate 0.001 there, 0.002
        here``), or None.
        """
        mine = decode(encode({name: header.get(name) for name in names}))
        theirs = {**self.header, "config": _without_reporters(self.header.get("config"))}
        if "config" in mine:
            mine["config"] = _without_reporters(mine["config"])
        differences = (_difference(theirs.get(name), mine[name], name) for name in names)
        return next((difference for difference in differences if difference is not None), None)

    def checkpoints(self) -> list[int]:
        """Steps whose checkpoint was completely written, ascending. Their folders may have been removed."""
        steps = {number(record.get("step")) for record in self.records if record.get("kind") == "checkpoint"}
        return sorted(int(step) for step in steps if step is not None and math.isfinite(step))


def read_existing_log(folder: Path) -> ExistingLog | None:
    """The log in a folder, or None where there is none.

    Raises InputError where the file there is not an eval log of this version.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    lines = text.split("\n")
    try:
        header = decode(lines[0])
    except ValueError:
        header = {}
    if not header and len(lines) == 1 and _BEGIN.startswith(text[: len(_BEGIN)]):
        # the kill came while the very first line was written: there is nothing in it to keep
        return ExistingLog({}, [], 0.0, 0, False, True)
    if header.get("format") != FORMAT_NAME or header.get("version") != VERSION:
        raise InputError(
            f"{path} exists already and is not an eval log of version {VERSION}; nothing is written over it"
        )
    records = []
    for line in lines[1:]:
        try:
            records.append(decode(line))
        except ValueError:
            continue  # a line that a kill cut off
    steps = [number(record.get("step")) or 0.0 for record in records]
    kinds = [record.get("kind") for record in records]
    evals = len({record.get("step") for record in records if record.get("kind") == "eval"})
    endings = [kind for kind in kinds if kind in ("end", "extended")]
    return ExistingLog(
        header, records, max(steps, default=0.0), evals, endings[-1:] == ["end"], not text.endswith("\n")
    )


def without_plan(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header without how many steps are planned: what stays the same when a run is extended."""
    plain = decode(encode(header))
    for section in (plain.get("hyperparameters"), entries(plain, "config").get("train")):
        if isinstance(section, dict):
            for name in ("max_steps", "epochs", "num_train_epochs"):
                section.pop(name, None)
    return plain


def _without_reporters(config: Any) -> Any:
    """A recorded config without ``train.report_to``: a run that is reported elsewhere too is the same run."""
    if not isinstance(config, dict) or not isinstance(train := config.get("train"), dict):
        return config
    return {**config, "train": {key: value for key, value in train.items() if key != "report_to"}}


def _difference(old: Any, new: Any, name: str) -> str | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if (difference := _difference(old.get(key), new.get(key), key)) is not None:
                return difference
        return None
    if isinstance(old, dict) or isinstance(new, dict):
        return f"it has {'a' if old else 'no'} {name}"
    return None if old == new else f"{name} {old!r} there, {new!r} here"
