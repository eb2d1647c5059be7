"""Many runs from one file: a config, and lists of settings whose product is trained, each run in a process of
its own.

A grid file is a config (`collect.config`) with a table ``[grid]``, or several ``[[grid]]``, whose keys are
dotted config keys. `expand` makes the configs, `shard` takes a machine's share of them, `run_all` trains
them.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import typing
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any

import click

from collect import config as settings
from collect.config import Config
from collect.machine import NEEDED
from replay.errors import InputError, printable, suggestion

__all__ = ["BUSY", "expand", "only", "pick", "run_all", "shard", "states"]

#: Exit code of a run whose folder another process holds.
BUSY = 75
_MOST_RUNS = 10_000
_POLL_SECONDS = 0.1
#: How much of the end of a run's messages is looked at for the line to show.
_TAIL_BYTES = 65536
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


# ---- from the file to the configs ----


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


def only(path: Path, configs: Sequence[Config], names: Sequence[str]) -> list[Config]:
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
        if isinstance(value, dict) and key in {part.partition(".")[0] for part in _defaults()} - set(
            _defaults()
        ):
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
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(Config)
    for field in dataclasses.fields(Config):
        options = typing.get_args(hints[field.name]) or (hints[field.name],)
        if section := [option for option in options if dataclasses.is_dataclass(option)]:
            for inner in dataclasses.fields(section[0]):
                found[f"{field.name}.{inner.name}"] = (
                    None if inner.default is dataclasses.MISSING else inner.default
                )
        elif field.metadata.get("key", True) and field.name != "name":
            found[field.name] = None if field.default is dataclasses.MISSING else field.default
    return found


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
        left, right = one.get(key), other.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from _differing(left, right, f"{prefix}{key}.")
        elif left != right:
            yield prefix + key, left, right


# ---- what is there already ----


def _finished(config: Config, out: Path) -> bool:
    """Whether this very run has ended in the folder; what else is there is for the process of the run to
    judge.
    """
    from collect.eval_log import existing, other_config

    try:
        log = existing(out / config.name)
    except (InputError, OSError):
        return False
    return log is not None and log.ended and other_config(log, config) is None


def states(configs: Sequence[Config], out: Path) -> Iterator[tuple[str, str]]:
    """(name, how far it is) for each run: ``finished``, ``at step 120 of 450``, ``not begun``, or why it
    cannot be trained there.
    """
    from collect.eval_log import existing, other_config

    for config in configs:
        try:
            log = existing(out / config.name)
        except (InputError, OSError):
            yield config.name, "another file is there"
            continue
        if log is None or not log.header:
            state = "not begun"
        elif found := other_config(log, config):
            state = f"another config is there ({found})"
        elif log.ended:
            state = "finished"
        else:
            planned = log.header.get("planned_steps")
            state = f"at step {log.step:.0f}" + (f" of {planned}" if planned else "")
        yield config.name, printable(state)


# ---- training ----


@dataclass
class _Child:
    """The process of one run; ``said`` is a file of its messages, None where it writes to our stderr."""

    name: str
    process: subprocess.Popen[bytes]
    said: IO[bytes] | None


@dataclass
class _Tally:
    """Counts the runs as they end, and says so."""

    total: int
    finished: int
    busy: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)

    @property
    def place(self) -> str:
        return f"[{self.finished + self.busy + len(self.failed)}/{self.total}]"

    def end(self, child: _Child) -> None:
        code = child.process.returncode
        lines = _tail(child.said)
        if code == 0:
            self.finished += 1
            said = _last(lines, f"{child.name}: ") or f"{child.name}: done"
        elif code == BUSY:
            self.busy += 1
            said = f"{child.name}: busy: another process trains it"
        else:
            self.failed.append(child.name)
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            said = (
                f"{child.name}: failed:"
                f" {how if code < 0 else _last(lines, 'Error: ').removeprefix('Error: ') or how}"
            )
        if child.said is not None:
            child.said.close()
        if code or child.said is not None:  # a run that writes to our stderr has said itself that it is done
            _say(f"{self.place} {said}")

    def __str__(self) -> str:
        other = [(len(self.failed), "failed"), (self.busy, "busy")]
        return f"{_count(self.total)}: " + ", ".join(
            [f"{self.finished} finished", *(f"{number} {what}" for number, what in other if number)]
        )


class _Signals:
    """Collects the signals that ask us to stop, instead of being interrupted at any line; those that are
    ignored stay so.
    """

    _NAMES = ("SIGINT", "SIGTERM", "SIGHUP")

    def __enter__(self) -> list[int]:
        self._received: list[int] = []
        self._before: dict[int, Any] = {}
        for name in self._NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._note)
        return self._received

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)


def run_all(
    path: Path, configs: Sequence[Config], out: Path, *, jobs: int = 1, cache: Path | None = None
) -> int:
    """Train the configs of a grid file, each in a process of its own, ``jobs`` at once; returns the exit code
    of the command.

    A crash of one run does not touch the others. What happens is said on stderr. Raises InputError where the
    libraries for training are not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "collect grid starts its runs itself; for one run on several GPUs, accelerate launch -m"
            " collect run"
        )
    for library in NEEDED:
        if importlib.util.find_spec(library) is None:
            raise InputError(f"{library} is not installed; pip install 'stop-replay[collect]'")
    waiting = deque(config for config in configs if not _finished(config, out))
    tally = _Tally(len(configs), len(configs) - len(waiting))
    _say(f"{_count(tally.total)}, {tally.finished} finished already")
    devices = _devices() if jobs > 1 and waiting else []
    running: dict[int, _Child] = {}
    with _Signals() as received:
        try:
            while not received and (waiting or running):
                for slot in range(jobs):
                    if slot in running and running[slot].process.poll() is not None:
                        tally.end(running.pop(slot))
                    if slot not in running and waiting and not received:
                        config = waiting.popleft()
                        if jobs == 1:
                            _say(f"[{tally.total - len(waiting)}/{tally.total}] {config.name}")
                        running[slot] = _start(
                            path, config, out, cache, jobs, devices[slot % len(devices)] if devices else None
                        )
                if running:
                    time.sleep(_POLL_SECONDS)
        finally:
            _stop(list(running.values()), received)
        if received:
            tally.finished += sum(child.process.returncode == 0 for child in running.values())
            _say(f"interrupted: {tally.finished} of {tally.total} finished; the same command goes on")
            return 128 + received[0]
    _say(str(tally))
    if tally.failed:
        _say(f"failed: {', '.join(tally.failed)}")
    return 2 if tally.failed else 0


