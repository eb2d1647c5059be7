"""The axes of a grid: one parameter or modifier with the values it was given, and how they are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import Field, dataclass
from functools import partial
from typing import Any, NamedTuple

from replay.errors import PolicyError, did_you_mean
from replay.policies.base import Policy
from replay.policies.modify import MODIFIERS, Modified
from replay.policies.param import format_parameter, say_example, type_of
from replay.policies.ranges import Range, parse_values
from replay.policies.rules.never import Never
from replay.policies.spec import parse_policy, read_modifier, read_number, read_parameter

__all__ = ["Axis", "Dimension", "Reading", "modifier_axis", "parameter_axis"]


@dataclass(frozen=True)
class Dimension:
    """One parameter of a grid and its values, as a specification writes them.

    Numbers ascend; other values are in the order given.
    """

    name: str
    values: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        """Whether all values are numbers, so that neighbours mean something."""
        return all(read_number(value) is not None for value in self.values)


class Axis(NamedTuple):
    """One parameter as it was given: its name, the name as typed, its values, and what parses a value."""

    name: str
    typed: str
    items: tuple[str | Range, ...]
    parse: Callable[[str], Any]

    @property
    def size(self) -> int:
        return sum(1 if isinstance(item, str) else item.size for item in self.items)

    def read(self) -> Reading:
        """Parse all values."""
        values: dict[str, Any] = {}
        failed: dict[str, str] = {}
        texts = {
            text: None for item in self.items for text in ([item] if isinstance(item, str) else item.texts())
        }
        for text in texts:
            try:
                value = self.parse(text)
            except PolicyError as error:
                failed[text] = str(error)
            else:
                values.setdefault(format_parameter(value), value)
        if Dimension(self.name, tuple(values)).ordered:
            values = dict(sorted(values.items(), key=lambda item: float(item[0])))
        return Reading(self, values, set(texts), failed)


class Reading(NamedTuple):
    """What an axis was read as.

    ``values`` has each value once, by how a specification writes it, numbers ascending. ``texts`` are all
    texts of the axis, ``failed`` those that are no value of it, with the reason.
    """

    axis: Axis
    values: dict[str, Any]
    texts: set[str]
    failed: dict[str, str]


def parameter_axis(policy_class: type[Policy], field: Field[Any], typed: str, values: str) -> Axis:
    """The axis of a parameter, by the name that was typed."""
    items = parse_values(typed, values, numbers=type_of(field) not in ("str", "bool"))
    return Axis(field.name, typed, items, partial(_parse_parameter, policy_class, field))


def modifier_axis(name: str, values: str) -> Axis:
    """The axis of a modifier."""
    items = parse_values(name, values, numbers=name in ("every", "start"))
    return Axis(name, name, items, partial(_parse_modifier, name))


def _parse_parameter(policy_class: type[Policy], field: Field[Any], text: str) -> Any:
    value, choices = read_parameter(policy_class, field, text), field.metadata["choices"]
    prefix = field.name if policy_class.name == field.name else f"{policy_class.name}: {field.name}"
    if choices and value not in choices:
        raise PolicyError(
            f"{prefix} is one of {', '.join(choices)}, not {value!r}{did_you_mean(str(value), choices)}"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise PolicyError(f"{prefix} must be a finite number, not {value!r}; {say_example(field)}")
    if isinstance(value, str) and not choices:
        _check_name(field.name, value)
    return value


def _parse_modifier(key: str, text: str) -> Any:
    value = read_modifier(key, text)
    Modified(Never(), **{MODIFIERS[key][0]: value})  # raises PolicyError for a value out of range
    if key == "monitor":
        _check_name(key, value)
    if key == "smooth" and value != "none":
        method, _, number = value.partition(":")
        return f"{method}:{format_parameter(float(number))}"
    return value


def _check_name(key: str, text: str) -> None:
    """Raise PolicyError for the name of a metric that a specification would not read as one."""
    try:
        whole = parse_policy(f"never:monitor={text}") == Modified(Never(), watch=text)
    except PolicyError:
        whole = False
    if not whole:
        raise PolicyError(f"{key} is the name of a metric, not {text!r}")
