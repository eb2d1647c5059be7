"""Every policy once more as a plain loop over one run, written from its definition and sharing no code with
replay.

Each takes the policy, the values, the mode and the companions (``steps``, ``epoch``, ``used``), and gives the
1-based eval at which it stops, or None. The contract test demands one for every policy of the table."""

import collections
import ctypes
import functools
import math
import statistics
from types import SimpleNamespace

import numpy as np


def _better(mode):
    return (lambda a, b: a < b) if mode == "min" else (lambda a, b: a > b)


def _places(policy, values, along):
    """How far each eval is, in the policy's unit."""
    return {
        "evals": range(1, len(values) + 1),
        "steps": along["steps"],
        "epochs": along["epoch"],
        "tokens": along.get("tokens"),
    }[policy.unit]


def patience(policy, values, mode, along):
    reference = last = None
    place = _places(policy, values, along)
    for number, (value, here) in enumerate(zip(values, place, strict=True), 1):
        if reference is None:
            improved = not math.isnan(value) and value != (math.inf if mode == "min" else -math.inf)
        else:
            gain = reference - value if mode == "min" else value - reference
            improved = gain > policy.min_delta
        if improved:
            reference, last = value, here
        if last is not None:
            waited = here - last
        elif policy.unit == "evals":
            waited = number
        else:
            waited = here - place[0]
        if waited >= policy.patience:
            return number
    return None


def transformers(policy, values, mode, along):
    better = _better(mode)
    best, counter = None, 0
    for number, (value, step) in enumerate(zip(values, along["steps"], strict=True), 1):
        if best is None or (better(value, best) and abs(value - best) > policy.threshold):
            counter = 0
        else:
            counter += 1
        if counter >= policy.patience:
            return number
        if step == 0:  # eval_on_start: the Trainer does not enter it
            continue
        if best is None:
            best = math.inf if mode == "min" else -math.inf
        if better(value, best):
            best = value
    return None


def target(policy, values, mode, along):
    for number, value in enumerate(values, 1):
        if value == policy.target or _better(mode)(value, policy.target):
            return number
    return None


def divergence(policy, values, mode, along):
    for number, value in enumerate(values, 1):
        if not math.isfinite(value) or _better(mode)(policy.divergence, value):
            return number
    return None


def nonfinite(policy, values, mode, along):
    count = 0
    for number, value in enumerate(values, 1):
        count = 0 if math.isfinite(value) else count + 1
        if count >= policy.nonfinite:
            return number
    return None


def budget(policy, values, mode, along):
    used = {"steps": along["steps"], "epochs": along["epoch"], "evals": range(1, len(values) + 1)}.get(
        policy.unit, along["used"]
    )
    before = 0.0
    for number, spent in enumerate(used, 1):
        whole = math.ceil(spent) if policy.unit == "epochs" and not math.isnan(spent) else spent
        if whole - spent <= min(0.05, (spent - before) / 2):
            spent, before = whole, spent
        else:
            before = spent
        if spent >= policy.budget:
            return number
    return None


def gl(policy, values, mode, along):
    if mode == "max":
        return None
    lowest = math.inf
    for number, error in enumerate(values, 1):
        if math.isnan(error):
            continue
        lowest = min(lowest, error)
        if lowest <= 0:
            return None
        if lowest != math.inf and 100 * (error / lowest - 1) > policy.gl:
            return number
    return None


def pq(policy, values, mode, along):
    if mode == "max":
        return None
    for end in range(policy.strip, len(values) + 1, policy.strip):
        errors = [error for error in values[:end] if not math.isnan(error)]
        train = along["train_loss"][end - policy.strip : end]
        if any(error <= 0 for error in errors) or any(loss <= 0 for loss in train):
            continue
        if (
            math.isnan(values[end - 1])
            or min(errors) == math.inf
            or not all(math.isfinite(loss) for loss in train)
        ):
            continue
        loss = 100 * (values[end - 1] / min(errors) - 1)
        total = 0.0
        for one in train:
            total += one
        progress = max(1000 * (total / (policy.strip * min(train)) - 1), 0.0)
        if (progress == 0 and loss > 0) or (progress > 0 and loss / progress > policy.pq):
            return end
    return None


