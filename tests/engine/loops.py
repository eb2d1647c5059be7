"""Scoring once more as plain loops over one run, from the definitions of each figure.

It shares no code with the engine. What a policy decides is asked of the policy itself, for one curve. All
positions are 0-based evals, None where there is none; figures are None where they are not known.
"""

import math
import re
import statistics
from itertools import pairwise

from replay.errors import PolicyError

#: The mode of each metric of the random runs.
MODES = {"eval_loss": "min", "eval_error": "min", "eval_score": "max", "val_loss": "min"}
_COUNTER = {"epochs": "epoch", "tokens": "tokens", "seconds": "train_seconds", "gpu_hours": "train_seconds"}
_EVAL_COST = {"tokens": "eval_tokens", "seconds": "eval_seconds", "gpu_hours": "eval_seconds"}


def logged(run, name):
    """Step and value of each eval that logged a column."""
    if name not in run.columns:
        return []
    values, present = run.columns[name]
    return [
        (step, value)
        for step, value, there in zip(run.steps.tolist(), values.tolist(), present.tolist(), strict=True)
        if there
    ]


def last_known(run, name, steps):
    """The last value of a column at or before each step, None before the first."""
    known = logged(run, name)
    return [next((value for at, value in reversed(known) if at <= step), None) for step in steps]


def better(value, other, mode):
    return value < other if mode == "min" else value > other


def best_position(values, mode):
    """The first of the best values; NaN is never best."""
    best = None
    for position, value in enumerate(values):
        if not math.isnan(value) and (best is None or better(value, values[best], mode)):
            best = position
    return best


def noise_of(values, mode):
    """1.4826 · median |second difference| / √6 of the finite values up to two behind the best, 7 at least."""
    best = best_position(values, mode)
    if best is None:
        return None
    finite = [value for value in values[: max(best + 3, 7)] if math.isfinite(value)]
    if len(finite) < 5:
        return None
    second = [abs(a - 2 * b + c) for a, b, c in zip(finite, finite[1:], finite[2:], strict=False)]
    return 1.4826 * statistics.median(second) / math.sqrt(6)


def companion(run, steps, name):
    """The companion column of a policy at the evals of a curve; None where the log lacks it."""
    if name == "planned_steps":
        return [float(run.info.planned_steps)] * len(steps) if run.info.planned_steps else None
    if name.startswith("used:"):
        counted = compute(run, steps, name.removeprefix("used:"), [True] * len(steps))
        return None if counted is None else counted[0]
    if name == "finished_steps":
        distances = sorted(later - earlier for earlier, later in pairwise(steps))
        every = statistics.median(distances) if distances else 0
        ends = [step for step in steps if every > 1 and (step + 1) % every == 0]
        return [step + (2 * len(ends) > len(steps)) for step in steps]
    if name == "finished_epochs":
        return finished_epochs(last_known(run, "epoch", steps), steps)
    if name in ("epoch", "tokens"):
        column = last_known(run, name, steps)
        return None if not steps or None in column else column
    if name in ("train_loss", "learning_rate"):
        column = last_known(run, name, steps)
        known = [value for value in column if value is not None]
        return [math.nan if value is None else value for value in column] if known else None
    return None  # random runs have no other


def finished_epochs(epochs, steps):
    """Epochs that were finished at each eval, by its number of epoch from 0 or its share of the epochs."""
    if not steps or None in epochs:
        return None
    if epochs[0] != 0 or steps[0] <= 0 or any(epoch != int(epoch) for epoch in epochs):
        return [math.floor(epoch + 0.02) for epoch in epochs]
    most = max(epochs.count(epoch) for epoch in epochs)
    finished = []
    for number, epoch in enumerate(epochs):
        last = epochs[number + 1] > epoch if number + 1 < len(epochs) else epochs.count(epoch) == most
        finished.append(epoch + last)
    return finished


def compute(run, steps, unit, made):
    """Used up to each eval, the evals' part of that, what the full log used, and what it would have used
    without the evals that are not made; None where the log lacks the unit.
    """
    if unit != "steps" and (not steps or unit not in _COUNTER):
        return None  # random runs count no floating-point operations, and nothing has a price
    cost = [0.0] * len(steps)
    if unit == "steps":
        train, full = list(steps), run.trained_steps
    else:
        train = last_known(run, _COUNTER[unit], steps)
        if None in train or steps[-1] <= 0 or train[-1] <= 0:
            return None
        full = train[-1] * run.trained_steps / steps[-1]
        if unit in _EVAL_COST:
            cost = [value or 0.0 for value in last_known(run, _EVAL_COST[unit], steps)]
    scale = 1 / 3600 if unit == "gpu_hours" else 1
    train, cost, full = [value * scale for value in train], [value * scale for value in cost], full * scale
    full += sum(cost)
    used, evals, spent = [], [], 0.0
    for here, one, is_made in zip(train, cost, made, strict=True):
        spent += one if is_made else 0.0
        used.append(here + spent)
        evals.append(spent)
    return used, evals, full, full - sum(cost) + spent


