"""The keys of [lora] beyond our own: those of peft's LoraConfig, checked against it before a training.

Which keys there are, and what they take, is read from peft's dataclasses; the rest peft says itself.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
import warnings
from collections.abc import Mapping
from typing import Any, Literal

from replay.errors import InputError, suggestion

if typing.TYPE_CHECKING:
    from collect.config.sections import Lora

__all__ = ["check", "make_lora_config"]

#: Fields of LoraConfig that are keys of our own under another name.
_OURS = {"lora_alpha": "alpha", "lora_dropout": "dropout"}
#: Fields that are no settings of a training, with the reason.
_REFUSED = {
    **dict.fromkeys(
        ("peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
        "peft writes it into a saved adapter",
    ),
    "task_type": "it follows from task",
    "inference_mode": "an adapter that is trained is not in inference mode",
    "megatron_config": "models of Megatron are not trained here",
    "megatron_core": "it names Python code that peft would run",
    "use_qalora": "it needs a model that GPTQ has quantized",
    "qalora_group_size": "it needs a model that GPTQ has quantized",
    "arrow_config": "it routes between adapters that are trained already",
}
#: Keys inside a table that are refused too: peft would read and write these files.
_FILES = ("cache_file", "covariance_file")
_BASE = (bool, int, float, str)


def check(options: Mapping[str, Any], own: typing.Iterable[str], *, values: bool = True) -> None:
    """Raise InputError where a key is not a field of LoraConfig, or a value is not of its type.

    ``own`` are our keys, which a message names too. Without ``values`` only the keys are checked.
    """
    hints = _hints()
    for key, value in options.items():
        if key in _OURS:
            raise InputError(f"unknown key lora.{key}; its name is lora.{_OURS[key]}")
        if key in _REFUSED:
            raise InputError(f"lora.{key} cannot be set: {_REFUSED[key]}")
        if key not in hints:
            allowed = suggestion(key, {*own, *(set(hints) - set(_OURS) - set(_REFUSED))})
            raise InputError(f"unknown key lora.{key}; allowed in [lora] are {allowed}")
        if values:
            _check_value(f"lora.{key}", value, hints[key])


def make_lora_config(lora: Lora, task: str) -> Any:
    """The LoraConfig of a section [lora]; raises InputError with peft's reason where it refuses it."""
    from peft import LoraConfig, TaskType

    hints, options = _hints(), lora.options
    try:
        converted = {key: _convert(value, hints[key]) for key, value in options.items()}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            config = LoraConfig(
                task_type=TaskType.SEQ_CLS if task == "classification" else TaskType.CAUSAL_LM,
                r=lora.r,
                lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft takes fractions too
                lora_dropout=lora.dropout,
                target_modules=(
                    lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
                ),
                modules_to_save=list(lora.modules_to_save) or None,
                use_rslora=lora.use_rslora,
                **converted,
            )
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(f"peft refuses {_listed(options)}: {_one_line(error)}") from None
    for warning in caught:
        # what peft would ignore has been asked for by mistake
        if re.search(r"will be ignored|only supported", str(warning.message)):
            raise InputError(f"peft refuses {_listed(options)}: {_one_line(warning.message)}")
    return config


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"lora.{key} = {value!r}" for key, value in options.items())


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split())


def _hints() -> dict[str, Any]:
    """The fields of LoraConfig with their types."""
    from peft import LoraConfig

    hints = typing.get_type_hints(LoraConfig)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(LoraConfig)}
    fields |= {"rank_pattern": dict[str, int], "alpha_pattern": dict[str, float]}  # peft says: a table
    if "lora_ga_config" in fields:  # peft's annotation leaves this name out (0.21)
        fields["init_lora_weights"] = fields["init_lora_weights"] | Literal["lora_ga"]
    return fields


def _check_value(key: str, value: Any, hint: Any) -> None:
    section = _dataclass(hint)
    if section is None or not isinstance(value, dict):
        if not _fits(value, hint):
            raise InputError(f"{key} = {value!r}; it must be {_describe(hint)}")
        return
    fields = _section_fields(section)
    for name, inner in value.items():
        if name in _FILES:
            raise InputError(f"{key}.{name} cannot be set: a training reads no files but those of its data")
        if name not in fields:
            raise InputError(f"unknown key {key}.{name}; allowed are {suggestion(name, fields)}")
        _check_value(f"{key}.{name}", inner, fields[name])


def _section_fields(section: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(section)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(section)
        if field.init and field.name not in _FILES
    }


def _convert(value: Any, hint: Any) -> Any:
    section = _dataclass(hint)
    return section(**value) if section is not None and isinstance(value, dict) else value


def _options(hint: Any) -> list[Any]:
    """The alternatives of a type, without None, which TOML does not have."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [
            inner
            for option in typing.get_args(hint)
            if option is not type(None)
            for inner in _options(option)
        ]
    return [hint]


def _dataclass(hint: Any) -> type[Any] | None:
    return next((option for option in _options(hint) if dataclasses.is_dataclass(option)), None)  # type: ignore[return-value]


def _fits(value: Any, hint: Any) -> bool:
    return any(_fits_one(value, option) for option in _options(hint))


def _fits_one(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return any(_matches(value, word) for word in arguments)
    if origin is tuple and isinstance(value, list):
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if (origin or hint) is list:
        return isinstance(value, list) and all(_fits(item, (*arguments, Any)[0]) for item in value)
    if (origin or hint) is dict:
        return isinstance(value, dict) and all(
            _fits(item, (*arguments, Any, Any)[1]) for item in value.values()
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in _BASE:
        return type(value) is hint
    return hint is Any


def _matches(value: Any, word: Any) -> bool:
    """Whether a value is a word, or has the form of one such as ``pissa_niter_[number of iters]``."""
    if not isinstance(word, str) or "[" not in word:
        return bool(type(value) is type(word) and value == word)
    pattern = "[0-9]+".join(map(re.escape, re.split(r"\[.*?\]", word)))
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _describe(hint: Any) -> str:
    words = [
        word
        for option in _options(hint)
        if typing.get_origin(option) is Literal
        for word in typing.get_args(option)
    ]
    parts = [_describe_one(option) for option in _options(hint) if typing.get_origin(option) is not Literal]
    return " or ".join([*dict.fromkeys(parts), *(["one of " + ", ".join(map(str, words))] if words else [])])


def _describe_one(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return "a table with " + ", ".join(_section_fields(typing.cast(type[Any], hint)))
    if origin is list:
        return f"a list of {_plural(arguments[0])}" if arguments else "a list"
    if origin is tuple:
        return f"a list of {len(arguments)} {_plural(arguments[0])}"
    if origin is dict:
        return f"a table of {_plural(arguments[1])}" if arguments else "a table"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    return names.get(hint, "a value")


def _plural(hint: Any) -> str:
    if typing.get_origin(hint) is tuple:
        return f"lists of {len(typing.get_args(hint))} {_plural(typing.get_args(hint)[0])}"
    if typing.get_origin(hint) is list:
        return f"lists of {_plural(typing.get_args(hint)[0])}"
    return {int: "whole numbers", float: "numbers", str: "strings"}.get(hint, "values")