def up(policy, values, mode, along):
    ends = values[policy.strip - 1 :: policy.strip]
    row = 0
    for number in range(1, len(ends)):
        row = row + 1 if _better(mode)(ends[number - 1], ends[number]) else 0
        if row >= policy.up:
            return (number + 1) * policy.strip
    return None


def noise(policy, values, mode, along):
    reference = last = None
    place = _places(policy, values, along)
    finite = []
    for number, (value, here) in enumerate(zip(values, place, strict=True), 1):
        if math.isfinite(value):
            finite.append(value)
        needed, known = 0.0, len(finite) >= policy.min_evals
        if known:
            sizes = sorted(
                math.inf if math.isnan(size) else size
                for size in (
                    abs(a - 2 * b + c) for a, b, c in zip(finite, finite[1:], finite[2:], strict=False)
                )
            )
            half = len(sizes) // 2
            median = sizes[half] if len(sizes) % 2 else (sizes[half - 1] + sizes[half]) / 2
            needed = policy.noise * (1.4826 / 6**0.5 * median)
        if reference is None:
            better = (
                not math.isnan(value)
                and value != (math.inf if mode == "min" else -math.inf)
                and needed != math.inf
            )
            better = better and not math.isnan(needed)
        else:
            better = (reference - value if mode == "min" else value - reference) > needed
        if better:
            reference, last = value, here
        if last is not None:
            waited = here - last
        elif policy.unit == "evals":
            waited = number
        else:
            waited = here - place[0]
        if known and waited >= policy.patience:
            return number
    return None


@functools.cache
def _t_quantile(probability, freedom):
    """By Newton's method on Simpson's rule for the density of Student's t."""
    scale = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2) / math.sqrt(freedom * math.pi)

    def density(t):
        return scale * (1 + t * t / freedom) ** (-(freedom + 1) / 2)

    def below(t):
        width = t / 400
        inner = sum(density(width * number) * (4 if number % 2 else 2) for number in range(1, 400))
        return 0.5 + width / 3 * (density(0) + inner + density(t))

    t = 0.0
    for _ in range(60):
        t -= (below(t) - probability) / density(t)
    return t


def slope(policy, values, mode, along):
    for end in range(policy.window, len(values) + 1):
        window = [value if mode == "min" else -value for value in values[end - policy.window : end]]
        points = [(float(x), value) for x, value in enumerate(window) if math.isfinite(value)]
        n = len(points)
        if n < 4:
            continue
        if policy.method == "theil-sen":
            slopes = sorted(
                (points[j][1] - points[i][1]) / (points[j][0] - points[i][0])
                for i in range(n)
                for j in range(i + 1, n)
            )
            groups = collections.Counter(value for _, value in points).values()
            variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in groups)) / 18
            spread = statistics.NormalDist().inv_cdf(policy.confidence) * math.sqrt(variance)
            rank = math.floor((len(slopes) - spread) / 2)
            best = -slopes[rank - 1] if rank >= 1 else math.inf
        else:
            x_sum = y_sum = squares = products = rest = 0.0
            for x, y in points:
                x_sum, y_sum = x_sum + x, y_sum + (y - points[0][1])
            x_mean, y_mean = x_sum / n, y_sum / n
            for x, y in points:
                squares += (x - x_mean) * (x - x_mean)
                products += (x - x_mean) * (y - points[0][1] - y_mean)
            trend = products / squares
            for x, y in points:
                off = y - points[0][1] - y_mean - trend * (x - x_mean)
                rest += off * off
            best = -(trend - _t_quantile(policy.confidence, n - 2) * math.sqrt(rest / (n - 2) / squares))
        if best < policy.slope:
            return end
    return None


def _line(points):
    """Slope by least squares of (x, y) points, all sums from the oldest on."""
    n, first = len(points), points[0][1]
    x_sum = y_sum = squares = products = 0.0
    for x, y in points:
        x_sum, y_sum = x_sum + x, y_sum + (y - first)
    for x, y in points:
        squares += (x - x_sum / n) * (x - x_sum / n)
        products += (x - x_sum / n) * (y - first - y_sum / n)
    return products / squares