def kept_position(values, mode, made, saved, keep, upto):
    """The eval whose checkpoint is kept after a stop at ``upto``."""
    kept = best = noted = None
    for position in range(upto + 1):
        if not made[position]:
            continue
        value = values[position]
        if keep == "last":
            kept = position
        elif keep == "transformers":
            # the best so far is noted when a checkpoint is written, if it has one itself
            worst = math.inf if mode == "min" else -math.inf
            if better(value, worst if best is None else values[best], mode):
                best = position
            if saved[position] and best is not None and saved[best]:
                noted = best
            kept = position if noted is None else noted
        elif not math.isnan(value) and (keep == "best" or saved[position]):
            kept = position if kept is None or better(value, values[kept], mode) else kept
    return kept


def base_value(run, name):
    """The base model's value of a metric: under the log's own name, or under one that means the same."""

    def plain(text):
        return "_".join(re.findall("[a-z0-9]+", text.lower()))

    known = dict(run.info.reference)
    same = [value for other, value in known.items() if plain(other) == plain(name)]
    stated = [known[name], *same] if name in known else same
    return next((value for value in stated if finite(value)), None)


def finite(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def improvement(start, best, noise, mode):
    """What lost is a share of: from the start to the best; None where the run has no scale."""
    if start is None or best is None:
        return None
    gain = start - best if mode == "min" else best - start
    if not gain >= 0 or (noise is not None and gain < 2 * noise):
        return None
    return gain


def starts(run, name, scores):
    """The values that the improvement is measured from: the first one, and that of the next eval after it."""
    values = [score for score in scores if finite(score)]
    base = base_value(run, name)
    values = values if base is None else [base, *values]
    return [*values, None, None][:2]


def share(regret, scale, total):
    """Regret as a share of the improvement; ``total`` says what a regret that is not a number stands for."""
    if scale is None:
        return math.nan
    if scale == 0:
        return 0.0 if regret == 0 else math.nan
    if math.isnan(regret / scale):
        return 1.0 if total else math.nan
    return min(regret / scale, 1.0)


def losses(at_kept, was_logged, best, scale):
    """Regret, relative regret and share lost, from the objective at the checkpoint kept (NaN: unknown)."""
    if best is None:
        return None, None, None
    regret = 0.0 if at_kept == best else abs(at_kept - best)
    relative = (regret / abs(best)) if best != 0 else 0.0 if regret == 0 else math.nan
    lost = share(regret, scale, was_logged)
    return tuple(None if math.isnan(figure) else figure for figure in (regret, relative, lost))


def is_censored(run):
    """Whether the log does not show the training as it was planned: a rule stopped it, or it ends too soon.

    The random runs state their plan in steps, and they log at irregular steps: a further log entry is due
    where the rest of the plan is at least the median distance of their evals.
    """
    if run.info.stopped_by:
        return True
    planned, steps = run.info.planned_steps, run.steps.tolist()
    if planned is None:
        return False
    missing = planned - run.trained_steps
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    usual = statistics.median(gaps) if gaps else 0
    counts_from_zero = steps[:1] == [0]
    if missing <= 1 and (usual > 1 or counts_from_zero):
        return False
    return missing > 0 and missing >= usual


def policy_stop(policy, run, monitored, mode):
    """Where a policy stops a run, and why: ``(position, reason)``; None where it cannot judge the run."""
    steps, values = [step for step, _ in monitored], [value for _, value in monitored]
    columns = {}
    for one in policy.companions:
        columns[one.name] = companion(run, steps, one.name)
        if columns[one.name] is None:
            return None
    try:
        stop = policy.stop_eval(values, mode, steps, columns)
    except PolicyError:
        return None
    if stop is None:
        return None, "the end of the log"
    # the policy is asked once more with nothing of what came later
    parts = {name: column[:stop] for name, column in columns.items()}
    decision = policy.decide(values[:stop], mode, steps[:stop], parts)
    assert (decision.eval, decision.stop) == (stop, True)
    return stop - 1, decision.reason


def objective_of(question):
    """The metric that outcomes are judged by, and its mode."""
    objective = question.objective or question.monitor
    given = question.mode or MODES[question.monitor]
    return objective, question.objective_mode or (
        given if objective == question.monitor else MODES[objective]
    )


def outcome(run, policy, question):
    """The row of a policy on a run; None where it has none."""
    monitor = policy.monitor or question.monitor
    given = question.mode or MODES[question.monitor]
    mode = policy.mode or (given if monitor == question.monitor else MODES[monitor])
    objective, objective_mode = objective_of(question)
    monitored = logged(run, monitor)
    if monitor not in run.columns:
        return None
    stop = policy_stop(policy, run, monitored, mode)
    if stop is None:
        return None
    position, reason = stop
    steps, values = [step for step, _ in monitored], [value for _, value in monitored]
    end = len(values) - 1 if position is None else position
    made = [any(number % every == 0 for every in policy.thinning) for number in range(1, len(values) + 1)]
    used, eval_used, full, at_end = compute(run, steps, question.unit, made)
    saved = [value == 1 for value in last_known(run, "saved", steps)]
    kept = kept_position(values, mode, made, saved, question.keep, end)
    last = next((number for number in range(end, -1, -1) if made[number]), None)

    judged = logged(run, objective)
    at = dict(judged)
    scores = [score for _, score in judged]
    best = best_position(scores, objective_mode)
    best_score = None if best is None else scores[best]
    noise = noise_of(scores, objective_mode)
    start, _ = starts(run, objective, scores)
    scale = improvement(start, best_score, noise, objective_mode)
    at_kept = math.nan if kept is None else at.get(steps[kept], math.nan)
    was_logged = kept is None or steps[kept] in at
    regret, relative, lost = losses(at_kept, was_logged, best_score, scale)
    spent = at_end if position is None else used[position]
    row = {
        "run": run.id,
        "policy": policy.spec(),
        "spec": policy.spec(),
        "monitor": monitor,
        "mode": mode,
        "objective": objective if objective in run.columns else None,
        "evals": len(values),
        "stopped_eval": None if position is None else position + 1,
        "stopped_step": None if position is None else steps[position],
        "reason": reason,
        "unit": question.unit,
        "used": spent,
        "used_full": full,
        "saved": 1 - spent / full if full > 0 else 0.0,
        "best": None if best is None else scores[best],
        "best_step": None if best is None else judged[best][0],
        "kept": at_kept,
        "kept_step": None if kept is None else steps[kept],
        "last": math.nan if last is None else at.get(steps[last], math.nan),
        "regret": regret,
        "relative_regret": relative,
        "lost": lost,
        "censored": is_censored(run) and not (policy.spec() == "never" and regret in (0, None)),
        "eval_used": (eval_used[-1] if eval_used else 0.0) if position is None else eval_used[position],
        "noise": noise,
    }
    return {name: None if value != value else value for name, value in row.items()}


def judges(run, policy, question):
    """Whether a run counts in summaries, as the question and as the policy monitor it.

    The monitor has a finite value, and the objective is a number somewhere, also at one of the monitor's
    evals at least.
    """
    objective = dict(logged(run, question.objective or question.monitor))
    at_all = any(not math.isnan(value) for value in objective.values())
    for monitor in {question.monitor, policy.monitor or question.monitor}:
        monitored = logged(run, monitor)
        there = any(not math.isnan(objective.get(step, math.nan)) for step, _ in monitored)
        if not (at_all and there and any(math.isfinite(value) for _, value in monitored)):
            return False
    return True


def later_scales(run, question):
    """The improvement from the next eval on, and whether the move to it is more than half of it all."""
    objective, mode = objective_of(question)
    scores = [value for _, value in logged(run, objective)]
    best, noise = best_position(scores, mode), noise_of(scores, mode)
    if best is None:
        return None, False
    start, following = starts(run, objective, scores)
    whole, later = (improvement(one, scores[best], noise, mode) for one in (start, following))
    if whole is None or following is None or whole == 0:
        return later, False
    return later, (start - following if mode == "min" else following - start) > whole / 2


def mean(values):
    known = [value for value in values if value is not None and not math.isnan(value)]
    return sum(known) / len(known) if known else None


def summary(runs, policy, question):
    """The row of a policy's summary, but for what an interval or the equal budget takes."""
    pairs = [(run, row) for run in runs if (row := outcome(run, policy, question)) is not None]
    judged = [(run, row) for run, row in pairs if judges(run, policy, question)]
    if not judged:  # losses of runs that cannot be judged are unknown
        judged = [(run, {**row, "regret": None, "relative_regret": None, "lost": None}) for run, row in pairs]
    rows = [row for _, row in judged]
    scaled = [(run, row) for run, row in judged if row["lost"] is not None]
    later, dominated = [], False
    for run, row in scaled:
        scale, first_dominates = later_scales(run, question)
        regret = math.nan if row["regret"] is None else row["regret"]
        later.append(share(regret, scale, row["lost"] == 1))
        dominated |= first_dominates
    full = sum(row["used_full"] for row in rows)
    within = [
        row["regret"] is not None
        and (row["regret"] == 0 or (row["noise"] is not None and row["regret"] <= row["noise"]))
        for _, row in scaled
    ]
    unknown = [row["regret"] is not None and row["regret"] > 0 and row["noise"] is None for _, row in scaled]
    lost = [row["lost"] for _, row in scaled]
    regrets = [row["regret"] for row in rows if row["regret"] is not None]
    return {
        "runs": len(rows),
        "stopped": sum(row["stopped_eval"] is not None for row in rows),
        "censored": sum(row["censored"] for row in rows),
        "saved_mean": mean([row["saved"] for row in rows]),
        "saved_total": 1 - sum(row["used"] for row in rows) / full if full > 0 else 0.0,
        "regret_mean": mean(regrets),
        "regret_worst": max(regrets, default=None),
        "relative_regret_mean": mean([row["relative_regret"] for row in rows]),
        "lost_mean": mean(lost),
        "lost_worst": max(lost, default=None),
        "lost_runs": len(scaled),
        "lost_later_mean": mean(later) if dominated else None,
        "within_noise": sum(within),
        "beyond_noise": len(scaled) - sum(within) - sum(unknown),
    }
