"""Grids of policies: every combination of values of a policy's parameters, from ``NAME=VALUES`` texts.

``patience=1..20``, ``min_delta=0,1e-4,1e-3``, ``smooth=none,ema:0.3`` and ``rule=patience,keras`` cross to
policies. VALUES is a list of values and of ranges, see `replay.policies.ranges`. A grid is counted before any
of it is made.

``rule=all`` stands for the policies that come with replay, ``presets`` for those of them that carry another
tool's name and ``own`` for the rest. A policy that another package adds is swept where it is named, as in
``rule=all,fall``: what ``all`` means does not depend on what is installed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass
from decimal import Decimal
from itertools import product
from typing import Any, NamedTuple

from replay.errors import PolicyError, suggestion
from replay.policies import POLICIES, RULE_GROUPS
from replay.policies.axes import Axis, Dimension, Reading, modifier_axis, parameter_axis
from replay.policies.base import Policy
from replay.policies.modify import MODIFIERS, modified
from replay.policies.param import format_parameter, names_of, parameters, type_of
from replay.policies.spec import describe_unknown, example, example_value, parse_policy

__all__ = [
    "DEFAULT_GRID",
    "MOST_POINTS",
    "Dimension",
    "Grid",
    "count",
    "default_grid",
    "parse_grids",
    "policies_of",
]

#: Searched where neither a grid nor a policy is given.
DEFAULT_GRID = ("patience=1..10,15,20", "min_delta=0,1e-3,1e-2", "smooth=none,ema:0.3,mean:3")

#: The most points that the grids of one sweep may have together.
MOST_POINTS = 200_000

#: What the value of an example is multiplied by for a default grid.
_FACTORS = ("0.1", "0.2", "0.5", "1", "2", "5", "10")


@dataclass(frozen=True)
class Grid:
    """The grid of one policy class, whose name is ``rule``.

    ``points`` are the policies, each with its coordinates: the index of its value in each dimension. The last
    dimension changes fastest; the policy's parameters come before the modifiers. ``refused`` are the
    specifications of points that are no valid policy, and of values that the policy cannot read, each with
    the reason. A grid may have no points at all.
    """

    dimensions: tuple[Dimension, ...]
    rule: str
    points: tuple[tuple[Policy, tuple[int, ...]], ...]
    refused: tuple[tuple[str, str], ...]


def parse_grids(texts: Sequence[str]) -> list[Grid]:
    """The grids that ``NAME=VALUES`` texts describe, one per policy class.

    A grid crosses the given parameters that the policy takes, and all modifiers. Where none of a policy's
    parameters is given, and for a parameter that it cannot do without, the values are those of
    `default_grid`. Raises PolicyError, which says what would have worked; also for more than MOST_POINTS
    points (values given twice count twice), and where no point is a valid policy.

    Examples
    --------
    >>> grid, = parse_grids(["patience=1..3", "smooth=none,ema:0.3"])
    >>> [policy.spec() for policy, _ in grid.points][:3]
    ['patience=1', 'patience=1,smooth=ema:0.3', 'patience=2']
    >>> grid.points[5][1], grid.dimensions[0]
    ((2, 1), Dimension(name='patience', values=('1', '2', '3')))
    """
    plans = _plans(texts)
    total = _most(plans)
    if total > MOST_POINTS:
        raise PolicyError(_too_many(plans, total))
    grids = [_build(plan, readings) for plan, readings in _readings(plans)]
    refused = [entry for grid in grids for entry in grid.refused]
    if not any(grid.points for grid in grids):
        spec, reason = refused[0]
        raise PolicyError(
            f"no point of the grid is a policy ({len(refused):,} refused); the first, {spec}: {reason}"
        )
    return grids


def policies_of(grids: Iterable[Grid]) -> list[Policy]:
    """The policies of grids, one after the other."""
    return [policy for grid in grids for policy, _ in grid.points]


def count(texts: Sequence[str]) -> int:
    """Count the points, refused ones included, that `parse_grids` would make of the texts.

    Beyond MOST_POINTS, values given twice count twice. Raises PolicyError like `parse_grids`, except for too
    many points.

    Examples
    --------
    >>> count(["patience=1..20", "every=1,2,4"]), count(["patience=1..1000000000000"])
    (60, 1000000000000)
    """
    plans = _plans(texts)
    total = _most(plans)
    if total > MOST_POINTS:
        return total
    return sum(math.prod(len(reading.values) for reading in readings) for _, readings in _readings(plans))


def default_grid(policy_class: type[Policy]) -> dict[str, tuple[str, ...]]:
    """The values worth sweeping of a policy's parameters where none are given; empty where there is nothing
    to sweep.

    They come from the class attribute ``grid`` (parameter: VALUES) where the class has one, with values for
    the parameters that it cannot do without. Else they are for its patience and for the parameters that it
    cannot do without, else for the parameter that has the policy's name: around the value in its example.

    Examples
    --------
    >>> from replay.policies.rules.prechelt import Gl
    >>> default_grid(Gl)
    {'gl': ('0.5', '1', '2.5', '5', '10', '25', '50')}
    """
    fields = _fields(policy_class)
    return {
        name: tuple(parameter_axis(policy_class, fields[name], name, values).read().values)
        for name, values in _default_values(policy_class).items()
    }


class _Plan(NamedTuple):
    """The grid of one policy class before any value is read."""

    policy_class: type[Policy]
    parameters: dict[str, Axis]
    modifiers: dict[str, Axis]

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (*self.parameters.values(), *self.modifiers.values())


def _plans(texts: Sequence[str]) -> list[_Plan]:
    values = _values_by_name(texts)
    chosen = _chosen(values)
    values.pop("rule", None)
    known = {name for policy_class in chosen for name in _fields(policy_class)} | set(MODIFIERS)
    for name in values:
        if name not in known:
            subject, there = (
                (f"{chosen[0].name} has no", "it has")
                if len(chosen) == 1
                else ("no rule here has a", "there are")
            )
            allowed, elsewhere = suggestion(name, known), _describe_takers(name)
            raise PolicyError(
                f"{subject} parameter {name!r}; {there} {allowed}"
                + (f"{' ' if allowed.endswith('?') else '; '}{elsewhere}" if elsewhere else "")
            )
    return [_plan(policy_class, values) for policy_class in chosen]


def _values_by_name(texts: Sequence[str]) -> dict[str, str]:
    """The VALUES of each name."""
    given: dict[str, str] = {}
    for text in texts:
        name, equals, values = (piece.strip() for piece in text.partition("="))
        if not equals or not name:
            raise PolicyError(
                f"grid {text!r} is not NAME=VALUES; write for instance {name or 'patience'}={_instance(name)}"
            )
        if not any(map(str.strip, values.split(","))):
            raise PolicyError(f"grid {text!r} has no values; write for instance {name}={_instance(name)}")
        if name in given:
            raise PolicyError(f"grid {text!r}: {name} is given twice; write {name}={given[name]},{values}")
        given[name] = values
    if not given:
        raise PolicyError("an empty grid; write for instance patience=1..20")
    return given


def _instance(name: str) -> str:
    """VALUES for an example."""
    return {
        "rule": "all",
        "monitor": "eval_loss",
        "mode": "min,max",
        "smooth": "none,ema:0.3",
        "reset_on": "none,lr_drop",
    }.get(name, "1..20")


def _chosen(given: Mapping[str, str]) -> list[type[Policy]]:
    """The policy classes that ``rule=`` names, or else the one that a parameter is named like."""
    if "rule" in given:
        chosen: dict[str, type[Policy]] = {}
        for name in filter(None, map(str.strip, given["rule"].split(","))):
            if name in RULE_GROUPS:
                chosen |= _group(name)
            elif name in POLICIES:
                chosen[name] = POLICIES[name]
            else:
                raise PolicyError(
                    f"rule is {', '.join(RULE_GROUPS)} or names of policies: {describe_unknown(name)}"
                )
        return list(chosen.values())
    named = next((name for name in given if name in POLICIES), None)
    if named is not None:
        return [POLICIES[named]]
    strange = next((name for name in given if name not in MODIFIERS), None)
    if strange is None:
        raise PolicyError(
            f"{', '.join(given)}: of which rule? Add --grid rule=patience or, for every rule, --grid rule=all"
        )
    if takers := _describe_takers(strange):
        raise PolicyError(f"of which rule? {takers}")
    known = {*MODIFIERS, *(name for policy_class in POLICIES.values() for name in _fields(policy_class))}
    raise PolicyError(f"no rule has a parameter {strange!r}; there are {suggestion(strange, known)}")


def _group(name: str) -> dict[str, type[Policy]]:
    """The policies of a group by name."""
    if name == "all":
        return POLICIES.built_in
    return {
        key: policy_class
        for key, policy_class in POLICIES.built_in.items()
        if (key in POLICIES.presets) == (name == "presets")
    }


def _describe_takers(name: str) -> str:
    """Which policies take a parameter of this name, with the rule to add; empty where none does."""
    takers = [key for key, policy_class in POLICIES.items() if name in _fields(policy_class)]
    shown = ", ".join(takers[:4]) + (f" and {len(takers) - 4} more" if len(takers) > 4 else "")
    return f"{name} is a parameter of {shown}: add --grid rule={takers[0]}" if takers else ""


def _fields(policy_class: type[Policy]) -> dict[str, Field[Any]]:
    """The parameters of a policy class by all their names."""
    return {name: item for item in parameters(policy_class) for name in names_of(item)}


def _plan(policy_class: type[Policy], given: Mapping[str, str]) -> _Plan:
    fields = _fields(policy_class)
    axes: dict[str, Axis] = {}
    modifiers: dict[str, Axis] = {}
    for typed, values in given.items():
        if typed in fields:
            name = fields[typed].name
            if name in axes:
                raise PolicyError(
                    f"{axes[name].typed} and {typed} are the same parameter of {policy_class.name}; give one"
                )
            axes[name] = parameter_axis(policy_class, fields[typed], typed, values)
        elif typed in MODIFIERS:
            modifiers[typed] = modifier_axis(typed, values)
    default = _default_values(policy_class)
    # tutorial takes monitor as a parameter, which is nothing to sweep it over
    if not axes.keys() <= MODIFIERS.keys():
        default = {name: values for name, values in default.items() if fields[name].default is MISSING}
    added = {
        name: parameter_axis(policy_class, fields[name], name, values)
        for name, values in default.items()
        if name not in axes
    }
    return _Plan(policy_class, added | axes, modifiers)


def _default_values(policy_class: type[Policy]) -> dict[str, str]:
    """The VALUES of `default_grid`."""
    fields = _fields(policy_class)
    default = {}
    for item in parameters(policy_class):
        if "patience" in names_of(item):
            default[item.name] = "1..8,10,15,20"
        elif item.default is MISSING:
            default[item.name] = _values_around_example(policy_class, item)
    if policy_class.grid:
        required = {name: values for name, values in default.items() if fields[name].default is MISSING}
        return required | {fields[name].name: values for name, values in policy_class.grid.items()}
    return default or {
        item.name: _values_around_example(policy_class, item)
        for item in parameters(policy_class)
        if item.name == policy_class.name
    }


def _values_around_example(policy_class: type[Policy], item: Field[Any]) -> str:
    """VALUES around that of the policy's example, none below the least that the parameter takes.

    Of whole numbers they are the nearest. Of a choice they are all, and of a text the example alone.
    """
    if type_of(item) in ("str", "bool"):
        return ",".join(item.metadata["choices"]) or example_value(item)
    middle, minimum = getattr(parse_policy(example(policy_class)), item.name), item.metadata["minimum"]
    values = [Decimal(format_parameter(middle)) * Decimal(factor) for factor in _FACTORS]
    if type_of(item) == "int":
        values = [value.quantize(Decimal(1)) for value in values]
    return ",".join(
        dict.fromkeys(
            format_parameter(float(value)) for value in values if minimum is None or value >= minimum
        )
    )


def _most(plans: Sequence[_Plan]) -> int:
    """How many points there would be if all values were different and valid."""
    return sum(math.prod(axis.size for axis in plan.axes) for plan in plans)


def _too_many(plans: Sequence[_Plan], total: int) -> str:
    largest = max((axis for plan in plans for axis in plan.axes), key=lambda axis: axis.size)
    ranges = [item for item in largest.items if not isinstance(item, str) and item.long]
    widest = max(ranges, key=lambda item: item.size, default=None)
    if widest is None:
        hint = "give fewer of them"
    else:
        hint = (
            f"give a {'larger factor' if widest.geometric else 'step'}, as in"
            f" {largest.typed}={widest.thinned()}"
        )
    over = f" over {len(plans)} rules" if len(plans) > 1 else ""
    return (
        f"the grid has {_count_of(total)} points{over}, more than the {MOST_POINTS:,} that one sweep takes;"
        f" {largest.typed} alone has {_count_of(largest.size)}: {hint}"
    )


def _count_of(number: int) -> str:
    return f"{number:,}" if number < 10**18 else "over 10^18"


def _readings(plans: Sequence[_Plan]) -> list[tuple[_Plan, list[Reading]]]:
    """The values of every plan; raises PolicyError for a value that no policy here can read."""
    readings = [(plan, [axis.read() for axis in plan.axes]) for plan in plans]
    readable: dict[str, set[str]] = {}
    for _, of_plan in readings:
        for reading in of_plan:
            readable.setdefault(reading.axis.typed, set()).update(reading.texts - reading.failed.keys())
    for _, of_plan in readings:
        for reading in of_plan:
            for text, reason in reading.failed.items():
                if text not in readable[reading.axis.typed]:
                    raise PolicyError(reason)
    return readings


def _build(plan: _Plan, readings: Sequence[Reading]) -> Grid:
    of_parameters, of_modifiers = readings[: len(plan.parameters)], readings[len(plan.parameters) :]
    fields = [MODIFIERS[reading.axis.name][0] for reading in of_modifiers]
    changes = [
        (coordinates, texts, dict(zip(fields, values, strict=True)))
        for coordinates, texts, values in _cross(of_modifiers)
    ]
    points: list[tuple[Policy, tuple[int, ...]]] = []
    refused = [
        (_spec(plan.policy_class, [(reading.axis.name, text)]), reason)
        for reading in readings
        for text, reason in reading.failed.items()
    ]
    names = [reading.axis.name for reading in readings]
    for coordinates, texts, values in _cross(of_parameters):
        try:
            policy = plan.policy_class(**dict(zip(plan.parameters, values, strict=True)))
        except PolicyError as error:
            refused += [
                (_spec(plan.policy_class, list(zip(names, texts + more, strict=True))), str(error))
                for _, more, _ in changes
            ]
        else:
            points += [(modified(policy, **change), coordinates + more) for more, _, change in changes]
    return Grid(
        tuple(Dimension(reading.axis.name, tuple(reading.values)) for reading in readings),
        plan.policy_class.name,
        tuple(points),
        tuple(refused),
    )


def _cross(
    readings: Sequence[Reading],
) -> Iterator[tuple[tuple[int, ...], tuple[str, ...], tuple[Any, ...]]]:
    """Every combination of values: their indices, texts and values; the last changes fastest."""
    indices = product(*(range(len(reading.values)) for reading in readings))
    texts = product(*(reading.values for reading in readings))
    return zip(indices, texts, product(*(reading.values.values() for reading in readings)), strict=True)


def _spec(policy_class: type[Policy], given: Sequence[tuple[str, str]]) -> str:
    pairs = ",".join(f"{name}={text}" for name, text in given)
    return pairs if given[0][0] == policy_class.name else f"{policy_class.name}:{pairs}"