def gap(policy, values, mode, along):
    place = _places(policy, values, along)
    widens_from = place[policy.window - 2] if len(values) >= policy.window else None
    for end in range(policy.window, len(values) + 1):
        train, metric = [], []
        for x in range(policy.window):
            loss, value = along["train_loss"][end - policy.window + x], values[end - policy.window + x]
            if math.isfinite(loss) and math.isfinite(value):
                train.append((float(x), loss))
                metric.append((float(x), value if mode == "min" else -value))
        if len(train) < 3 or _line(train) >= 0 or not _line(metric) > 0:
            widens_from = place[end - 1]
        if place[end - 1] - widens_from >= policy.patience:
            return end
    return None


def extrapolate(policy, values, mode, along):
    for number in range(1, len(values) + 1):
        end = policy.horizon or along["planned_steps"][number - 1]
        so_far = [value if mode == "min" else -value for value in values[:number]]
        points = [
            (step, value)
            for step, value in zip(along["steps"], so_far, strict=False)
            if step > 0 and math.isfinite(value)
        ]
        if policy.fit == "best":
            finite = [
                (step, value)
                for step, value in zip(along["steps"], so_far, strict=False)
                if math.isfinite(value)
            ]
            points = [
                (step, min(value for _, value in finite[: at + 1]))
                for at, (step, _) in enumerate(finite)
                if step > 0
            ]
        n = len(points)
        if n < policy.min_evals or along["steps"][number - 1] >= end:
            continue
        y = [value for _, value in points]
        y_mean = y[0] + sum(value - y[0] for value in y) / n
        t = _t_quantile(policy.confidence, n - 3)
        fits = []
        for eighths in range(1, 17):
            x = [step ** (-eighths / 8) for step, _ in points]
            x_mean = sum(x) / n
            xx = sum((one - x_mean) * (one - x_mean) for one in x)
            b = sum((one - x_mean) * (value - y_mean) for one, value in zip(x, y, strict=True)) / xx
            b = b if b > 0 else 0.0
            off = [value - y_mean - b * (one - x_mean) for one, value in zip(x, y, strict=True)]
            away = end ** (-eighths / 8) - x_mean
            lever = 1 + 1 / n + (away * away / xx if b else 0.0)
            fits.append((sum(one * one for one in off), y_mean + b * away, lever))
        least = min((rest for rest, _, _ in fits if not math.isnan(rest)), default=math.nan)
        hopes = [
            guess - t * math.sqrt(least / (n - 3) * lever)
            for rest, guess, lever in fits
            if rest <= least * (1 + t * t / (n - 3))
        ]
        if hopes and min(value for value in so_far if math.isfinite(value)) - min(hopes) <= policy.min_delta:
            return number
    return None


def adapter(policy, values, mode, along):
    row = 0
    for index, change in enumerate(along["signals/relative_change"]):
        settled = change < policy.adapter
        if policy.rank:
            ranks = along["signals/stable_rank"]
            settled = (
                settled
                and index > 0
                and ranks[index - 1] != 0
                and abs(ranks[index] / ranks[index - 1] - 1) < policy.rank
            )
        row = row + 1 if settled else 0
        if row >= policy.patience:
            return index + 1
    return None


def drift(policy, values, mode, along):
    first = base = None
    if policy.base == "model":
        base = along["reference:eval_generic_loss"][0] if values else None
    for number, (value, loss) in enumerate(zip(values, along["eval_generic_loss"], strict=True), 1):
        if first is None and math.isfinite(value):
            first = value
        if base is None and math.isfinite(loss):
            base = loss
        if first is not None and base is not None:
            gain = first - value if mode == "min" else value - first
            if loss - base > policy.drift and gain < policy.min_gain:
                return number
    return None


def grades(policy, values, mode, along):
    for number, least in enumerate(along[f"step_signals:{policy.of}:0.3:1"], 1):
        if least < policy.grades:
            return number
    return None


def never(policy, values, mode, along):
    return None


def _counting(values, limit, improves, after=None, before=None):
    """Counts evals since an improvement; ``improves(value, best)``, best None at first; ``after(value,
    best)`` where there is none."""
    best, counter = before, 0
    for number, value in enumerate(values, 1):
        if improves(value, best):
            best, counter = value, 0
        else:
            counter += 1
            best = after(value, best) if after else best
        if counter >= limit:
            return number
    return None


