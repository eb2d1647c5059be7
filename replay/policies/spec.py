"""The policy specification: ``[preset:]name=value,…``, joined by ``|`` (any), ``&`` (all) and parentheses."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

from replay.errors import InputError, PolicyError, suggestion
from replay.policies import POLICIES
from replay.policies.base import Policy, parameters, plain
from replay.policies.combine import AllOf, AnyOf, modified

__all__ = ["MODIFIERS", "example", "parse_policy", "read_policies"]

#: Parameters that every policy takes: the name in a specification, the field of Modified, and what it does.
MODIFIERS: dict[str, tuple[str, str]] = {
    "monitor": ("watch", "the metric to watch (default: the one of the command)"),
    "mode": ("direction", "min or max, where the metric's name or log does not say"),
    "every": ("every", "make only every k-th eval"),
    "smooth": ("smooth", "ema:0.3 (weight of the new value), mean:3 or median:3 (evals)"),
    "start": ("start", "first eval (or step, epoch: the policy's unit) at which it may look"),
}


def parse_policy(text: str) -> Policy:
    """The policy that a specification names; raises PolicyError, saying what would have worked.

    Examples
    --------
    >>> parse_policy("transformers:patience=3,threshold=0.05").stop_eval([1.0, 0.96, 0.92, 0.88])
    4
    >>> str(parse_policy("patience=3.0, smooth=ema:0.3 | target=0.5"))
    'patience=3,smooth=ema:0.3 | target=0.5'
    """
    if not text.strip():
        raise PolicyError(f"an empty policy; write for instance patience=3 (there are {', '.join(POLICIES)})")
    parser = _Parser(text)
    policy = parser.any_of()
    parser.skip()
    if parser.at < len(text):
        raise PolicyError(
            f"policy {text!r}: nothing may follow {text[: parser.at].strip()!r} but | or &, not {text[parser.at :].strip()!r}"
        )
    return policy


def read_policies(path: Path) -> dict[str, str]:
    """Specifications by name from a TOML file with one table ``[policies.NAME]`` a policy, which holds ``spec = "…"``.

    Raises InputError where the file cannot be read, PolicyError where a specification cannot.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    tables = document.get("policies")
    if not isinstance(tables, dict) or not tables:
        raise InputError(f'{path}: no policies; write [policies.NAME] and, in it, spec = "patience=3"')
    specs = {}
    for name, table in tables.items():
        spec = table.get("spec") if isinstance(table, dict) else None
        if not isinstance(spec, str):
            raise InputError(f'{path}: [policies.{name}] needs spec = "…", such as spec = "patience=3"')
        specs[str(name)] = parse_policy(spec).spec()
    return specs


