"""Every policy once more as a plain loop over one run, written from its definition and sharing no code with replay.

Each takes the policy, the values, the mode and the companions (``steps``, ``epoch``, ``used``), and gives the 1-based
eval at which it stops, or None. The contract test demands one for every policy of the table.
"""

import math


def _better(mode):
    return (lambda a, b: a < b) if mode == "min" else (lambda a, b: a > b)


def patience(policy, values, mode, along):
    reference = last = None
    place = {"evals": range(1, len(values) + 1), "steps": along["steps"], "epochs": along["epoch"]}[policy.unit]
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
    used = {"steps": along["steps"], "epochs": along["epoch"], "evals": range(1, len(values) + 1)}.get(policy.unit, along["used"])
    for number, spent in enumerate(used, 1):
        if spent >= policy.budget:
            return number
    return None


def never(policy, values, mode, along):
    return None


LOOPS = {
    "patience": patience,
    "transformers": transformers,
    "target": target,
    "divergence": divergence,
    "nonfinite": nonfinite,
    "budget": budget,
    "one-epoch": budget,
    "never": never,
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
    place = {"evals": range(1, len(made) + 1), "steps": [along["steps"][i] for i in made], "epochs": [along["epoch"][i] for i in made]}[
        policy.unit
    ]
    looked = [number for number in range(len(made)) if place[number] >= policy.start]
    inner = LOOPS[policy.policy.name](
        policy.policy,
        [smoothed[number] for number in looked],
        policy.direction or mode,
        {name: [column[made[number]] for number in looked] for name, column in along.items()},
    )
    return None if inner is None else made[looked[inner - 1]] + 1
