"""From a TOML file, or a log's record of a config, to the checked config; every mistake is one sentence."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from collect.config.peft_options import check
from collect.config.rules import refusals
from collect.config.sections import TYPES_ONLY, Config, Lora
from replay import files
from replay.errors import InputError, suggestion

__all__ = ["SECTIONS", "describe", "load", "parse", "parse_record", "read_toml"]


def load(path: Path) -> Config:
    """The config of a TOML file; its name is the file's unless it says another.

    Raises InputError where the file cannot be read or says something impossible.
    """
    raw = read_toml(path)
    raw.setdefault("name", path.stem)
    return dataclasses.replace(parse(raw, str(path)), root=path.parent)


def parse(raw: Mapping[str, Any], where: str) -> Config:
    """The config of a mapping as TOML gives it; ``where`` names its origin in messages.

    Raises InputError where a key is unknown or missing, or a value is impossible.
    """
    config = _validate(raw, where)
    for refusal in refusals(config):
        raise InputError(f"{where}: {refusal}")
    return config


def parse_record(record: Mapping[str, Any], where: str) -> Config:
    """The config of what ``Config.record`` gave, now or in an older version, whose missing keys get their
    defaults.

    Raises InputError where a key is unknown or of another type. The values are not checked again, since a log
    may be older than a rule.
    """
    return _validate(record, where, TYPES_ONLY)


def read_toml(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tables of a TOML file over those of its ``base``; ``seen`` are the files that led here.

    Raises InputError where a file cannot be read or a base leads back.
    """
    try:
        raw = files.parse_toml(files.read_file(path), str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file or directory") from None
    base = raw.pop("base", None)
    if base is None:
        return raw
    if not isinstance(base, str):
        raise InputError(f"{path}: base = {base!r}; it must be the path of another config")
    other = (path.parent / base).resolve()
    if other in (path.resolve(), *seen):
        raise InputError(f"{path}: base = {base!r} leads back to a config that starts from this one")
    return _merge(read_toml(path.parent / base, (*seen, path.resolve())), raw)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


_ADAPTER: TypeAdapter[Config] = TypeAdapter(Config)


def _key_types(section: type[Any]) -> dict[str, Any]:
    """The keys of a section with their types, without the bounds."""
    hints = typing.get_type_hints(section)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(section)
        if field.metadata.get("key", True)
    }


def _section(kind: Any) -> type[Any] | None:
    """The dataclass of a section, also of one that may be absent; None for a plain key."""
    options = typing.get_args(kind) or (kind,)
    return next(
        (typing.cast(type[Any], option) for option in options if dataclasses.is_dataclass(option)), None
    )


#: The sections by name.
SECTIONS = {
    name: section for name, kind in _key_types(Config).items() if (section := _section(kind)) is not None
}


def _validate(raw: Mapping[str, Any], where: str, context: str | None = None) -> Config:
    """The config, its keys, types and single values checked."""
    if "root" in raw:  # a field, but not a key
        raise InputError(f"{where}: {_describe_unknown_key('root')}")
    # the message on a section that is missing names the key that it must have
    required: dict[str, Any] = {
        field.name: {}
        for field in dataclasses.fields(Config)
        if field.name in SECTIONS and field.default is dataclasses.MISSING
    }
    given = {**required, **raw}
    if (options := _peft_options(given.get("lora"))) and isinstance(lora := given["lora"], Mapping):
        try:
            check(options, _key_types(Lora), values=context != TYPES_ONLY)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        own = {key: value for key, value in lora.items() if key not in options}
        given["lora"] = {**own, "options": options}
    try:
        return _ADAPTER.validate_python(given, context=context)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
    # a misspelt key comes first: it explains a missing one
    mistakes.sort(key=lambda mistake: mistake["type"] != "unexpected_keyword_argument")
    raise InputError(f"{where}: {_describe_mistake(mistakes[0], given)}")


def _peft_options(lora: Any) -> dict[str, Any]:
    """The keys of a section [lora] that are not our own."""
    own = _key_types(Lora)
    return {key: value for key, value in lora.items() if key not in own} if isinstance(lora, Mapping) else {}


def _describe_mistake(mistake: Mapping[str, Any], raw: Mapping[str, Any]) -> str:
    """What is wrong, from pydantic's account of a mistake."""
    first, *more = map(str, mistake["loc"])
    section = SECTIONS.get(first)
    if section is not None and not more:
        return f"{first} = {raw[first]!r}; it must be a section [{first}]"
    name, key = (first, first) if section is None else (more[0], f"{first}.{more[0]}")
    if mistake["type"] == "unexpected_keyword_argument":
        return _describe_unknown_key(name, None if section is None else first)
    kind = _key_types(section or Config)[name]
    if mistake["type"] == "missing":
        return f"{key} is missing; it must be {describe(kind)}"
    value = raw[name] if section is None else raw[first][name]
    if mistake["type"] == "value_error":
        allowed = str(mistake["ctx"]["error"])
    elif mistake["type"] == "literal_error" and isinstance(value, str):
        allowed = f"it must be one of {suggestion(value, _words(kind))}"
    else:
        allowed = f"it must be {describe(kind)}"
    return f"{key} = {value!r}; {allowed}"


def _describe_unknown_key(name: str, section: str | None = None) -> str:
    if section is None:
        return f"unknown key {name}; allowed are {suggestion(name, _key_types(Config))}"
    allowed = suggestion(name, _key_types(SECTIONS[section]))
    return f"unknown key {section}.{name}; allowed in [{section}] are {allowed}"


def _words(kind: Any) -> list[str]:
    """The words that a key with a choice of words takes."""
    if typing.get_origin(kind) is Literal:
        return list(typing.get_args(kind))
    return [word for option in typing.get_args(kind) for word in _words(option)]


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