def _start(
    path: Path, config: Config, out: Path, cache: Path | None, jobs: int, device: str | None
) -> _Child:
    from collect import data, model

    # without -P a file of the working folder could stand in for a library; -m needs that folder only in a
    # bare checkout
    safe = [] if Path(__file__).resolve().parent.parent == Path.cwd().resolve() else ["-P"]
    command = [
        sys.executable,
        *safe,
        "-m",
        "collect",
        "grid",
        str(path),
        "--out",
        str(out),
        "--only",
        config.name,
        "--in-process",
    ]
    if cache is not None:
        command += ["--cache", str(cache)]
    environment = dict(os.environ)
    if model.is_local(config) and data.is_local(config):
        environment["HF_HUB_OFFLINE"] = "1"
    if jobs > 1 or not sys.stderr.isatty():
        environment["TQDM_DISABLE"] = "1"
    if jobs > 1:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cpus // jobs)))
    if device is not None:
        environment["CUDA_VISIBLE_DEVICES"] = device
    said = tempfile.TemporaryFile() if jobs > 1 else None  # closed when the run has ended  # noqa: SIM115
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        env=environment,
        # in a group of its own it gets a Ctrl-C from us, and once
        process_group=0 if os.name == "posix" else None,
    )
    return _Child(config.name, process, said)


def _stop(children: Sequence[_Child], received: list[int]) -> None:
    """Pass a signal on to the children and wait for them; a second signal, or an error of ours, does not wait
    for their own end.
    """
    told = max(len(received), 1)
    for child in children:
        if received and received[0] == signal.SIGINT:
            if os.name == "posix":  # elsewhere the console has told them
                child.process.send_signal(signal.SIGINT)
        else:
            child.process.terminate()
    while any(child.process.poll() is None for child in children):
        if len(received) > told:
            for child in children:
                child.process.kill()
        time.sleep(_POLL_SECONDS)
    for child in children:
        if child.said is not None:
            child.said.close()


def _devices() -> list[str]:
    """The GPUs that children can be spread over, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:  # CUDA ignores what comes after -1
        return list(
            itertools.takewhile(
                lambda device: device != "-1", (part.strip() for part in given.split(",") if part.strip())
            )
        )
    try:
        import torch
    except ImportError:
        return []
    return [str(number) for number in range(torch.cuda.device_count())]


def _tail(said: IO[bytes] | None) -> list[str]:
    if said is None:
        return []
    said.seek(max(0, said.seek(0, os.SEEK_END) - _TAIL_BYTES))
    text = said.read().decode(errors="replace")
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def _last(lines: Sequence[str], prefix: str) -> str:
    """The last line that begins with this, else the last at all."""
    chosen = [line for line in lines if line.startswith(prefix)] or lines
    return printable(chosen[-1]) if chosen else ""


def _count(number: int) -> str:
    return f"{number} run" if number == 1 else f"{number} runs"


def _say(line: str) -> None:
    click.echo(line, err=True)