def _worst(mode):
    return math.inf if mode == "min" else -math.inf


def _float32(value):
    """Rounded to single precision: out of range is infinite."""
    return float(ctypes.c_float(value).value)


def transformers_4_46(policy, values, mode, along):
    better = _better(mode)
    best, counter, made, have = None, 0, 0, False
    for number, (value, step) in enumerate(zip(values, along["steps"], strict=True), 1):
        if not have or (better(value, best) and abs(value - best) > policy.threshold):
            counter = 0
        else:
            counter += 1
        if counter >= policy.patience:
            return number
        if step == 0:
            continue
        made += 1
        if made % policy.save_every == 0 and (not have or better(value, best)):
            best, have = value, True
    return None


def tutorial(policy, values, mode, along):
    best, counter = math.inf, 0
    for number, value in enumerate(values, 1):
        if value < best - policy.min_delta:
            best, counter = value, 0
            continue
        counter += 1
        if counter >= policy.patience:
            return number
    return None


def llamafactory(policy, values, mode, along):
    return transformers(
        SimpleNamespace(patience=policy.early_stopping_steps, threshold=0.0), values, mode, along
    )


def axolotl(policy, values, mode, along):
    if policy.early_stopping_patience == 0:
        return None
    return transformers(
        SimpleNamespace(patience=policy.early_stopping_patience, threshold=0.0), values, mode, along
    )


def keras(policy, values, mode, along):
    def improves(value, over):
        if over is None:
            return True
        shifted = value + abs(policy.min_delta) if mode == "min" else value - abs(policy.min_delta)
        return _better(mode)(_float32(shifted), _float32(over))

    wait, best = 0, None
    for epoch, value in enumerate(values):
        if epoch < policy.start_from_epoch:
            continue
        wait += 1
        if improves(value, best):
            best = value
            if improves(value, policy.baseline):
                wait = 0
            continue
        if wait >= policy.patience and epoch > 0:
            return epoch + 1
    return None


def lightning(policy, values, mode, along):
    better = _better(mode)
    best, wait = _worst(mode), 0
    delta = _float32(-policy.min_delta if mode == "min" else policy.min_delta)
    asked = False
    for number, value in enumerate(map(_float32, values), 1):
        at_once = policy.check_finite and not math.isfinite(value)
        if policy.stopping_threshold is not None:
            at_once |= better(value, _float32(policy.stopping_threshold))
        if policy.divergence_threshold is not None:
            at_once |= better(_float32(policy.divergence_threshold), value)
        if not at_once:
            if better(_float32(value - delta), best):
                best, wait = value, 0
            else:
                wait += 1
                at_once = wait >= policy.patience
        asked |= at_once
        epochs, steps = (
            not least or along[name][number - 1] >= least
            for name, least in (("finished_epochs", policy.min_epochs), ("finished_steps", policy.min_steps))
        )
        if asked and epochs and steps:
            return number
    return None


def ignite(policy, values, mode, along):
    best = counter = None
    for number, value in enumerate(values, 1):
        if counter is None:
            best, counter = value, 0
            continue
        change = -policy.threshold if mode == "min" else policy.threshold
        bound = best + change if policy.threshold_mode == "abs" else best * (1 + change)
        if (mode == "max" and value <= bound) or (mode == "min" and value >= bound):
            if not policy.cumulative:
                best = max(value, best) if mode == "max" else min(value, best)
            counter += 1
            if counter >= policy.patience:
                return number
        else:
            best, counter = value, 0
    return None


def optuna_patient(policy, values, mode, along):
    wait = policy.patience + 1
    for number in range(wait + 1, len(values) + 1):
        before = [value for value in values[: number - wait] if value == value]
        recent = [value for value in values[number - wait : number] if value == value]
        if not before or not recent:
            continue
        if (
            min(before) + policy.min_delta < min(recent)
            if mode == "min"
            else max(before) - policy.min_delta > max(recent)
        ):
            return number
    return None


