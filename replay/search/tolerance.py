"""Tolerance: how much loss a user accepts, ``--max-lost 5%``, ``--max-regret 0.5%`` or ``--max-regret
0.01``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from replay.data.types import Bools, Floats
from replay.errors import InputError
from replay.stats.ties import at_most

__all__ = ["Tolerance", "parse_confidence", "parse_tolerance"]


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)

_TAKES = {
    "--max-lost": "a share of a run's improvement, as in 5%",
    "--max-regret": "a share of the best value, as in 0.5%, or a number in the metric's own unit, as in 0.01",
}


@dataclass(frozen=True)
class Tolerance:
    """The most that may be given away on average.

    ``kind`` is the column of the outcomes that is limited, ``value`` a fraction (of ``regret``: in the
    metric's own unit), ``text`` what was typed.
    """

    kind: Literal["lost", "relative_regret", "regret"]
    value: float
    text: str

    @property
    def key(self) -> str:
        """The key of the figure that is limited, in summaries and sweeps."""
        return f"{self.kind}_mean"

    @property
    def noun(self) -> str:
        """What is limited, in words."""
        return self.kind.replace("_", " ")

    @property
    def scale(self) -> float:
        """The scale of the figure that is limited (see `replay.stats.ties`); 0 in the metric's unit."""
        return 0.0 if self.kind == "regret" else 1.0

    def allows(self, loss: float | Floats) -> Bools:
        """Whether each loss is known and at most the tolerance, but for rounding."""
        return at_most(loss, self.value, self.scale)

    def describe(self) -> str:
        """The tolerance as a condition: ``lost <= 5%``."""
        return f"{self.noun} <= {self.text}"


def parse_tolerance(
    max_regret: str | None = None, max_lost: str | None = None, *, default: str = "5%"
) -> Tolerance:
    """The tolerance that the two options give, ``default`` being that of ``--max-lost`` where neither is
    given.

    Raises InputError for what is not a number, has no unit that fits or is out of range, and where both are
    given.

    Examples
    --------
    >>> parse_tolerance(max_lost="5%").describe(), parse_tolerance("0.5%").value, parse_tolerance("0.01").kind
    ('lost <= 5%', 0.005, 'regret')
    """
    if max_regret is not None and max_lost is not None:
        raise InputError(
            f"--max-regret {max_regret} and --max-lost {max_lost}: give one of the two, the loss that you"
            " tolerate"
        )
    if max_regret is not None:
        value, share = _read("--max-regret", max_regret)
        return Tolerance("relative_regret" if share else "regret", value, _tidy(max_regret))
    text = default if max_lost is None else max_lost
    value, share = _read("--max-lost", text)
    if not share:
        meant = f"{100 * value:g}%" if 0 < value < 1 else f"{value:g}%"
        raise InputError(f"--max-lost {text} has no unit: it is {_TAKES['--max-lost']}; write {meant}")
    if value > 1:
        raise InputError(
            f"--max-lost {text}: no run can lose more than 100% of its improvement; it is"
            f" {_TAKES['--max-lost']}"
        )
    return Tolerance("lost", value, _tidy(text))


def parse_confidence(text: str) -> float:
    """The confidence of a guarantee, as a fraction: ``90%`` or ``0.9``.

    Raises InputError for what is not a number, and for less than 50 % and 100 % or more.

    Examples
    --------
    >>> parse_confidence("90%"), parse_confidence("0.95")
    (0.9, 0.95)
    """
    stripped = text.strip()
    share = stripped.endswith("%")
    number = stripped.removesuffix("%").strip()
    value = float(number) / (100 if share else 1) if _NUMBER.fullmatch(number) else float("nan")
    if not 0.5 <= value < 1:
        raise InputError(f"--confidence {text}: it takes a share from 50% to below 100%, as in 90%")
    return value


def _tidy(text: str) -> str:
    return "".join(text.split())


def _read(option: str, text: str) -> tuple[float, bool]:
    """The number, a fraction where it is written as a percentage, and whether it is."""
    stripped = text.strip()
    share = stripped.endswith("%")
    number = stripped.removesuffix("%").strip()
    if not _NUMBER.fullmatch(number):
        begins = _NUMBER.match(number)
        if begins and not number.lower().startswith(("nan", "inf")):
            raise InputError(
                f"{option} {text}: {number[begins.end() :].strip()!r} is not a unit of it; it is"
                f" {_TAKES[option]}"
            )
        raise InputError(f"{option} {text!r} is not a finite number; it is {_TAKES[option]}")
    value = float(number)
    if value < 0:
        raise InputError(
            f"{option} {text} is negative; 0{'%' * share} tolerates no loss at all, and it is"
            f" {_TAKES[option]}"
        )
    if value == float("inf"):
        raise InputError(f"{option} {text!r} is not a finite number; it is {_TAKES[option]}")
    return value / 100 if share else value, share
