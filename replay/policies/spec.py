"""The policy specification: ``[preset:]name=value,…``, joined by operators and parentheses.

From tightest to loosest: ``&`` (all at the same eval), ``&&`` (all, each at its own time), ``|`` (any),
``unless``.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field
from typing import Any

from replay.errors import PolicyError, suggestion
from replay.policies import ACROSS, POLICIES
from replay.policies.across import AcrossRuns, refuse_across
from replay.policies.base import Policy
from replay.policies.combine import AllOf, AllOnce, AnyOf, Unless
from replay.policies.modify import MODIFIERS, modified
from replay.policies.param import (
    describe_allowed,
    example_value,
    format_parameter,
    names_of,
    parameters,
    say_example,
    type_of,
)
from replay.policies.ranges import as_range

__all__ = [
    "describe_unknown",
    "example",
    "example_value",
    "parse_policy",
    "read_modifier",
    "read_number",
    "read_parameter",
]


def parse_policy(text: str, *, across: bool = False) -> Policy:
    """Parse a specification; raises PolicyError, which says what would have worked.

    Policies that compare runs with each other, such as ``asha``, are refused unless ``across`` is given: they
    cannot decide on one run alone.

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
    if parser.position < len(text):
        raise PolicyError(
            f"policy {text!r}: nothing may follow {text[: parser.position].strip()!r} but |, &, && or unless,"
            f" not {text[parser.position :].strip()!r}"
        )
    if parser.across and not across:
        refuse_across(policy)
    return policy