def xgboost(policy, values, mode, along):
    d = policy.min_delta
    return _counting(
        values,
        policy.rounds,
        lambda v, best: best is None or (best - d > v if mode == "min" else v - d > best),
    )


def lightgbm(policy, values, mode, along):
    if policy.stopping_rounds <= 0:
        return None
    best = best_iteration = None
    for iteration, value in enumerate(values):
        if best is None or (
            value < best - policy.min_delta if mode == "min" else value > best + policy.min_delta
        ):
            best, best_iteration = value, iteration
        if iteration - best_iteration >= policy.stopping_rounds:
            return iteration + 1
    return None


def catboost(policy, values, mode, along):
    threshold = (
        1.0
        if policy.od_type == "Iter" or (policy.od_type == "auto" and policy.od_pval is None)
        else policy.od_pval
    )
    if not threshold:
        return None
    errors, most, expected, since = [], None, 0.0, 0
    for number, value in enumerate(values, 1):
        error = -value if mode == "min" else value
        if most is None or error > most:
            most, since = error, 0
        else:
            since += 1
        errors.insert(0, error)
        expected *= 0.99
        power = 1.0
        for old in errors[:2000]:
            gain = power * (error - old)
            expected = gain if gain > expected else expected
            power *= 0.99
        chance = 1.0
        if since >= policy.od_wait:
            behind = most - error
            ratio = expected / (1e-10 if behind < 1e-10 else behind)
            chance = math.exp(-0.5 / (1e-10 if ratio < 1e-10 else ratio))
        if chance < threshold:
            return number
    return None


def _sklearn(policy, values, mode, limit):
    def counts(value, best):
        return value > best - policy.tol if mode == "min" else value < best + policy.tol

    best, counter = _worst(mode), 0
    for number, value in enumerate(values, 1):
        counter = counter + 1 if counts(value, best) else 0
        if _better(mode)(value, best):
            best = value
        if counter >= limit:
            return number
    return None


def sklearn_mlp(policy, values, mode, along):
    return _sklearn(policy, values, mode, policy.n_iter_no_change + 1)


def sklearn_sgd(policy, values, mode, along):
    return _sklearn(policy, values, mode, policy.n_iter_no_change)


def sklearn_hgb(policy, values, mode, along):
    scores = [-value if mode == "min" else value for value in values]
    back = policy.n_iter_no_change + 1
    for number in range(back, len(values) + 1):
        bound = scores[number - back] + policy.tol
        if not any(score > bound for score in scores[number - back + 1 : number]):
            return number
    return None


def torch_plateau(policy, values, mode, along):
    t, relative = policy.threshold, policy.threshold_mode == "rel"
    if mode == "min":
        improves = (lambda v, best: v < best * (1.0 - t)) if relative else (lambda v, best: v < best - t)
    else:
        improves = (lambda v, best: v > best * (t + 1.0)) if relative else (lambda v, best: v > best + t)
    return _counting(values, policy.patience + 1, improves, before=_worst(mode))


def ray_plateau(policy, values, mode, along):
    for number, value in enumerate(values, 1):
        if number < max(policy.grace_period, policy.num_results):
            continue
        if policy.metric_threshold is not None and _better(mode)(policy.metric_threshold, value):
            continue
        with np.errstate(all="ignore"):
            if np.std(values[number - policy.num_results : number]) < policy.std:
                return number
    return None


def fastai(policy, values, mode, along):
    d = policy.min_delta
    improves = (lambda v, best: v + d < best) if mode == "min" else (lambda v, best: v - d > best)
    return _counting(values, max(policy.patience, 1), improves, before=_worst(mode))


def fairseq(policy, values, mode, along):
    if policy.patience <= 0:
        return None
    return _counting(values, policy.patience, lambda v, best: best is None or _better(mode)(v, best))


def allennlp(policy, values, mode, along):
    return _counting(values, policy.patience, lambda v, best: best is None or _better(mode)(v, best))


def opennmt(policy, values, mode, along):
    if policy.early_stopping == 0:
        return None
    better, best = _better(mode), _worst(mode)
    left = {"decreasing": policy.early_stopping, "stalled": policy.early_stopping}
    for number, value in enumerate(values, 1):
        if better(value, best):
            best = value
            left = {"decreasing": policy.early_stopping, "stalled": policy.early_stopping}
            continue
        which = "decreasing" if better(best, value) else "stalled"
        left[which] -= 1
        if left[which] <= 0:
            return number
    return None


