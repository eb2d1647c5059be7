"""The file of policies that a check reads: policies with limits and expectations, and how the logs are read
and judged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

from replay.check.gate import UNDECIDED, USUAL, Gate, Undecided
from replay.check.model import Figure
from replay.check.toml_lines import KeyPath, key_lines
from replay.data.compute import UNITS
from replay.data.finding import Severity
from replay.data.types import Mode
from replay.engine.question import KEEPS, Keep, Question
from replay.errors import InputError, PolicyError, did_you_mean, suggestion
from replay.files import closest_path, parse_toml, read_file, say_missing
from replay.policies import Policy
from replay.policies.spec import parse_policy
from replay.search.tolerance import parse_confidence
from replay.urls import as_path, is_url

__all__ = [
    "EXPECT_KEYS",
    "GUARANTEE",
    "LIMITS",
    "POLICY_KEYS",
    "TOP_KEYS",
    "Config",
    "Entry",
    "Expectation",
    "Wanted",
    "read_config",
]


_SHARE = "a percentage in quotes, as in "
_REGRET = (
    'a share of the best value in quotes, as in "0.5%", or a number in the metric\'s own unit, as in 0.01'
)
#: Limits by name, and what each takes.
LIMITS: dict[str, str] = {
    "max_lost": _SHARE + '"5%"',
    "max_lost_worst": _SHARE + '"30%"',
    "max_regret": _REGRET,
    "max_regret_worst": _REGRET,
    "min_saved": _SHARE + '"20%"',
    "max_stopped_too_early": _SHARE + '"10%"',
}
#: What the key ``guarantee`` takes.
GUARANTEE = '"mean", or a confidence in quotes, as in "90%", for the mean loss to stay within max_lost'
#: The figures that a limit on regret may be about, the first of which is asked for first.
_REGRETS: tuple[Figure, ...] = ("relative_regret", "regret")
#: What ``fail_on`` may name.
_FAILING = (*(str(one) for one in Severity if one is not Severity.NOTE), *(str(kind) for kind in USUAL))
TOP_KEYS: dict[str, str] = {
    "logs": 'a list of paths relative to this file or of URLs, as in ["logs"]',
    "monitor": 'the name of a metric, as in "eval_loss"',
    "mode": '"min" or "max"',
    "objective": 'the name of a metric, as in "eval_loss"',
    "objective_mode": '"min" or "max"',
    "unit": f"one of {', '.join(UNITS)}, in quotes",
    "price": "a number greater than 0, the price of one hour of a device",
    "keep": f"one of {', '.join(KEEPS)}, in quotes",
    "group": '"run", "folder" or something that the logs say, as in "dataset"',
    "confidence": "a number from 0.5 to below 1, as in 0.95",
    "undecided": '"pass", "warn" or "fail", for limits and changed policies that the logs cannot decide',
    "fail_on": f"a list of severities and kinds of findings: {', '.join(_FAILING)}",
    "severity": 'a table of kinds of findings, as in changed-log = "warning"',
    "strict": "true or false; with true, warnings and a lock that is not up to date fail as well",
    "require_lock": "true or false; with true, there must be a lock",
    "policies": 'one table [policies.NAME] a policy, with spec = "patience=3" in it',
}
POLICY_KEYS: dict[str, str] = {
    "spec": 'a policy, as in "patience=3"',
    **LIMITS,
    "guarantee": GUARANTEE,
    "groups": "one table [policies.NAME.groups.GROUP] a group, with limits in it",
    "expect": "tables [[policies.NAME.expect]] with run and eval",
}
EXPECT_KEYS: dict[str, str] = {
    "run": "the id of a run, or a part of it that no other run has",
    "eval": 'the eval that it must stop at, a whole number from 1, or "never"',
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """One limit: its name, the figure of the outcomes that it limits (the mean, or of every run), its value
    and its text.

    The limit named ``guarantee`` demands that the mean of ``lost`` is guaranteed to be at most the value: on
    average over the next runs or, with ``confidence``, with that probability.
    """

    name: str
    figure: Figure
    worst: bool
    value: float
    text: str
    confidence: float | None = None

    @property
    def is_minimum(self) -> bool:
        """Whether the figure must be at least the value; else at most."""
        return self.figure == "saved"


@dataclass(frozen=True)
class Expectation:
    """A run, by its id or a part of it, and the eval (from 1) that it must stop at; None: it must not be
    stopped. ``index`` is its position among the expectations of its policy.
    """

    run: str
    eval: int | None
    where: str
    index: int = 0


@dataclass(frozen=True)
class Entry:
    """One policy of the file, and where it is there. ``groups`` maps the name of a group to the limits for
    its runs.
    """

    file: Path
    name: str
    spec: str
    policy: Policy
    limits: tuple[Wanted, ...]
    groups: Mapping[str, tuple[Wanted, ...]]
    expect: tuple[Expectation, ...]


@dataclass(frozen=True)
class Config:
    """The whole file; settings that it leaves out have the defaults of the command line.

    ``lines`` are the lines at which its keys stand.
    """

    path: Path
    policies: tuple[Entry, ...]
    question: Question = field(default_factory=Question)
    logs: tuple[Path, ...] = ()
    group: str | None = None
    confidence: float = 0.95
    gate: Gate = field(default_factory=Gate)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def strictest(self) -> tuple[str | None, str | None]:
        """The smallest ``max_lost`` of all policies; where there is none, the smallest ``max_regret``.

        Returns the texts for ``--max-lost`` and ``--max-regret``, of which at most one is not None.
        """
        limits = [limit for entry in self.policies for limit in entry.limits]
        for name, figure in (("max_lost", "lost"), *(("max_regret", one) for one in _REGRETS)):
            some = [limit for limit in limits if (limit.name, limit.figure) == (name, figure)]
            if some:
                text = min(some, key=lambda limit: limit.value).text
                return (text, None) if name == "max_lost" else (None, text)
        return None, None

    @property
    def confidence_wanted(self) -> float | None:
        """The highest confidence that is demanded of a guarantee; None where none is."""
        wanted = (limit.confidence for entry in self.policies for limit in entry.limits)
        return max((one for one in wanted if one is not None), default=None)


def read_config(path: Path, *, across: bool = False) -> Config:
    """The file of policies at a path; raises InputError that names the file, the table and the key, and what
    is allowed there.

    Policies that compare runs with each other are refused unless ``across`` is given.
    """
    try:
        data = read_file(path)
    except FileNotFoundError as error:
        begin = "" if closest_path(path) is not None else ". To begin with one: replay init LOGS"
        raise InputError(f"{path}: {error.strerror}{say_missing(path)}{begin}") from None
    document = parse_toml(data, str(path), "")
    top = _Table(path, (), document, TOP_KEYS)
    tables = document.get("policies")
    if not isinstance(tables, dict) or not tables:
        raise InputError(
            f'{path}: no policies; write [policies.NAME] and, in it, spec = "patience=3"', key=("policies",)
        )
    mode, objective_mode = top.one_of("mode", ("min", "max")), top.one_of("objective_mode", ("min", "max"))
    price = top.number("price")
    if price is not None and not price > 0:
        top.fault("price", price)
    confidence = top.number("confidence", 0.95)
    assert confidence is not None
    if not 0.5 <= confidence < 1:
        top.fault("confidence", confidence)
    question = Question(
        monitor=top.text("monitor"),
        mode=cast("Mode | None", mode),
        objective=top.text("objective"),
        objective_mode=cast("Mode | None", objective_mode),
        unit=top.one_of("unit", UNITS) or "steps",
        price=price,
        keep=cast("Keep", top.one_of("keep", KEEPS) or "best"),
    )
    return Config(
        path=path,
        policies=tuple(_entry(path, name, table, across) for name, table in tables.items()),
        question=question,
        logs=tuple(as_path(log) if is_url(log) else path.parent / log for log in _logs(top)),
        group=top.text("group"),
        confidence=confidence,
        gate=_gate(top),
        lines=key_lines(data.decode("utf-8")),
    )


def _gate(top: _Table) -> Gate:
    """What makes a check by this file fail."""
    fail_on = top.table.get("fail_on")
    if fail_on is not None:
        if not isinstance(fail_on, list) or not all(isinstance(one, str) for one in fail_on):
            top.fault("fail_on", fail_on)
        for index, one in enumerate(fail_on):
            if one not in _FAILING:
                top.fault("fail_on", one, hint=did_you_mean(one, _FAILING), index=index)
    severity = _Table(
        top.path,
        ("severity",),
        top.table.get("severity", {}),
        dict.fromkeys(map(str, USUAL), f"one of {', '.join(Severity)}, in quotes"),
    )
    return Gate(
        undecided=cast("Undecided", top.one_of("undecided", UNDECIDED) or "fail"),
        fail_on=None if fail_on is None else tuple(fail_on),
        severity={
            kind: Severity(one) for kind in severity.table if (one := severity.one_of(kind, list(Severity)))
        },
        strict=top.flag("strict"),
        require_lock=top.flag("require_lock"),
    )


class _Table:
    """One table of the file, that is read key by key; what is unknown or of the wrong kind is an
    InputError.
    """

    def __init__(self, path: Path, place: KeyPath, table: Any, allowed: Mapping[str, str]) -> None:
        name = ".".join(part for part in place if isinstance(part, str))
        self.path, self.place, self.at = path, place, f"{path}: {f'[{name}] ' if name else ''}"
        if not isinstance(table, dict):
            raise InputError(f"{self.at}is a table, not {_shown(table)}", key=place)
        self.table, self.allowed = table, allowed
        for key in table:
            if key not in allowed:
                raise InputError(
                    f"{self.at}has no key {key!r}; there are {suggestion(key, allowed)}", key=(*place, key)
                )

    def fault(
        self, key: str, value: Any, why: str = "", hint: str = "", index: int | None = None
    ) -> NoReturn:
        raise InputError(
            f"{self.at}{key} = {_shown(value)}: {f'{why}; ' if why else ''}{key} takes"
            f" {self.allowed[key]}{hint}",
            key=(*self.place, key, *([] if index is None else [index])),
        ) from None

    def text(self, key: str) -> str | None:
        value = self.table.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            self.fault(key, value)
        return value

    def one_of(self, key: str, options: Iterable[str]) -> str | None:
        value = self.text(key)
        if value is not None and value not in options:
            self.fault(key, value, hint=did_you_mean(value, options))
        return value

    def flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            self.fault(key, value)
        return value

    def number(self, key: str, default: float | None = None) -> float | None:
        value = self.table.get(key, default)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
        ):
            self.fault(key, value)
        return None if value is None else float(value)


def _shown(value: Any) -> str:
    """A value as TOML has it, cut short."""
    text = (
        f'"{value}"'
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
    return text if len(text) <= 60 else text[:59] + "…"


def _logs(top: _Table) -> list[str]:
    value = top.table.get("logs", [])
    if (
        not isinstance(value, list)
        or not all(isinstance(log, str) and log for log in value)
        or ("logs" in top.table and not value)
    ):
        top.fault("logs", value)
    return value


def _entry(path: Path, name: str, given: Any, across: bool) -> Entry:
    place = ("policies", name)
    table = _Table(path, place, given, POLICY_KEYS)
    spec = table.text("spec")
    if spec is None:
        raise InputError(f'{table.at}needs spec = "…", such as spec = "patience=3"', key=place)
    try:
        policy = parse_policy(spec, across=across)
    except PolicyError as error:
        raise PolicyError(f"{table.at}spec: {error}", key=(*place, "spec")) from None
    groups = given.get("groups", {})
    if not isinstance(groups, dict):
        table.fault("groups", groups)
    rows = given.get("expect", [])
    if not isinstance(rows, list):
        table.fault("expect", rows)
    return Entry(
        file=path,
        name=name,
        spec=policy.spec(),
        policy=policy,
        limits=(*_limits(table), *_guarantee(table)),
        groups={
            group: _limits(_Table(path, (*place, "groups", group), limits, LIMITS))
            for group, limits in groups.items()
        },
        expect=tuple(_expectation(path, (*place, "expect", index), row) for index, row in enumerate(rows)),
    )


def _expectation(path: Path, place: KeyPath, row: Any) -> Expectation:
    table = _Table(path, place, row, EXPECT_KEYS)
    index = int(place[-1])
    where = f"{table.at}row {index + 1}"
    run, eval = table.text("run"), row.get("eval")
    if run is None or eval is None:
        lacking = "run" if run is None else "eval"
        raise InputError(f"{where} lacks {lacking}, {EXPECT_KEYS[lacking]}", key=place)
    if eval != "never" and (isinstance(eval, bool) or not isinstance(eval, int) or eval < 1):
        table.fault("eval", eval)
    return Expectation(run, None if eval == "never" else eval, where, index)


def _limits(table: _Table) -> tuple[Wanted, ...]:
    return tuple(_limit(table, name, table.table[name]) for name in LIMITS if name in table.table)


def _guarantee(table: _Table) -> tuple[Wanted, ...]:
    """The guarantee that is demanded of a policy, as a limit; it is about the tolerance of ``max_lost``."""
    text = table.text("guarantee")
    if text is None:
        return ()
    if "max_lost" not in table.table:
        table.fault(
            "guarantee", text, 'it needs max_lost, the loss that is guaranteed, as in max_lost = "5%"'
        )
    try:
        confidence = None if text.strip() == "mean" else parse_confidence(text)
    except InputError:
        table.fault("guarantee", text)
    tolerance = _limit(table, "max_lost", table.table["max_lost"])
    return (Wanted("guarantee", "lost", False, tolerance.value, text.strip(), confidence),)


def _limit(table: _Table, name: str, given: Any) -> Wanted:
    regret = "regret" in name
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        table.fault(name, given)
    text = "".join(str(given).split())
    share = text.endswith("%")
    body = text.removesuffix("%")
    if not _NUMBER.fullmatch(body):
        begins = None if body.lower().startswith(("nan", "inf")) else _NUMBER.match(body)
        table.fault(
            name, given, f"{body[begins.end() :]!r} is not a unit of it" if begins else "not a finite number"
        )
    value = float(body)
    if not math.isfinite(value):
        table.fault(name, given, "not a finite number")
    if value < 0:
        table.fault(name, given, "it is negative")
    if not share and not regret:
        meant = f"{100 * value:g}%" if 0 < value < 1 else f"{value:g}%"
        table.fault(name, given, f'it has no unit, write "{meant}"')
    if share:
        value /= 100
        if value > 1 and not regret:
            table.fault(name, given, "no more than 100% is possible")
    if regret:
        figure: Figure = "relative_regret" if share else "regret"
    else:
        figure = "lost" if "lost" in name else "saved" if "saved" in name else "stopped_too_early"
    return Wanted(name, figure, name.endswith("_worst"), value, text)
