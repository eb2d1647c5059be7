"""The policy specification: ``[preset:]name=value,…``, joined by operators and parentheses.

From tightest to loosest: ``&`` (all at the same eval), ``&&`` (all, each at its own time), ``|`` (any),
``unless``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

from replay.errors import InputError, PolicyError, suggestion
from replay.policies import POLICIES
from replay.policies.base import Policy, format_parameter, parameters
from replay.policies.combine import AllOf, AllOnce, AnyOf, Unless
from replay.policies.modify import modified

__all__ = ["MODIFIERS", "example", "parse_policy", "read_policies"]

#: Parameters that every policy takes: the name in a specification, the field of Modified, and what it does.
MODIFIERS: dict[str, tuple[str, str]] = {
    "monitor": ("watch", "the metric to watch (default: the one of the command)"),
    "mode": ("direction", "min or max, where the metric's name or log does not say"),
    "every": ("every", "make only every k-th eval"),
    "smooth": ("smooth", "ema:0.3 (weight of the new value), mean:3 or median:3 (evals)"),
    "start": (
        "start",
        (
            "first eval (or step, epoch, token: its unit) at which it may look; lr_warmup: once the learning"
            " rate has risen"
        ),
    ),
    "reset_on": ("reset_on", "lr_drop: count anew when the learning rate falls to half or less"),
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
    policy = parser.unless()
    parser.skip()
    if parser.at < len(text):
        raise PolicyError(
            f"policy {text!r}: nothing may follow {text[: parser.at].strip()!r} but |, &, && or unless, not"
            f" {text[parser.at :].strip()!r}"
        )
    return policy


def read_policies(path: Path) -> dict[str, str]:
    """Specifications by name from a TOML file with one table ``[policies.NAME]`` a policy, which holds ``spec
    = "…"``.

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
    """Recursive descent over the operators; one policy's own text is handed to `_one`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, symbol: str) -> bool:
        self.skip()
        if self.text.startswith(symbol, self.at) and not (
            symbol == "&" and self.text.startswith("&&", self.at)
        ):
            self.at += len(symbol)
            return True
        return False

    def unless(self) -> Policy:
        policy = self.any_of()
        while _UNLESS.match(self.text, self.at):
            self.take("unless")
            policy = Unless((policy, self.any_of()))
        return policy

    def any_of(self) -> Policy:
        return self.joined("|", AnyOf, self.all_once)

    def all_once(self) -> Policy:
        return self.joined("&&", AllOnce, self.all_of)

    def all_of(self) -> Policy:
        return self.joined("&", AllOf, self.atom)

    def joined(
        self, symbol: str, kind: Callable[[tuple[Policy, ...]], Policy], inner: Callable[[], Policy]
    ) -> Policy:
        parts = [inner()]
        while self.take(symbol):
            parts.append(inner())
        return parts[0] if len(parts) == 1 else kind(tuple(parts))

    def atom(self) -> Policy:
        if self.take("("):
            inner = self.unless()
            if not self.take(")"):
                raise PolicyError(f"policy {self.text!r}: a parenthesis is not closed")
            return inner
        self.skip()
        begin, depth = self.at, 0
        while self.at < len(self.text):
            char = self.text[self.at]
            if depth == 0 and (char in "|&)" or _UNLESS.match(self.text, self.at)):
                break
            depth += (char == "(") - (char == ")")  # parentheses inside a value: monitor=metrics/mAP50(B)
            self.at += 1
        own = self.text[begin : self.at].strip()
        if not own:
            before = begin < len(self.text)
            found = (
                re.match(r"&&|unless|.", self.text[begin:])
                if before
                else re.search(r"(&&|unless|.)$", self.text.strip())
            )
            raise PolicyError(
                f"policy {self.text!r}: a policy is missing {'before' if before else 'after'}"
                f" {found[0] if found else self.text!r}"
            )
        return _one(own)


_PLATEAU = (
    "it lowers the learning rate, and what comes after is another training; torch-plateau stops where it"
    " would first act"
)
_FREEZING = (
    "it freezes weights, and what comes after is another training; grades stops where all would be frozen"
)
_POPULATION = "it exchanges weights between runs, which then are no longer those of the logs"
_HALVING = "it compares runs while they train, in an order that their logs do not tell"
#: Rules that act on the training, or on several: why there is no policy of that name. Letters only, whatever
#: they are written with.
_ACTIONS = {
    "reducelronplateau": _PLATEAU,
    "reduceonplateau": _PLATEAU,
    "greedylr": _PLATEAU,
    "freeze": _FREEZING,
    "freezing": _FREEZING,
    "layerfreezing": _FREEZING,
    "pbt": _POPULATION,
    "populationbasedtraining": _POPULATION,
    "asha": _HALVING,
    "hyperband": _HALVING,
    "successivehalving": _HALVING,
    "medianpruner": _HALVING,
    "median": _HALVING,
}
#: The operator, at the end of what comes before it.
_UNLESS = re.compile(r"\s*(?<![^\s)])unless(?![^\s(])")


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
            has, takers = suggestion(key, allowed), _elsewhere(key, name)
            raise PolicyError(
                f"{name} has no parameter {key!r}; it has"
                f" {has}{' Though' + takers[1:] if takers and has[-1] == '?' else takers}"
            )
    lacking = [item.name for item in own.values() if item.default is MISSING and item.name not in given]
    if lacking:
        raise PolicyError(f"policy {text!r} lacks {lacking[0]}; write for instance {example(kind)}")
    return modified(kind(**given), **changes)


def _unknown(name: str) -> str:
    if (why := _ACTIONS.get(re.sub("[^a-z]", "", name.lower()))) is not None:
        return f"{name} cannot be replayed from a log: {why}"
    if name in MODIFIERS:
        return f"{name} modifies a policy and is none itself; write for instance patience=3,{name}=…"
    elsewhere = _elsewhere(name, "")
    return f"no policy {name!r}" + (elsewhere or f"; there are {suggestion(name, POLICIES)}")


def _elsewhere(key: str, but: str) -> str:
    """Which other policies take a parameter of this name."""
    takers = [
        kind.name
        for kind in POLICIES.values()
        if kind.name != but
        and any(key in (item.name, *item.metadata["aliases"]) for item in parameters(kind))
    ]
    return f"; {key} is a parameter of {', '.join(takers)}: write {takers[0]}:{key}=…" if takers else ""


def example(kind: type[Policy]) -> str:
    """A specification of the policy that works, for messages and tables."""
    known = {
        "budget": "500",
        "divergence": "5",
        "slope": "0.001",
        "adapter": "0.01",
        "drift": "0.1",
        "min_gain": "0.01",
    }
    waits = [item.name for item in parameters(kind) if "patience" in (item.name, *item.metadata["aliases"])]
    wanted = [item for item in parameters(kind) if item.default is MISSING or item.name in waits]
    values = ",".join(
        f"{item.name}={'3' if item.name in waits else known.get(item.name, '0.5')}" for item in wanted
    )
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
            raise PolicyError(
                f"{kind.name}: {field.name} must be a whole number, not {format_parameter(value)}"
            )
        return int(value)
    return value


def _modifier(key: str, text: str) -> Any:
    if key not in ("every", "start"):
        return text
    if key == "start" and text == "lr_warmup":
        return text
    value = _number(text)
    if value is None or value != value or value in (float("inf"), float("-inf")):
        raise PolicyError(f"{key} must be a number{' or lr_warmup' if key == 'start' else ''}, not {text!r}")
    if key == "every":
        if value != int(value):
            raise PolicyError(f"every counts whole evals, not {format_parameter(value)}")
        return int(value)
    return value