class _Parser:
    """Recursive descent over the operators; `_parse_one` reads the text of a single policy."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.depth = 0
        self.across = False  # whether a policy that compares runs is among the parts

    @contextlib.contextmanager
    def deeper(self, what: str) -> Iterator[None]:
        """One level of nesting; raises PolicyError beyond what can be evaluated."""
        self.depth += 1
        if self.depth > _MOST_LEVELS:
            raise PolicyError(
                f"policy {_shortened(self.text)!r}: {what} are nested more than {_MOST_LEVELS} deep"
            )
        yield
        self.depth -= 1

    def skip(self) -> None:
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1

    def take(self, symbol: str) -> bool:
        self.skip()
        if self.text.startswith(symbol, self.position) and not (
            symbol == "&" and self.text.startswith("&&", self.position)
        ):
            self.position += len(symbol)
            return True
        return False

    def unless(self) -> Policy:
        policy = self.any_of()
        with contextlib.ExitStack() as levels:  # each forbids what all before it decide
            while _UNLESS.match(self.text, self.position):
                levels.enter_context(self.deeper("policies joined by unless"))
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
        self, symbol: str, combine: Callable[[tuple[Policy, ...]], Policy], inner: Callable[[], Policy]
    ) -> Policy:
        parts = [inner()]
        while self.take(symbol):
            parts.append(inner())
        return parts[0] if len(parts) == 1 else combine(tuple(parts))

    def atom(self) -> Policy:
        if self.take("("):
            with self.deeper("parentheses"):
                inner = self.unless()
            if not self.take(")"):
                raise PolicyError(f"policy {_shortened(self.text)!r}: a parenthesis is not closed")
            return inner
        self.skip()
        begin, depth = self.position, 0
        while self.position < len(self.text):
            char = self.text[self.position]
            if depth == 0 and (char in "|&)" or _UNLESS.match(self.text, self.position)):
                break
            depth += (char == "(") - (char == ")")  # parentheses inside a value: monitor=metrics/mAP50(B)
            self.position += 1
        single = self.text[begin : self.position].strip()
        if not single:
            before = begin < len(self.text)
            symbol = (
                re.match(r"&&|unless|.", self.text[begin:])
                if before
                else re.search(r"(&&|unless|.)$", self.text.strip())
            )
            raise PolicyError(
                f"policy {self.text!r}: a policy is missing {'before' if before else 'after'}"
                f" {symbol[0] if symbol else self.text!r}"
            )
        policy = _parse_one(single)
        self.across |= isinstance(policy, AcrossRuns)
        return policy


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else text[:99] + "…"


#: How deep policies may be nested: more than anybody writes, and few enough to be evaluated.
_MOST_LEVELS = 64
_PLATEAU = (
    "it lowers the learning rate, and what comes after is another training; torch-plateau stops where it"
    " would first act"
)
_FREEZING = (
    "it freezes weights, and what comes after is another training; grades stops where all would be frozen"
)
_POPULATION = "it exchanges weights between runs, which then are no longer those of the logs"
#: Rules that act on the training, or on several trainings, and why they are no policies. Keys are the letters
#: of the name in lower case.
_ACTIONS = {
    "reducelronplateau": _PLATEAU,
    "reduceonplateau": _PLATEAU,
    "greedylr": _PLATEAU,
    "freeze": _FREEZING,
    "freezing": _FREEZING,
    "layerfreezing": _FREEZING,
    "pbt": _POPULATION,
    "populationbasedtraining": _POPULATION,
}
_UNLESS = re.compile(r"\s*(?<![^\s)])unless(?![^\s(])")


def _parse_one(text: str) -> Policy:
    """Parse the text of a single policy, ``[name:]parameter=value,…``."""
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
            better = f"{name or 'patience'}={item}" if read_number(item) is not None else f"{key}=…"
            raise PolicyError(f"policy {text!r}: {item!r} is not name=value; write {better}")
        if key in pairs:
            raise PolicyError(f"policy {text!r}: {key} is given twice")
        pairs[key] = value
    if name is None:
        name = next((key for key in pairs if key in POLICIES or key in ACROSS), next(iter(pairs)))
    if name not in POLICIES and name not in ACROSS:
        raise PolicyError(describe_unknown(name))
    policy_class = ACROSS[name] if name in ACROSS else POLICIES[name]
    fields = {spelling: item for item in parameters(policy_class) for spelling in names_of(item)}
    given: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for key, value in pairs.items():
        if key in fields:
            field = fields[key]
            if field.name in given:
                raise PolicyError(f"policy {text!r}: {key} and {field.name} are the same parameter; give one")
            given[field.name] = read_parameter(policy_class, field, value)
        elif key in MODIFIERS and name in ACROSS:
            raise PolicyError(
                f"{name} takes no {key}=: it compares what all runs report; it has"
                f" {', '.join(fields)}. For the metric give --monitor and --mode"
            )
        elif key in MODIFIERS:
            changes[MODIFIERS[key][0]] = read_modifier(key, value)
        else:
            raise PolicyError(_describe_unknown_parameter(policy_class, key))
    required = [item.name for item in parameters(policy_class) if item.default is MISSING]
    missing = [field_name for field_name in required if field_name not in given]
    if missing:
        lacks = "has no value" if missing[0] == text else f"lacks {missing[0]}"
        raise PolicyError(f"policy {text!r} {lacks}; write for instance {example(policy_class)}")
    return modified(policy_class(**given), **changes)


def _describe_unknown_parameter(policy_class: type[Policy], key: str) -> str:
    allowed = suggestion(key, [*(item.name for item in parameters(policy_class)), *MODIFIERS])
    elsewhere = _describe_other_policies(key, policy_class.name)
    if elsewhere and allowed.endswith("?"):
        elsewhere = f" Though{elsewhere[1:]}"
    return f"{policy_class.name} has no parameter {key!r}; it has {allowed}{elsewhere}"


def describe_unknown(name: str) -> str:
    """What to say of a name that no policy has, with what would have worked."""
    if (why := _ACTIONS.get(re.sub("[^a-z]", "", name.lower()))) is not None:
        return f"{name} cannot be replayed from a log: {why}"
    if name in MODIFIERS:
        return f"{name} modifies a policy and is none itself; write for instance patience=3,{name}=…"
    elsewhere = _describe_other_policies(name, "")
    return f"no policy {name!r}" + (elsewhere or f"; there are {suggestion(name, [*POLICIES, *ACROSS])}")


def _describe_other_policies(key: str, but: str) -> str:
    """Which policies, but one, take a parameter of this name; empty where none does."""
    takers = [
        name
        for name, policy_class in POLICIES.items()
        if name != but and any(key in names_of(item) for item in parameters(policy_class))
    ]
    return f"; {key} is a parameter of {', '.join(takers)}: write {takers[0]}:{key}=…" if takers else ""


def example(policy_class: type[Policy]) -> str:
    """A specification of the policy that works, for messages and tables."""
    shown = [
        item for item in parameters(policy_class) if item.default is MISSING or "patience" in names_of(item)
    ]
    values = ",".join(f"{item.name}={example_value(item)}" for item in shown)
    if not values or shown[0].name == policy_class.name:
        return values or policy_class.name
    return f"{policy_class.name}:{values}"


def read_number(text: str) -> float | None:
    """The number that a text is; None where it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def read_parameter(policy_class: type[Policy], parameter: Field[Any], text: str) -> Any:
    """The value of a parameter from its text; raises PolicyError where the text is not of the right type."""
    wanted, prefix = type_of(parameter), f"{policy_class.name}: {parameter.name}"
    if policy_class.name == parameter.name:
        prefix = parameter.name
    if wanted == "str":
        return text
    if wanted == "bool":
        if text.lower() not in ("true", "false"):
            raise PolicyError(f"{prefix} is true or false, not {text!r}")
        return text.lower() == "true"
    value = read_number(text)
    if value is None:
        instead = say_example(parameter)
        if (several := as_range(text)) is not None:
            instead += f", or in a grid {parameter.name}={several}"
        raise PolicyError(f"{prefix} must be {describe_allowed(parameter)}, not {text!r}; {instead}")
    if wanted == "int":
        if not math.isfinite(value) or value != int(value):
            shown = format_parameter(value)
            raise PolicyError(f"{prefix} must be a whole number, not {shown}; {say_example(parameter)}")
        return _whole(text, value)
    return value


def _whole(text: str, value: float) -> int:
    """The whole number that a text is, exactly; ``value`` is the text as a float, such as 1e3."""
    try:
        return int(text)
    except ValueError:
        return int(value)


def read_modifier(key: str, text: str) -> Any:
    """The value of a modifier from its text; raises PolicyError where it should be a number and is not."""
    if key not in ("every", "start") or (key == "start" and text == "lr_warmup"):
        return text
    value = read_number(text)
    if value is None or not math.isfinite(value):
        wanted = "a number or lr_warmup" if key == "start" else "a whole number of at least 1"
        value_of = {"start": "start=100", "every": "every=2"}[key]
        several = as_range(text)
        instead = value_of if several is None else f"{value_of}, or in a grid {key}={several}"
        raise PolicyError(f"{key} must be {wanted}, not {text!r}; write for instance {instead}")
    if key == "every":
        if value != int(value):
            raise PolicyError(f"every counts whole evals, not {format_parameter(value)}")
        return _whole(text, value)
    return value
