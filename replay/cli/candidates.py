"""The policies that a command tries: single ones, those of files, and grids with a tolerance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.cli.options import policies_option
from replay.cli.progress import count_policies

if TYPE_CHECKING:
    from replay.data.run import Run
    from replay.engine.question import Question
    from replay.policies import Policy
    from replay.policies.grid import Grid
    from replay.search.choice import Selection
    from replay.search.tolerance import Tolerance

__all__ = [
    "DEFAULT_POLICIES",
    "Candidates",
    "candidate_options",
    "choose_by_default",
    "read_specs",
    "spec_words",
]

#: Simulated when no policy is given.
DEFAULT_POLICIES = (
    "patience=1",
    "patience=2",
    "patience=3",
    "patience=5",
    "patience=10",
    "transformers:patience=3",
)


def read_specs(specs: Sequence[str], files: Sequence[Path], *, across: bool = False) -> list[str]:
    """The specifications given, then those of files of policies; with ``across``, these may compare runs."""
    from replay.check.config import read_config

    return [*specs, *(entry.spec for file in files for entry in read_config(file, across=across).policies)]


def spec_words(specs: Sequence[str], files: Sequence[Path]) -> list[str]:
    """The words of a command that names the same policies."""
    return [
        *(word for spec in specs for word in ("--policy", spec)),
        *(word for file in files for word in ("--policies", str(file))),
    ]


def choose_by_default(runs: Sequence[Run], question: Question, tolerance: Tolerance) -> Selection:
    """The choice that ``replay choose`` makes among its default policies."""
    from replay.engine.study import Study
    from replay.policies.grid import DEFAULT_GRID, parse_grids, policies_of
    from replay.search.choice import select_policy
    from replay.search.ladders import default_policies

    policies = policies_of(parse_grids(DEFAULT_GRID))
    study = Study(runs, policies, question)
    with count_policies(len(policies)) as progress:
        return select_policy(
            study, policies, tolerance, ladder_policies=default_policies(), progress=progress
        )


@dataclass(frozen=True)
class Candidates:
    """What the options of a search say, as typed."""

    grids: tuple[str, ...]
    specs: tuple[str, ...]
    files: tuple[Path, ...]
    max_lost: str | None
    max_regret: str | None

    @property
    def are_default(self) -> bool:
        """Whether neither a grid nor a policy is given."""
        return not (self.grids or self.specs or self.files)

    def parse(self) -> tuple[list[Grid], list[Policy]]:
        """The grids and the single policies; the default grid where there are neither."""
        from replay.engine.scoring import parse_policies
        from replay.policies.grid import DEFAULT_GRID, parse_grids

        singles = parse_policies(read_specs(self.specs, self.files))
        texts = self.grids or (() if singles else DEFAULT_GRID)
        return parse_grids(texts) if texts else [], singles

    def typed(self, singles: Sequence[Policy]) -> dict[str, str]:
        """How the single policies were typed, by their canonical specification."""
        from replay.engine.scoring import typed_specs

        return typed_specs(read_specs(self.specs, self.files), singles)

    def words(self) -> list[str]:
        """The words of a command that asks for the same again."""
        grids = [word for text in self.grids for word in ("--grid", text)]
        limits = {"--max-lost": self.max_lost, "--max-regret": self.max_regret}
        typed = [word for name, text in limits.items() if text for word in (name, text)]
        return [*grids, *spec_words(self.specs, self.files), *typed]


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--grid",
        "grids",
        multiple=True,
        metavar="NAME=VALUES",
        help=(
            "Values of a parameter, as in patience=1..20, min_delta=0,1e-4..1e-2*10 or rule=patience,keras"
            " (repeatable; all are crossed)."
        ),
    ),
    click.option(
        "--policy",
        "specs",
        multiple=True,
        metavar="SPEC",
        help="A single stop policy to try beside the grid (repeatable).",
    ),
    policies_option,
    click.option(
        "--max-lost",
        metavar="PERCENT",
        help="The most of a run's improvement that may be lost on average, as in 5%.  [default: 5%]",
    ),
    click.option(
        "--max-regret",
        metavar="LIMIT",
        help="The mean regret instead: 0.5% (of the best value) or 0.01 (in the metric's own unit).",
    ),
)


def candidate_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a search; the command gets them as one argument ``candidates``."""

    @functools.wraps(function)
    def command(**arguments: Any) -> Any:
        names = ("grids", "specs", "files", "max_lost", "max_regret")
        candidates = Candidates(**{name: arguments.pop(name) for name in names})
        return function(candidates=candidates, **arguments)

    decorated: Callable[..., Any] = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
