"""Whether a learned stop beats the best tuned patience, on the corpus, leaving whole data sets out.

    python benchmarks/learned_stop.py [OUT]

A model predicts, at each eval, whether the best value will still improve by more than 1 % of the run's whole
improvement. The run stops at the first eval at which that is less probable than a threshold. Features are
causal: of the curve so far, the train loss, the learning rate and the adapter up to that eval.

Each data set is left out in turn. On the others, the model is fitted and its threshold chosen; so are the
settings of patience and of the extrapolation. All are then scored on the data set that was left out. Two
choices are made: the setting that saves most with a mean loss of at most 5 % of the improvement, and the one
that conformal risk control guarantees. Losses that the choice of a threshold sees are of data sets on which
the model was not fitted. The figures go to OUT (default: learned_stop.json beside this file).
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpus.league import MONITOR, ROOT, load
from replay import parse_policy
from replay.data.run import Run
from replay.engine.payoffs import Payoffs
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.engine.study import Study
from replay.stats.intervals import interval
from replay.stats.risk_control import risk_control

TOLERANCE = 0.05
#: The gain that counts, as a share of the run's improvement.
GAIN = 0.01
#: A stop at the first eval would be one before the curve can say anything.
FIRST = 2
#: From the most careful to the greediest.
THRESHOLDS = np.concatenate(
    [np.linspace(0.005, 0.05, 10), np.linspace(0.06, 0.3, 13), np.linspace(0.35, 0.8, 10)]
)
PATIENCES = range(15, 0, -1)
GAINS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True, eq=False)
class Curves:
    """What is known of each run: features and labels (evals × …), and what a stop at each eval gives, with
    what never stopping gives as the last entry.
    """

    groups: np.ndarray
    features: list[np.ndarray]
    labels: list[np.ndarray]
    saved: list[np.ndarray]
    lost: list[np.ndarray]

    def pooled(self, runs: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features, labels and groups of the evals of some runs."""
        return (
            np.concatenate([self.features[run][FIRST:-1] for run in runs]),
            np.concatenate([self.labels[run][FIRST:-1] for run in runs]),
            np.concatenate([np.repeat(self.groups[run], len(self.labels[run]) - FIRST - 1) for run in runs]),
        )


def at(run: Run, name: str, steps: np.ndarray) -> np.ndarray:
    """The last value of a train series up to each step; NaN before the first, and without the series."""
    series = run.train.get(name)
    if series is None or not len(series.step):
        return np.full(len(steps), np.nan)
    place = np.searchsorted(series.step, steps, side="right") - 1
    return np.where(place >= 0, series.value[np.maximum(place, 0)], np.nan)


def lagged(values: np.ndarray, evals: int) -> np.ndarray:
    """The values some evals before; NaN before the first."""
    return np.concatenate([np.full(min(evals, len(values)), np.nan), values[:-evals]])


