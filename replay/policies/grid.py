"""Grids of policies: every combination of the values that the parameters of a rule are given, as
``NAME=VALUES`` texts.

``patience=1..20``, ``min_delta=0,1e-4,1e-3``, ``smooth=none,ema:0.3`` and ``rule=patience,keras`` cross to
policies. VALUES is a list of values and of ranges: ``A..B`` (both ends, step 1), ``A..B..STEP`` and
``A..B*FACTOR``. A grid is counted before any of it is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass
from decimal import Context, Decimal, InvalidOperation
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from replay.errors import PolicyError, suggestion
from replay.policies import POLICIES
from replay.policies.base import Policy, format_parameter, parameters
from replay.policies.modify import Modified, modified
from replay.policies.rules.never import Never
from replay.policies.spec import MODIFIERS, _modifier, _number, _unknown, _value, example, parse_policy

__all__ = ["MOST_POINTS", "Dimension", "Grid", "count", "default_grid", "parse_grids"]

#: The most points that the grids of one sweep may have together.
MOST_POINTS = 200_000

#: Names of several rules at once, for ``rule=``.
_GROUPS: dict[str, Callable[[type[Policy]], bool]] = {
    "all": lambda kind: True,
    "presets": lambda kind: ".presets." in kind.__module__,
    "own": lambda kind: ".presets." not in kind.__module__,
}
#: Wide enough for sums and quotients of any two floats written out, so that they are exact.
_EXACT = Context(prec=700)
_NEAR = Context(prec=50)  # for logarithms, of which only whole quotients count
#: How far above its end, relative to it, a geometric range may come and still be said to end there.
_ROUNDING = Decimal("1e-6")
#: About how many values a range has after the step that a message proposes.
_THINNED = 20
_FACTORS = ("0.1", "0.2", "0.5", "1", "2", "5", "10")


@dataclass(frozen=True)
class Dimension:
    """One parameter of a grid and its values, as texts that a specification takes; numbers ascend, others are
    in the order given.
    """

    name: str
    values: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        """Whether all values are numbers, so that neighbours mean something."""
        return all(_number(value) is not None for value in self.values)


@dataclass(frozen=True)
class Grid:
    """The grid of one rule.

    ``points`` are the policies, each with its coordinates: the place of its value in each dimension's values.
    The last dimension changes fastest; the rule's own parameters come before the modifiers. ``refused`` are
    the specifications of points that are no valid policy, and of values that the rule cannot read, each with
    the reason. Of several rules some may have no points at all.
    """

    dimensions: tuple[Dimension, ...]
    rule: str
    points: tuple[tuple[Policy, tuple[int, ...]], ...]
    refused: tuple[tuple[str, str], ...]


def parse_grids(texts: Sequence[str]) -> list[Grid]:
    """The grids, one a rule, that ``NAME=VALUES`` texts describe.

    A rule crosses those of the parameters that it takes, and all modifiers. Of a rule of which no own
    parameter is given, and for one that it cannot do without, the values are those of `default_grid`. Raises
    PolicyError, saying what would have worked: also where there would be more than MOST_POINTS points (values
    given twice count twice there), and where none is a valid policy.

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