class _Parser:
    """Recursive descent over ``|`` and ``&``; one policy's own text is handed to `_one`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, symbol: str) -> bool:
        self.skip()
        if self.text.startswith(symbol, self.at):
            self.at += 1
            return True
        return False

    def any_of(self) -> Policy:
        parts = [self.all_of()]
        while self.take("|"):
            parts.append(self.all_of())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def all_of(self) -> Policy:
        parts = [self.atom()]
        while self.take("&"):
            parts.append(self.atom())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def atom(self) -> Policy:
        if self.take("("):
            inner = self.any_of()
            if not self.take(")"):
                raise PolicyError(f"policy {self.text!r}: a parenthesis is not closed")
            return inner
        self.skip()
        begin, depth = self.at, 0
        while self.at < len(self.text):
            char = self.text[self.at]
            if depth == 0 and char in "|&)":
                break
            depth += (char == "(") - (char == ")")  # parentheses inside a value: monitor=metrics/mAP50(B)
            self.at += 1
        own = self.text[begin : self.at].strip()
        if not own:
            raise PolicyError(
                f"policy {self.text!r}: a policy is missing {'before' if begin < len(self.text) else 'after'} {self.text.strip()[-1]!r}"
            )
        return _one(own)


def _one(text: str) -> Policy:
    head, colon, rest = text.partition(":")
    name: str | None = None
    if colon and "=" not in head:
        name, body = head.strip(), rest
    elif "=" not in text:
        name, body = text.strip(), ""
    else:
        body = text
    pairs: dict[str, str] = {}
    for item in filter(None, (piece.strip() for piece in body.split(","))):
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not equals or not value:
            better = f"{name or 'patience'}={item}" if _number(item) is not None else f"{key}=…"
            raise PolicyError(f"policy {text!r}: {item!r} is not name=value; write {better}")
        if key in pairs:
            raise PolicyError(f"policy {text!r}: {key} is given twice")
        pairs[key] = value
    if name is None:
        named = [key for key in pairs if key in POLICIES]
        name = named[0] if named else next(iter(pairs))
    if name not in POLICIES:
        raise PolicyError(_unknown(name))
    kind = POLICIES[name]
    own = {item.name: item for item in parameters(kind)}
    spelled = {alias: item for item in own.values() for alias in (item.name, *item.metadata["aliases"])}
    given: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for key, value in pairs.items():
        if key in spelled:
            field = spelled[key]
            if field.name in given:
                raise PolicyError(f"policy {text!r}: {key} and {field.name} are the same parameter; give one")
            given[field.name] = _value(kind, field, value)
        elif key in MODIFIERS:
            changes[MODIFIERS[key][0]] = _modifier(key, value)
        else:
            allowed = [*own, *MODIFIERS]
            raise PolicyError(f"{name} has no parameter {key!r}; it has {suggestion(key, allowed)}{_elsewhere(key, name)}")
    lacking = [item.name for item in own.values() if item.default is MISSING and item.name not in given]
    if lacking:
        raise PolicyError(f"policy {text!r} lacks {lacking[0]}; write for instance {example(kind)}")
    return modified(kind(**given), **changes)


def _unknown(name: str) -> str:
    if name in MODIFIERS:
        return f"{name} modifies a policy and is none itself; write for instance patience=3,{name}=…"
    elsewhere = _elsewhere(name, "")
    return f"no policy {name!r}" + (elsewhere or f"; there are {suggestion(name, POLICIES)}")


def _elsewhere(key: str, but: str) -> str:
    """Which other policies take a parameter of this name."""
    takers = [
        kind.name
        for kind in POLICIES.values()
        if kind.name != but and any(key in (item.name, *item.metadata["aliases"]) for item in parameters(kind))
    ]
    return f"; {key} is a parameter of {', '.join(takers)}: write {takers[0]}:{key}=…" if takers else ""


def example(kind: type[Policy]) -> str:
    """A specification of the policy that works, for messages and tables."""
    known = {"patience": "3", "budget": "500", "divergence": "5"}
    wanted = [item for item in parameters(kind) if item.default is MISSING or item.name == "patience"]
    values = ",".join(f"{item.name}={known.get(item.name, '0.5')}" for item in wanted)
    if not values or wanted[0].name == kind.name:
        return values or kind.name
    return f"{kind.name}:{values}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _value(kind: type[Policy], field: Field[Any], text: str) -> Any:
    wanted = str(field.type)
    if wanted == "str":
        return text
    if wanted == "bool":
        if text.lower() not in ("true", "false"):
            raise PolicyError(f"{kind.name}: {field.name} is true or false, not {text!r}")
        return text.lower() == "true"
    value = _number(text)
    if value is None:
        raise PolicyError(f"{kind.name}: {field.name} must be a number, not {text!r}")
    if wanted == "int":
        if value != value or value in (float("inf"), float("-inf")) or value != int(value):
            raise PolicyError(f"{kind.name}: {field.name} must be a whole number, not {plain(value)}")
        return int(value)
    return value


def _modifier(key: str, text: str) -> Any:
    if key not in ("every", "start"):
        return text
    value = _number(text)
    if value is None or value != value or value in (float("inf"), float("-inf")):
        raise PolicyError(f"{key} must be a number, not {text!r}")
    if key == "every":
        if value != int(value):
            raise PolicyError(f"every counts whole evals, not {plain(value)}")
        return int(value)
    return value
