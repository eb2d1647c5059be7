"""From a grid file to the configs of its runs.

A grid file is a config (`collect.config`) with a table ``[grid]``, or several ``[[grid]]``, whose keys are
dotted config keys and whose values are lists; every combination is a run. `expand` makes the configs, `shard`
takes a machine's share of them. `collect.jobs` trains them.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from collect import config as settings
from collect.config import Config
from replay.errors import InputError, suggestion

__all__ = ["expand", "pick", "select", "shard"]

_MOST_RUNS = 10_000
_FIELD = re.compile(r"\{([^{}]*)\}")
#: What stands before the value in a name, where the key's own last part would be long.
_SHORT = {
    "lora.r": "r",
    "lora.alpha": "a",
    "lora.target_modules": "",
    "train.learning_rate": "lr",
    "train.scheduler": "",
    "train.seed": "s",
    "data.seed": "d",
    "data.train_size": "n",
}


@dataclass(frozen=True)
class _Run:
    """One run as the file says it, unchecked."""

    name: Any
    raw: dict[str, Any]


def expand(path: Path) -> list[Config]:
    """The configs of a grid file in its order: blocks one after the other, in each the last key varies
    fastest.

    Raises InputError where the file cannot be read, says something impossible, or gives a run or a name
    twice.
    """
    runs, fields = _runs(path)
    configs: dict[str, Config] = {}
    seen: dict[str, str] = {}
    for run in runs:
        config = _config(run, path)
        record = config.record()
        content = json.dumps({**record, "name": None}, sort_keys=True)
        if (twin := seen.setdefault(content, config.name)) != config.name:
            raise InputError(
                f"{path}: the runs {twin} and {config.name} are the same; each run must be there once"
            )
        if (other := configs.setdefault(config.name, config)) is not config:
            if not (differing := list(_differing(other.record(), record))):
                raise InputError(f"{path}: the run {config.name} is there twice; each run must be there once")
            for key, mine, theirs in differing:
                if key not in fields and _text(key, mine) != _text(key, theirs):
                    raise InputError(
                        f"{path}: two runs that differ in {key} are both named {config.name}; give a name"
                        f" with {{{key}}} in it"
                    )
            key, mine, theirs = differing[0]
            raise InputError(
                f"{path}: {key} = {mine!r} and {theirs!r} give two runs the name {config.name}, "
                "which keeps only letters, digits and . _ = + -; give them in files of their own"
            )
    return list(configs.values())


def pick(path: Path, name: str) -> Config:
    """The config of one run of a grid file, the others unchecked: what a process that trains only this one
    needs.
    """
    runs, _ = _runs(path)
    for run in runs:
        if run.name == name:
            return _config(run, path)
    raise _no_run(path, name, [str(run.name) for run in runs])


def select(path: Path, configs: Sequence[Config], names: Sequence[str]) -> list[Config]:
    """Those of the configs that have one of the names, in their own order; all of them where no name is
    given.
    """
    known = [config.name for config in configs]
    for name in names:
        if name not in known:
            raise _no_run(path, name, known)
    return [config for config in configs if not names or config.name in names]


def shard(configs: Sequence[Config], text: str) -> list[Config]:
    """Every n-th of the configs beginning with the i-th, for a text ``"i/n"``."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"shard {text!r} must be i/n, such as 2/4, with i from 1 to n")
    return list(configs[int(match[1]) - 1 :: int(match[2])])


def _no_run(path: Path, name: str, known: Sequence[str]) -> InputError:
    return InputError(f"{path} has no run {name!r}; it has {suggestion(name, known)}")


def _config(run: _Run, path: Path) -> Config:
    return dataclasses.replace(settings.parse({**run.raw, "name": run.name}, str(path)), root=path.parent)


def _runs(path: Path) -> tuple[list[_Run], set[str]]:
    """The runs of a file, and the keys that its name template has."""
    raw = settings.read_toml(path)
    blocks = _blocks(raw.pop("grid", None), path)
    axes = [[_axis(key, value, path) for key, value in block.items()] for block in blocks]
    for block in axes:
        keys = [key for axis in block for key in axis.keys]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise InputError(f"{path}: {twice[0]} is there twice in one [grid]; give it once")
    if (count := sum(math.prod(len(axis.values) for axis in block) for block in axes)) > _MOST_RUNS:
        raise InputError(f"{path}: the grid has {count:,} runs; it may have {_MOST_RUNS:,} at most")
    name = raw.pop("name", path.stem)
    fields = set(_FIELD.findall(name)) if isinstance(name, str) else set()
    runs = []
    for block in axes:
        for chosen in itertools.product(*(axis.values for axis in block)):
            one: dict[str, Any] = raw
            for axis, values in zip(block, chosen, strict=True):
                for key, value in zip(axis.keys, values, strict=True):
                    one = _with(one, key, value, path)
            parts = [part for axis, values in zip(block, chosen, strict=True) for part in axis.parts(values)]
            runs.append(_Run(_named(name, parts, one, path), one))
    return runs, fields


def _named(name: Any, parts: Sequence[str], raw: Mapping[str, Any], path: Path) -> Any:
    if not isinstance(name, str):
        return name  # refused with all else that has a wrong type
    if not _FIELD.search(name):
        return "-".join([name, *parts])
    return _FIELD.sub(lambda match: _filled(match[1], raw, name, path), name)


