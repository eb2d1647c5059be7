"""How often what `replay.choose_policy` says is true, on simulated populations of runs whose truth is known.

    python benchmarks/guarantees.py [repeats]

Three tables: guarantees and best guesses, the coverage of 95 % intervals, and the verdicts on plain budgets.

For each population and number of runs, samples are drawn and a policy is chosen on each, with the tolerance
of 10 % of a run's improvement, on average and with a confidence of 90 %. The true mean loss of each policy
comes from many more runs of the same population. A guarantee on average holds where the true loss of the
guaranteed choices, averaged over samples, is at most the tolerance; one with a confidence of 90 % where at
most 10 % of all choices are guaranteed and lose more. A best guess has no guarantee: the table shows how
often it loses more than the tolerance.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import replay
from replay.errors import ReplayWarning
from tests.stats import test_difference, test_intervals
from tests.stats.populations import Population, group_sizes, population

__all__ = [
    "CONFIDENCE",
    "KINDS",
    "SIZES",
    "TOLERANCE",
    "Truth",
    "budget_verdicts",
    "sample",
    "tally",
    "truth",
]

SIZES = (8, 12, 26, 60, 200)
TOLERANCE = 0.10
CONFIDENCE = 0.90

#: The populations: arguments of `tests.stats.populations.population`, and whether the runs form groups.
KINDS: dict[str, tuple[dict[str, float], bool]] = {
    "common losses": ({"late": 0.8, "depth": 0.8}, False),
    "rare losses": ({"noise": 0.001, "late": 0.25, "depth": 8.0}, False),
    "noisy": ({"noise": 0.06, "late": 0.5}, False),
    "groups": ({"late": 0.5, "depth": 0.8}, True),
}

_RUNS = 4_000
_SEED = 987_654_321


class Truth(dict[str, float]):
    """The true mean loss of each policy of a population, by specification; simulated when it is asked for."""

    def __init__(self, runs: Sequence[replay.Run]) -> None:
        super().__init__()
        self._runs = runs

    def __missing__(self, spec: str) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReplayWarning)
            lost = replay.simulate(self._runs, [spec])["lost"].to_numpy(dtype=float)
        self[spec] = float(np.nanmean(lost))
        return self[spec]


@cache
def truth(kind: str) -> Truth:
    """The truth of a population."""
    settings, _ = KINDS[kind]
    return Truth(population(_SEED, _RUNS, **settings).runs())


def sample(kind: str, size: int, seed: int) -> Population:
    """A sample of a population; ``size`` counts runs or, of a population of groups, groups."""
    settings, grouped = KINDS[kind]
    if not grouped:
        return population(seed, size, **settings)
    members = np.repeat(np.arange(size), group_sizes(seed, size))
    return population(seed, len(members), members, **settings)


@dataclass(frozen=True)
class Tally:
    """What choices on many samples came to.

    ``guaranteed`` and ``guessed`` count the choices of these results among ``samples``. ``loss`` is the mean
    true loss of the guaranteed choices and ``saved`` the mean of what they show as saved; NaN where there are
    none. ``broken`` counts guaranteed choices that truly lose more than the tolerance, ``guess_broken`` best
    guesses that do.
    """

    samples: int
    guaranteed: int
    guessed: int
    loss: float
    saved: float
    broken: int
    guess_broken: int


def tally(kind: str, size: int, repeats: int, confidence: float | None) -> Tally:
    """Choose on many samples, by the public function."""
    _, grouped = KINDS[kind]
    losses, saved, broken, guessed, guess_broken, guaranteed = [], [], 0, 0, 0, 0
    for seed in range(repeats):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReplayWarning)
            choice = replay.choose_policy(
                sample(kind, size, seed).runs(),
                max_lost=TOLERANCE,
                confidence=confidence,
                group="group" if grouped else None,
            )
        lost = 0.0 if choice.policy is None else truth(kind)[choice.policy]
        if choice.status == "guaranteed":
            guaranteed += 1
            losses.append(lost)
            saved.append(choice.saved)
            broken += lost > TOLERANCE
        elif choice.status == "best guess":
            guessed += 1
            guess_broken += lost > TOLERANCE
    return Tally(
        repeats,
        guaranteed,
        guessed,
        float(np.mean(losses)) if losses else np.nan,
        float(np.mean(saved)) if saved else np.nan,
        broken,
        guess_broken,
    )


def _rows(repeats: int) -> Iterator[str]:
    yield (
        "| population | runs | guarantee | guaranteed | their true loss | they save | guarantees broken"
        " | best guesses | best guesses broken |"
    )
    yield "| :-- | --: | :-- | --: | --: | --: | --: | --: | --: |"
    for kind in KINDS:
        for size in SIZES:
            for confidence, name in ((None, "on average"), (CONFIDENCE, f"{CONFIDENCE:.0%}")):
                found = tally(kind, size, repeats, confidence)
                share = found.guaranteed / found.samples
                yield (
                    f"| {kind} | {size} | {name} | {share:.0%} | {_percent(found.loss, 1)}"
                    f" | {_percent(found.saved)} | {found.broken / found.samples:.1%}"
                    f" | {found.guessed / found.samples:.0%}"
                    f" | {_share(found.guess_broken, found.guessed)} |"
                )


def _percent(share: float, digits: int = 0) -> str:
    return "–" if np.isnan(share) else f"{share:.{digits}%}"


def _share(count: int, total: int) -> str:
    return "–" if not total else f"{count / total:.0%}"


def _coverage() -> Iterator[str]:
    """How often intervals hold the truth: the lowest and the highest share over several policies."""
    yield "| sample | saved | lost | difference to the matched equal budget |"
    yield "| :-- | --: | --: | --: |"
    for count, grouped in ((20, False), (26, False), (60, False), (200, False), (8, True), (20, True)):
        means = test_intervals.held(count, grouped)
        shares = {
            figure: [
                share for (_, name), (share, others, _) in means.items() if name == figure and others >= 5
            ]
            for figure in ("saved", "lost")
        }
        shares["difference"] = [
            float(test_difference.held(count, grouped, 1000, policy)[0])
            for policy in test_difference.POLICIES
        ]
        cells = [f"{min(values):.1%} – {max(values):.1%}" for values in shares.values()]
        yield f"| {count} {'groups of 2–6 runs' if grouped else 'runs'} | {' | '.join(cells)} |"


def budget_verdicts(repeats: int) -> Counter[str]:
    """Count the verdicts on plain budgets on runs of equal length, which tie with the equal budget."""
    verdicts: Counter[str] = Counter()
    budgets = [f"budget={steps}" for steps in range(2, 24, 2)]
    for seed in range(repeats):
        drawn = population(seed, 30)
        runs = [run for run in drawn.runs() if len(run) >= 24][:20]
        same = [replay.Run(run.id, run.evals.iloc[:24]) for run in runs]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReplayWarning)
            verdicts.update(replay.sweep(same, budgets)["verdict"])
    return verdicts


def _budgets(repeats: int) -> Iterator[str]:
    verdicts = budget_verdicts(repeats)
    yield "| verdict on a plain budget | samples |"
    yield "| :-- | --: |"
    yield from (f"| {verdict} | {count} |" for verdict, count in verdicts.most_common())


if __name__ == "__main__":
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for table in (_rows(repeats), _coverage(), _budgets(repeats)):
        for row in table:
            print(row, flush=True)
        print()