def describe(run: Run, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The causal features of each eval."""
    number = np.arange(len(values))
    best = np.minimum.accumulate(values)
    place = np.maximum.accumulate(np.where(values <= best, number, 0))
    base = (run.info.reference or {}).get(MONITOR, values[0])
    gained = np.maximum(base - best, 1e-6 * abs(base))
    noise = np.array(
        [np.std(np.diff(values[max(0, here - 7) : here + 1])) if here >= 2 else np.nan for here in number]
    )
    train = at(run, "train/loss", steps)
    rate = at(run, "train/learning_rate", steps)
    moved, rank = at(run, "signals/delta_norm", steps), at(run, "signals/stable_rank", steps)
    planned = run.info.planned_steps or steps[-1]
    columns = [
        number - place,
        steps / planned,
        *((lagged(values, evals) - values) / gained for evals in (1, 2, 3, 5)),
        *((lagged(best, evals) - best) / gained for evals in (2, 3, 5, 8)),
        (values - best) / gained,
        noise / gained,
        (values - train) / gained,
        (lagged(train, 3) - train) / gained,
        rate / np.fmax.accumulate(rate),
        np.log(moved / lagged(moved, 1)),
        rank,
        at(run, "signals/cosine", steps),
        at(run, "signals/relative_change", steps),
    ]
    return np.column_stack(columns).astype(np.float64)


def read() -> tuple[list[Run], Curves]:
    """The runs that have a scale, and what is known of each."""
    runs = load(ROOT / "corpus" / "runs", ROOT / "sample_logs")
    panel = Study(runs, [parse_policy("never")], Question(monitor=MONITOR)).panel
    payoffs = Payoffs.of(panel, np.arange(len(panel.runs)), panel.whole.mask)
    kept, features, labels, saved, lost = [], [], [], [], []
    for row, run in enumerate(panel.runs):
        improvement = float(panel.objective.scale.improvement[row])
        if not improvement > 0:
            continue
        curve = panel.curves[row]
        values = np.where(
            np.isfinite(curve.values), curve.values, np.nanmax(curve.values[np.isfinite(curve.values)])
        )
        ahead = np.minimum.accumulate(values[::-1])[::-1]
        later = np.append(ahead[1:], np.inf)
        one = payoffs.of_run(row)
        kept.append(run)
        with np.errstate(all="ignore"):
            described = describe(run, curve.steps, values)
        features.append(np.where(np.isinf(described), np.nan, described))
        labels.append((np.minimum.accumulate(values) - later > GAIN * improvement).astype(int))
        saved.append(one.saved)
        lost.append(one.lost)
    groups = np.array([str(run.info.dataset) for run in kept])
    return kept, Curves(groups, features, labels, saved, lost)


def boosted() -> Any:
    """Gradient boosting."""
    return HistGradientBoostingClassifier(
        max_iter=80, learning_rate=0.06, max_leaf_nodes=8, min_samples_leaf=40, random_state=0
    )


def logistic() -> Any:
    """Logistic regression."""
    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True),
        StandardScaler(),
        LogisticRegression(C=0.1, max_iter=2000),
    )


def fit(make: Callable[[], Any], curves: Curves, runs: Sequence[int]) -> Any:
    """A model fitted on some runs, calibrated on data sets that its parts were not fitted on."""
    features, labels, groups = curves.pooled(runs)
    folds = min(3, len(set(groups)))
    splits = list(GroupKFold(folds).split(features, labels, groups))
    splits = [(train, test) for train, test in splits if len(set(labels[train])) == 2]
    return CalibratedClassifierCV(make(), method="sigmoid", cv=splits).fit(features, labels)


def stops(model: Any, curves: Curves, run: int) -> np.ndarray:
    """The position at which each threshold stops a run; the entry of never stopping where it does not."""
    probability = model.predict_proba(curves.features[run])[:, 1]
    probability[:FIRST] = 1.0
    count = len(probability)
    below = probability[None, :] < THRESHOLDS[:, None]
    return np.where(below.any(axis=1), below.argmax(axis=1), count)


def gains_of_model(
    make: Callable[[], Any], curves: Curves, train: Sequence[int], test: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Saved and lost of the thresholds on the runs of ``test`` (runs × thresholds)."""
    model = fit(make, curves, train)
    places = [stops(model, curves, run) for run in test]
    return (
        np.array([curves.saved[run][place] for run, place in zip(test, places, strict=True)]),
        np.array([curves.lost[run][place] for run, place in zip(test, places, strict=True)]),
    )


def gains_of_policies(runs: list[Run], specs: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Saved and lost of policies (runs × policies)."""
    outcomes = simulate_policies(runs, list(specs), Question(monitor=MONITOR))
    shape = (len(specs), len(runs))
    rows = outcomes.rows()
    saved, lost = np.full(shape, np.nan), np.full(shape, np.nan)
    policy = {spec: index for index, spec in enumerate(specs)}
    place = {run.id: index for index, run in enumerate(runs)}
    for row in rows:
        here = policy[row["policy"]], place[row["run"]]
        saved[here], lost[here] = row["saved"], row["lost"]
    return saved.T, lost.T


def choose(saved: np.ndarray, lost: np.ndarray, *, proven: bool) -> int | None:
    """The setting (a column) that saves most within the tolerance, or the greediest that is proven."""
    if proven:
        return risk_control(None).choose(lost, TOLERANCE)
    within = np.flatnonzero(lost.mean(axis=0) <= TOLERANCE)
    return None if not len(within) else int(within[saved[:, within].mean(axis=0).argmax()])


def score(
    curves: Curves, families: dict[str, Callable[[list[int], list[int]], tuple[np.ndarray, ...]]]
) -> dict[str, Any]:
    """The figures of each family on the data sets left out, for both ways to choose."""
    names = sorted(set(curves.groups))
    every = np.arange(len(curves.groups))
    out: dict[str, Any] = {}
    held = {
        (family, proven): (np.zeros(len(every)), np.zeros(len(every)))
        for family in families
        for proven in (False, True)
    }
    unproven = dict.fromkeys(families, 0)
    for name in names:
        test = every[curves.groups == name].tolist()
        train = every[curves.groups != name].tolist()
        for family, gains in families.items():
            known_saved, known_lost, saved, lost = gains(train, test)
            for proven in (False, True):
                column = choose(known_saved, known_lost, proven=proven)
                if column is None:  # trains to the end
                    unproven[family] += proven
                    continue
                held[family, proven][0][test] = saved[:, column]
                held[family, proven][1][test] = lost[:, column]
    groups = curves.groups.tolist()
    for (family, proven), (saved, lost) in held.items():
        rival = held["patience", proven][0]
        out.setdefault(family, {"folds_without_a_proof": unproven[family]})[
            "proven" if proven else "chosen"
        ] = {
            "saved": float(saved.mean()),
            "saved_interval": interval(saved, groups, within=(0, 1)),
            "lost": float(lost.mean()),
            "lost_interval": interval(lost, groups, within=(0, 1)),
            "saved_more_than_patience": float((saved - rival).mean()),
            "saved_more_interval": interval(saved - rival, groups),
        }
    return {"runs": len(every), "data_sets": len(names), "families": out}


def quality(make: Callable[[], Any], curves: Curves) -> dict[str, Any]:
    """How well a model predicts on data sets left out: the area under the ROC curve, and, in five parts of
    the evals by the predicted probability, its mean and how often the best did improve.
    """
    every = np.arange(len(curves.groups))
    predicted, true = [], []
    for name in np.unique(curves.groups):
        model = fit(make, curves, every[curves.groups != name].tolist())
        features, labels, _ = curves.pooled(every[curves.groups == name].tolist())
        predicted.append(model.predict_proba(features)[:, 1])
        true.append(labels)
    probability, label = np.concatenate(predicted), np.concatenate(true)
    order = np.argsort(probability)
    parts = [
        [float(probability[part].mean()), float(label[part].mean())] for part in np.array_split(order, 5)
    ]
    return {
        "evals": len(label),
        "improve": float(label.mean()),
        "roc_auc": float(roc_auc_score(label, probability)),
        "parts": parts,
    }


def main(out: Path) -> None:
    """Score the families, print a table, and write the figures."""
    warnings.simplefilter("ignore")
    runs, curves = read()
    names = np.unique(curves.groups)

    def of_policies(*specs: str) -> Callable[[list[int], list[int]], tuple[np.ndarray, ...]]:
        saved, lost = gains_of_policies(runs, specs)
        return lambda train, test: (saved[train], lost[train], saved[test], lost[test])

    def of_model(make: Callable[[], Any]) -> Callable[[list[int], list[int]], tuple[np.ndarray, ...]]:
        def gains(train: list[int], test: list[int]) -> tuple[np.ndarray, ...]:
            saved, lost = np.empty((len(train), len(THRESHOLDS))), np.empty((len(train), len(THRESHOLDS)))
            place = {run: index for index, run in enumerate(train)}
            for name in names:
                inner = [run for run in train if curves.groups[run] == name]
                rest = [run for run in train if curves.groups[run] != name]
                if inner:
                    rows = [place[run] for run in inner]
                    saved[rows], lost[rows] = gains_of_model(make, curves, rest, inner)
            return saved, lost, *gains_of_model(make, curves, train, test)

        return gains

    figures = score(
        curves,
        {
            "patience": of_policies(*(f"patience={patience}" for patience in PATIENCES)),
            "patience of a smoothed curve": of_policies(
                *(f"patience={patience},smooth=mean:3" for patience in PATIENCES)
            ),
            "extrapolation": of_policies(*(f"extrapolate:min_delta={gain:g}" for gain in GAINS)),
            "logistic regression": of_model(logistic),
            "gradient boosting": of_model(boosted),
        },
    )
    for family, make in (("logistic regression", logistic), ("gradient boosting", boosted)):
        figures["families"][family]["quality"] = quality(make, curves)
    out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"{figures['runs']} runs, {figures['data_sets']} data sets")
    for how in ("chosen", "proven"):
        print(f"\n{how:30}  saved            lost             saved more than patience")
        for family, one in figures["families"].items():
            row = one[how]
            cells = (
                f"{100 * row[key]:5.1f} % ({100 * row[bounds][0]:.1f} to {100 * row[bounds][1]:.1f})"
                for key, bounds in (
                    ("saved", "saved_interval"),
                    ("lost", "lost_interval"),
                    ("saved_more_than_patience", "saved_more_interval"),
                )
            )
            print(f"{family:30}", *cells)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".json"))