def _blocks(grid: Any, path: Path) -> list[dict[str, Any]]:
    if grid is None:
        raise InputError(f'{path}: there is no [grid]; it must be a table such as "lora.r" = [2, 8]')
    blocks = [grid] if isinstance(grid, dict) else grid
    if (
        not isinstance(blocks, list)
        or not blocks
        or not all(isinstance(block, dict) and block for block in blocks)
    ):
        raise InputError(
            f"{path}: grid = {grid!r}; it must be a table [grid], or several [[grid]], with at least one key"
            " each"
        )
    return blocks


@dataclass(frozen=True)
class _Axis:
    """Settings that move together, and the values that they take; ``varied`` where these are a list in the
    file.
    """

    keys: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    varied: bool

    def parts(self, values: Sequence[Any]) -> Iterator[str]:
        """What these values add to the name of a run."""
        for key, value in zip(self.keys, values, strict=True):
            if self.varied and not (key == "lora.alpha" and "lora.r" in self.keys):
                yield _SHORT.get(key, key.rsplit(".", 1)[-1].replace("_", "")) + _text(key, value)


def _axis(written: str, value: Any, path: Path) -> _Axis:
    keys = tuple(key.strip() for key in written.split(","))
    for key in keys:
        if key == "name":
            raise InputError(
                f'{path}: name is no setting of a grid; give it at the top of the file, such as "r{{lora.r}}"'
            )
        if isinstance(value, dict) and key in settings.SECTIONS:
            raise InputError(
                f'{path}: {key} = {value!r} in [grid]; write a setting as one key in quotes, such as "lora.r"'
                " = [2, 8]"
            )
    if value == []:
        raise InputError(f"{path}: {written} = [] in [grid]; it must have at least one value")
    if len(keys) == 1:
        return _Axis(
            keys,
            tuple((item,) for item in value) if isinstance(value, list) else ((value,),),
            isinstance(value, list),
        )
    if not isinstance(value, list):
        raise InputError(
            f"{path}: {written} = {value!r} in [grid]; it must be a list of lists of {len(keys)}"
        )
    for item in value:
        if not isinstance(item, list) or len(item) != len(keys):
            raise InputError(
                f"{path}: {written} has the value {item!r} in [grid]; each must be a list of {len(keys)}"
            )
    return _Axis(keys, tuple(tuple(item) for item in value), True)


def _with(raw: Mapping[str, Any], key: str, value: Any, path: Path, above: str = "") -> dict[str, Any]:
    """The raw config with a dotted key set; what it shares with the given one stays as it is."""
    first, _, rest = key.partition(".")
    if not rest:
        return {**raw, key: value}
    inner = raw.get(first, {})
    if not isinstance(inner, Mapping):
        raise InputError(
            f"{path}: unknown key {above}{key} in [grid]; {above}{first} = {inner!r} is no table"
        )
    return {**raw, first: _with(inner, rest, value, path, f"{above}{first}.")}


def _defaults() -> dict[str, Any]:
    """Each dotted key of a config with its default; None where it has none."""
    defaults: dict[str, Any] = {}
    for field in dataclasses.fields(Config):
        if (section := settings.SECTIONS.get(field.name)) is not None:
            for inner in dataclasses.fields(section):
                defaults[f"{field.name}.{inner.name}"] = _default(inner)
        elif field.metadata.get("key", True) and field.name != "name":
            defaults[field.name] = _default(field)
    return defaults


def _default(field: dataclasses.Field[Any]) -> Any:
    return None if field.default is dataclasses.MISSING else field.default


def _filled(key: str, raw: Mapping[str, Any], name: str, path: Path) -> str:
    """What a field of the name's template becomes in one run."""
    value: Any = raw
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        defaults = _defaults()
        if key not in defaults:
            raise InputError(
                f"{path}: name = {name!r} has the field {{{key}}}; the keys of a config are"
                f" {suggestion(key, defaults)}"
            )
        value = defaults[key]
    if value is None:
        raise InputError(f"{path}: name = {name!r} has the field {{{key}}}, but {key} is not set")
    return _text(key, value)


def _text(key: str, value: Any) -> str:
    """A value as a part of a folder's name."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and math.isfinite(value):
        if key == "train.learning_rate":
            return _scientific(value)
        return str(value) if isinstance(value, int) else f"{value:.12g}"
    if isinstance(value, Mapping):
        text = "+".join(f"{name}={item}" for name, item in value.items())
    elif isinstance(value, list | tuple):
        text = "+".join(map(str, value)) or "none"
    else:
        text = str(value)
    return re.sub(r"[^A-Za-z0-9._=+-]+", "-", text).strip("-")


def _scientific(value: float) -> str:
    """The shortest form with an exponent: ``1e-3``, ``1.5e-4``."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{int(exponent) + len(digits) - 1}"


def _differing(
    one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys in which two records differ, with both values."""
    for key in [*one, *(key for key in other if key not in one)]:
        first, second = one.get(key), other.get(key)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            yield from _differing(first, second, f"{prefix}{key}.")
        elif first != second:
            yield prefix + key, first, second