def ultralytics(policy, values, mode, along):
    best, best_epoch = 0.0, 0
    for epoch, value in enumerate(values, 1):
        fitness = -value if mode == "min" else value
        if fitness > best or best == 0:
            best, best_epoch = fitness, epoch
        if epoch - best_epoch >= (policy.patience or math.inf):
            return epoch
    return None


LOOPS = {
    "patience": patience,
    "transformers": transformers,
    "transformers@4.46": transformers_4_46,
    "tutorial": tutorial,
    "llamafactory": llamafactory,
    "axolotl": axolotl,
    "keras": keras,
    "lightning": lightning,
    "ignite": ignite,
    "optuna-patient": optuna_patient,
    "ray-plateau": ray_plateau,
    "torch-plateau": torch_plateau,
    "xgboost": xgboost,
    "lightgbm": lightgbm,
    "catboost": catboost,
    "sklearn-mlp": sklearn_mlp,
    "sklearn-sgd": sklearn_sgd,
    "sklearn-hgb": sklearn_hgb,
    "fastai": fastai,
    "fairseq": fairseq,
    "allennlp": allennlp,
    "opennmt": opennmt,
    "ultralytics": ultralytics,
    "target": target,
    "divergence": divergence,
    "nonfinite": nonfinite,
    "budget": budget,
    "one-epoch": budget,
    "never": never,
    "gl": gl,
    "pq": pq,
    "up": up,
    "noise": noise,
    "slope": slope,
    "gap": gap,
    "extrapolate": extrapolate,
    "adapter": adapter,
    "drift": drift,
    "grades": grades,
}


def smooth(spec, values):
    """Plain smoothing, as the specification defines it."""
    if spec == "none":
        return list(values)
    kind, _, number = spec.partition(":")
    out, state = [], None
    for index, value in enumerate(values):
        if not math.isfinite(value):
            out.append(value)
            continue
        if kind == "ema":
            weight = float(number)
            state = value if state is None else weight * value + (1 - weight) * state
            out.append(state)
            continue
        window = [old for old in values[max(0, index - int(number) + 1) : index + 1] if math.isfinite(old)]
        if kind == "mean":
            total = 0.0
            for old in window:
                total += old
            out.append(total / len(window))
        else:
            ordered, middle = sorted(window), len(window) // 2
            out.append(ordered[middle] if len(window) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)
    return out


def modified(policy, values, mode, along):
    """Thinning, smoothing and warm-up around a policy, as a loop."""
    made = [index for index in range(len(values)) if (index + 1) % policy.every == 0]
    smoothed = smooth(policy.smooth, [values[index] for index in made])
    rate = [along["learning_rate"][index] for index in made]
    if policy.start == "lr_warmup":
        ends = [
            n
            for n in range(1, len(made))
            if math.isfinite(rate[n - 1]) and rate[n - 1] > 0 and rate[n] <= rate[n - 1]
        ]
        looked = list(range(ends[0], len(made))) if ends else []
    else:
        place = {
            "evals": range(1, len(made) + 1),
            "steps": [along["steps"][i] for i in made],
            "epochs": [along["epoch"][i] for i in made],
            "tokens": [along["tokens"][i] for i in made],
        }[policy.unit]
        looked = [number for number in range(len(made)) if place[number] >= policy.start]
    pieces = [[]]
    for number in looked:
        last = rate[pieces[-1][-1]] if pieces[-1] else math.nan
        if policy.reset_on == "lr_drop" and math.isfinite(last) and last > 0 and rate[number] <= last / 2:
            pieces.append([])
        pieces[-1].append(number)
    for piece in pieces:
        inner = LOOPS[policy.policy.name](
            policy.policy,
            [smoothed[number] for number in piece],
            policy.direction or mode,
            {name: [column[made[number]] for number in piece] for name, column in along.items()},
        )
        if inner is not None:
            return made[piece[inner - 1]] + 1
    return None