def count(texts: Sequence[str]) -> int:
    """How many points, refused ones among them, `parse_grids` would make of the texts, without making any.

    Beyond MOST_POINTS values given twice count twice. Raises PolicyError like `parse_grids`, but for that
    there are too many.

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


def default_grid(kind: type[Policy]) -> dict[str, tuple[str, ...]]:
    """The values worth sweeping of a rule's parameters where none are given; empty for a rule that is one
    point.

    Those of the class attribute ``grid`` (parameter: VALUES) where it has one, and of the parameters that it
    cannot do without. Else those of the rule's patience and of what it cannot do without, else of the
    parameter that is named like the rule: around the value in its example.

    Examples
    --------
    >>> from replay.policies.rules.prechelt import Gl
    >>> default_grid(Gl)
    {'gl': ('0.5', '1', '2.5', '5', '10', '25', '50')}
    """
    spelled = _spelled(kind)
    return {
        name: tuple(_read(_own(kind, spelled[name], name, values)).values)
        for name, values in _default(kind).items()
    }


class _Range(NamedTuple):
    """The numbers from first up to last, each by more than the one before (or times it, where geometric)."""

    first: Decimal
    last: Decimal
    by: Decimal
    geometric: bool

    @property
    def size(self) -> int:
        if not self.geometric:
            return int(_EXACT.divide_int(_EXACT.subtract(self.last, self.first), self.by)) + 1
        end = _EXACT.multiply(self.last, _EXACT.add(Decimal(1), self._slack))
        return int(_NEAR.divide(_NEAR.subtract(_NEAR.ln(end), _NEAR.ln(self.first)), _NEAR.ln(self.by))) + 1

    @property
    def _slack(self) -> Decimal:
        """A small part of a step where the steps are small themselves."""
        return min(_ROUNDING, _EXACT.divide(_EXACT.subtract(self.by, Decimal(1)), Decimal(10)))

    def texts(self) -> Iterator[str]:
        value = self.first
        for _ in range(self.size):
            near = self.geometric and abs(_EXACT.subtract(value, self.last)) <= _EXACT.multiply(
                self.last, self._slack
            )
            yield format_parameter(float(self.last if near else value))
            value = _EXACT.multiply(value, self.by) if self.geometric else _EXACT.add(value, self.by)

    def thinned(self) -> str:
        """The same range with a few of its values."""
        steps = -(-self.size // _THINNED)
        if not self.geometric:
            return f"{self.first}..{self.last}..{format_parameter(float(self.by * steps))}".lower()
        return f"{self.first}..{self.last}*{float((_NEAR.ln(self.by) * steps).exp()):.3g}".lower()


class _Axis(NamedTuple):
    """One parameter as it was given: its name, the name that was typed, what it was given, and how a value's
    text is read.
    """

    name: str
    typed: str
    items: tuple[str | _Range, ...]
    read: Callable[[str], Any]

    @property
    def size(self) -> int:
        return sum(1 if isinstance(item, str) else item.size for item in self.items)


class _Plan(NamedTuple):
    """The dimensions of one rule before any value is read."""

    kind: type[Policy]
    own: dict[str, _Axis]
    modifiers: dict[str, _Axis]


class _Reading(NamedTuple):
    """The values of a dimension by their texts, sorted and each once, and the texts that could not be read,
    with the reason.
    """

    axis: _Axis
    values: dict[str, Any]
    texts: set[str]
    failed: dict[str, str]


def _plans(texts: Sequence[str]) -> list[_Plan]:
    given = _given(texts)
    kinds = _rules(given)
    given.pop("rule", None)
    known = {name for kind in kinds for name in _spelled(kind)} | set(MODIFIERS)
    for name in given:
        if name not in known:
            subject, there = (
                (f"{kinds[0].name} has no", "it has")
                if len(kinds) == 1
                else ("no rule here has a", "there are")
            )
            allowed, elsewhere = suggestion(name, known), _elsewhere(name)
            raise PolicyError(
                f"{subject} parameter {name!r}; {there} {allowed}"
                + (f"{' ' if allowed.endswith('?') else '; '}{elsewhere}" if elsewhere else "")
            )
    return [_plan(kind, given) for kind in kinds]


def _given(texts: Sequence[str]) -> dict[str, str]:
    """What each name is given."""
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


def _rules(given: Mapping[str, str]) -> list[type[Policy]]:
    """The rules that are named, or the one that a parameter is named like."""
    if "rule" in given:
        chosen: dict[str, type[Policy]] = {}
        for name in filter(None, map(str.strip, given["rule"].split(","))):
            if name not in POLICIES and name not in _GROUPS:
                raise PolicyError(f"rule is {', '.join(_GROUPS)} or names of policies: {_unknown(name)}")
            inside = _GROUPS.get(name)
            chosen |= (
                {name: POLICIES[name]}
                if inside is None
                else {key: kind for key, kind in POLICIES.items() if inside(kind)}
            )
        return list(chosen.values())
    named = [name for name in given if name in POLICIES]
    if named:
        return [POLICIES[named[0]]]
    strange = next((name for name in given if name not in MODIFIERS), None)
    if strange is None:
        raise PolicyError(
            f"{', '.join(given)}: of which rule? Add --grid rule=patience or, for every rule, --grid rule=all"
        )
    if elsewhere := _elsewhere(strange):
        raise PolicyError(f"of which rule? {elsewhere}")
    known = {*MODIFIERS, *(name for kind in POLICIES.values() for name in _spelled(kind))}
    raise PolicyError(f"no rule has a parameter {strange!r}; there are {suggestion(strange, known)}")


def _elsewhere(name: str) -> str:
    """Which rules take a parameter of this name, with the rule to add."""
    takers = [kind.name for kind in POLICIES.values() if name in _spelled(kind)]
    shown = ", ".join(takers[:4]) + (f" and {len(takers) - 4} more" if len(takers) > 4 else "")
    return f"{name} is a parameter of {shown}: add --grid rule={takers[0]}" if takers else ""


def _spelled(kind: type[Policy]) -> dict[str, Field[Any]]:
    """The parameters of a rule by all their names."""
    return {name: item for item in parameters(kind) for name in (item.name, *item.metadata["aliases"])}


def _plan(kind: type[Policy], given: Mapping[str, str]) -> _Plan:
    spelled = _spelled(kind)
    own: dict[str, _Axis] = {}
    modifiers: dict[str, _Axis] = {}
    for typed, values in given.items():
        if typed in spelled:
            name = spelled[typed].name
            if name in own:
                raise PolicyError(
                    f"{own[name].typed} and {typed} are the same parameter of {kind.name}; give one"
                )
            own[name] = _own(kind, spelled[typed], typed, values)
        elif typed in MODIFIERS:
            modifiers[typed] = _Axis(
                typed,
                typed,
                _items(typed, values, typed in ("every", "start")),
                partial(_modifier_value, typed),
            )
    default = _default(kind)
    if (
        not own.keys() <= MODIFIERS.keys()
    ):  # the tutorial's monitor is a parameter of its own, but nothing to sweep it over
        default = {name: values for name, values in default.items() if spelled[name].default is MISSING}
    added = {
        name: _own(kind, spelled[name], name, values) for name, values in default.items() if name not in own
    }
    return _Plan(kind, added | own, modifiers)


def _own(kind: type[Policy], field: Field[Any], typed: str, values: str) -> _Axis:
    numbers = str(field.type) not in ("str", "bool")
    return _Axis(field.name, typed, _items(typed, values, numbers), partial(_own_value, kind, field))


def _default(kind: type[Policy]) -> dict[str, str]:
    """The VALUES of `default_grid`."""
    spelled = _spelled(kind)
    given: Mapping[str, str] = getattr(kind, "grid", {})
    found = {}
    for item in parameters(kind):
        if "patience" in (item.name, *item.metadata["aliases"]):
            found[item.name] = "1..8,10,15,20"
        elif item.default is MISSING:
            found[item.name] = _around(kind, item)
    if given:
        required = {name: values for name, values in found.items() if spelled[name].default is MISSING}
        return required | {spelled[name].name: values for name, values in given.items()}
    return found or {item.name: _around(kind, item) for item in parameters(kind) if item.name == kind.name}


def _around(kind: type[Policy], item: Field[Any]) -> str:
    """VALUES around that of the rule's example; of whole numbers the nearest, and none below the least that
    the parameter takes.
    """
    middle, minimum = getattr(parse_policy(example(kind)), item.name), item.metadata["minimum"]
    values = [Decimal(format_parameter(middle)) * Decimal(factor) for factor in _FACTORS]
    if str(item.type) == "int":
        values = [value.quantize(Decimal(1)) for value in values]
    return ",".join(
        dict.fromkeys(
            format_parameter(float(value)) for value in values if minimum is None or value >= minimum
        )
    )


def _items(name: str, values: str, numbers: bool) -> tuple[str | _Range, ...]:
    """The items of a list of values; ranges only where these are numbers."""
    pieces = filter(None, map(str.strip, values.split(",")))
    return tuple(_range(name, piece) if numbers and ".." in piece else piece for piece in pieces)


def _range(name: str, text: str) -> _Range:
    span, star, factor = text.partition("*")
    ends = span.split("..")
    if len(ends) > (2 if star else 3):
        raise PolicyError(f"{name}: a range is A..B, A..B..STEP or A..B*FACTOR, not {text!r}")
    first, last, *step = [_decimal(name, end, text) for end in ends]
    by = _decimal(name, factor, text) if star else step[0] if step else Decimal(1)
    if first > last:
        raise PolicyError(f"{name}: a range goes up: {ends[1]}..{ends[0]}, not {ends[0]}..{ends[1]}")
    if star and by <= 1:
        raise PolicyError(f"{name}: the factor of a range must be above 1, as in {span}*2, not {factor}")
    if star and first <= 0:
        raise PolicyError(
            f"{name}: a range by a factor begins above 0, not at {ends[0]}; give 0 as a value of its own, as"
            " in 0,1e-4..1*10"
        )
    if by <= 0:
        raise PolicyError(f"{name}: the step of a range must be above 0, not {ends[2]}")
    return _Range(first, last, by, bool(star))


def _decimal(name: str, text: str, whole: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise PolicyError(
            f"{name}: a range has numbers, as in 1..20, 0..1..0.1 or 1e-4..1*10; {text!r} in {whole!r} is"
            " none"
        ) from None
    if not value.is_finite() or not math.isfinite(float(value)) or (value and not float(value)):
        raise PolicyError(f"{name}: a range has finite numbers; {text!r} in {whole!r} is none")
    return value


def _own_value(kind: type[Policy], field: Field[Any], text: str) -> Any:
    value, choices = _value(kind, field, text), field.metadata["choices"]
    if choices and value not in choices:
        raise PolicyError(f"{kind.name}: {field.name} is one of {', '.join(choices)}, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise PolicyError(f"{kind.name}: {field.name} must be a finite number, not {value!r}")
    if isinstance(value, str) and not choices:
        _check_name(field.name, value)
    return value


def _modifier_value(key: str, text: str) -> Any:
    value = _modifier(key, text)
    Modified(Never(), **{MODIFIERS[key][0]: value})  # raises where it is no value of the modifier
    if key == "monitor":
        _check_name(key, value)
    if key == "smooth" and value != "none":
        kind, _, number = value.partition(":")
        return f"{kind}:{format_parameter(float(number))}"
    return value


def _check_name(key: str, text: str) -> None:
    """Refuse the name of a metric that a specification would not read as one."""
    try:
        whole = parse_policy(f"never:monitor={text}") == Modified(Never(), watch=text)
    except PolicyError:
        whole = False
    if not whole:
        raise PolicyError(f"{key} is the name of a metric, not {text!r}")


def _most(plans: Sequence[_Plan]) -> int:
    """How many points there would be were all values different and valid."""
    return sum(
        math.prod(axis.size for axis in (*plan.own.values(), *plan.modifiers.values())) for plan in plans
    )


def _too_many(plans: Sequence[_Plan], total: int) -> str:
    largest = max(
        (axis for plan in plans for axis in (*plan.own.values(), *plan.modifiers.values())),
        key=lambda axis: axis.size,
    )
    ranges = [item for item in largest.items if not isinstance(item, str) and item.size > _THINNED]
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
        f"the grid has {_counted(total)} points{over}, more than the {MOST_POINTS:,} that one sweep takes;"
        f" {largest.typed} alone has {_counted(largest.size)}: {hint}"
    )


def _counted(number: int) -> str:
    return f"{number:,}" if number < 10**18 else "over 10^18"


def _readings(plans: Sequence[_Plan]) -> list[tuple[_Plan, list[_Reading]]]:
    """The values of every plan; a value that no rule can read is an error."""
    found = [
        (plan, [_read(axis) for axis in (*plan.own.values(), *plan.modifiers.values())]) for plan in plans
    ]
    readable: dict[str, set[str]] = {}
    for _, readings in found:
        for reading in readings:
            readable.setdefault(reading.axis.typed, set()).update(reading.texts - reading.failed.keys())
    for _, readings in found:
        for reading in readings:
            for text, reason in reading.failed.items():
                if text not in readable[reading.axis.typed]:
                    raise PolicyError(reason)
    return found


def _read(axis: _Axis) -> _Reading:
    values: dict[str, Any] = {}
    failed: dict[str, str] = {}
    texts = {
        text: None for item in axis.items for text in ([item] if isinstance(item, str) else item.texts())
    }
    for text in texts:
        try:
            value = axis.read(text)
        except PolicyError as error:
            failed[text] = str(error)
        else:
            values.setdefault(format_parameter(value), value)
    if Dimension(axis.name, tuple(values)).ordered:
        values = dict(sorted(values.items(), key=lambda item: float(item[0])))
    return _Reading(axis, values, set(texts), failed)


def _build(plan: _Plan, readings: Sequence[_Reading]) -> Grid:
    own, modifiers = readings[: len(plan.own)], readings[len(plan.own) :]
    changes = []
    for coordinates, texts, values in _crossed(modifiers):
        given = {
            MODIFIERS[reading.axis.name][0]: value for reading, value in zip(modifiers, values, strict=True)
        }
        changes.append((coordinates, texts, given))
    points: list[tuple[Policy, tuple[int, ...]]] = []
    refused = [
        (_spec(plan.kind, [(reading.axis.name, text)]), reason)
        for reading in readings
        for text, reason in reading.failed.items()
    ]
    names = [reading.axis.name for reading in readings]
    for coordinates, texts, values in _crossed(own):
        try:
            policy = plan.kind(**dict(zip(plan.own, values, strict=True)))
        except PolicyError as error:
            refused += [
                (_spec(plan.kind, list(zip(names, texts + more, strict=True))), str(error))
                for _, more, _ in changes
            ]
        else:
            points += [(modified(policy, **change), coordinates + place) for place, _, change in changes]
    return Grid(
        tuple(Dimension(reading.axis.name, tuple(reading.values)) for reading in readings),
        plan.kind.name,
        tuple(points),
        tuple(refused),
    )


def _crossed(
    readings: Sequence[_Reading],
) -> Iterator[tuple[tuple[int, ...], tuple[str, ...], tuple[Any, ...]]]:
    """Every combination of values: their places, texts and values; the last changes fastest."""
    places = product(*(range(len(reading.values)) for reading in readings))
    texts = product(*(reading.values for reading in readings))
    return zip(places, texts, product(*(reading.values.values() for reading in readings)), strict=True)


def _spec(kind: type[Policy], given: Sequence[tuple[str, str]]) -> str:
    pairs = ",".join(f"{name}={text}" for name, text in given)
    return pairs if given[0][0] == kind.name else f"{kind.name}:{pairs}"
