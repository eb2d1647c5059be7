"""Checks of ``benchmarks/gpu.py`` that train runs of collect and compare their logs.

A check gets a `Place` and returns a `Result`. What it needs is imported inside it, since each check runs in
a process of its own.
"""

import dataclasses
import importlib.util
import signal
import time

from gpu_place import (
    PASS,
    SKIPPED,
    Result,
    command,
    judge,
    losses,
    note,
    records,
    same_steps,
    train,
    train_killed,
    write_config,
)


def precision(place):
    """bf16 against fp32 over 30 steps: the eval losses stay within 3 %, and both fall."""
    slow = {"train__learning_rate": 3e-4}  # at 3e-3 the loss jumps: bf16 moved it by 4.6 % on an H200
    full = losses(train(place, "fp32", **slow))
    half = {"model__dtype": "bf16", **({"train__precision": "bf16"} if place.gpu else {})}
    rounded = losses(train(place, "bf16", **slow, **half))
    worst = max(abs(b / a - 1) for a, b in zip(full, rounded, strict=True))
    falls = full[-1] < full[0] and rounded[-1] < rounded[0]
    text = f"the eval losses differ by at most {worst:.2%}, and {'both fall' if falls else 'not both fall'}"
    return judge(worst < 0.03 and falls, text, fp32=full, bf16=rounded, worst=worst)


def eval_cadence(place):
    """Evaluating more often, with dropout, changes no step of the training."""
    often = train(place, "often", lora__dropout=0.1, train__eval_every=3)
    seldom = train(place, "seldom", lora__dropout=0.1, train__eval_every=10)
    equal, difference = same_steps(often, seldom)
    if equal:
        return judge(True, "the step signals are equal bit for bit", difference=0.0)
    again = train(place, "again", lora__dropout=0.1, train__eval_every=3)
    stable, noise = same_steps(often, again)
    cause = (
        "the same cadence gives the same bits, so the evals change the training"
        if stable
        else f"the same cadence twice differs by {noise:.1e}, so this device is not deterministic"
    )
    return judge(
        False,
        f"the step signals differ by up to {difference:.1e}; {cause}",
        difference=difference,
        noise=noise,
    )


def memory_training(place):
    """Too little memory in a training step gives one sentence, and the run goes on afterwards."""
    return _out_of_memory(place, "training_step")


def memory_eval(place):
    """Too little memory in an evaluation gives one sentence, and the run goes on afterwards."""
    return _out_of_memory(place, "prediction_step")


def _out_of_memory(place, method):
    import torch
    from click.testing import CliRunner

    from collect.cli import cli
    from collect.trainer import Sets

    whole = train(place, "whole")
    original = getattr(Sets, method)
    allocated = []

    def fail(self, *args, **kwargs):
        if self.state.global_step < 12:
            return original(self, *args, **kwargs)
        if not place.gpu:
            raise torch.cuda.OutOfMemoryError("raised by hand: this device is a CPU")
        while True:  # a real failure: this takes all the memory that the GPU has
            allocated.append(torch.empty(2**30, dtype=torch.uint8, device="cuda"))

    path = write_config(place, "short")
    setattr(Sets, method, fail)
    try:
        failed = CliRunner().invoke(cli, command(place, path))
    finally:
        setattr(Sets, method, original)
        allocated.clear()
        if place.gpu:
            torch.cuda.empty_cache()
    lines = [line for line in failed.output.splitlines() if line.startswith("Error: ")]
    sentence = lines[0] if len(lines) == 1 else ""
    clear = failed.exit_code == 2 and "memory is too small" in sentence and "Traceback" not in failed.output
    if not clear:
        return judge(False, f"exit code {failed.exit_code}: {failed.output.strip()[-200:]!r}")
    resumed = CliRunner().invoke(cli, command(place, path))
    short = place.folder / "logs" / "short"
    segments = records(short, "segment")
    goes_on = resumed.exit_code == 0 and bool(segments) and segments[0].get("resumed_from", 0) > 0
    # evaluations between the checkpoint and the failure are made twice
    equal = goes_on and losses(short)[-1] == losses(whole)[-1] and same_steps(short, whole)[0]
    how = "went on from a checkpoint" if goes_on else "did not go on"
    same = "ended" if equal else "did not end"
    text = f"one sentence, and the run {how} and {same} like an uninterrupted one"
    return judge(goes_on and equal, text, sentence=sentence, by_hand=not place.gpu)


def kill(place):
    """A run that is killed and resumed ends like an uninterrupted one."""
    keys = {"lora__dropout": 0.1, "train__scheduler": "cosine"}
    whole = train(place, "whole", **keys)
    code = train_killed(place, "killed", 3, **keys)
    killed = train(place, "killed", **keys)
    resumes = records(killed, "segment")
    if code != -signal.SIGKILL or not resumes:
        return judge(False, f"the run was not killed and resumed (exit code {code})")
    equal, difference = same_steps(killed, whole)
    equal = equal and losses(killed) == losses(whole)
    text = (
        "its evals and step signals are equal bit for bit"
        if equal
        else f"its step signals differ by up to {difference:.1e}"
    )
    return judge(equal, text, resumed_from=resumes[0].get("resumed_from"), difference=difference)


def quantized(place):
    """Runs on 4-bit and 8-bit weights learn, and a killed one ends like an uninterrupted one."""
    if not place.gpu:
        return Result(SKIPPED, "quantized weights need a GPU")
    if importlib.util.find_spec("bitsandbytes") is None:
        return Result(SKIPPED, "bitsandbytes is not installed")
    figures, wrong = {}, []
    for kind in ("4bit", "8bit"):
        keys = {"model__quantization": kind, "lora__dropout": 0.1}
        whole = train(place, kind, **keys)
        curve = losses(whole)
        code = train_killed(place, f"{kind}-killed", 3, **keys)
        killed = train(place, f"{kind}-killed", **keys)
        equal, difference = same_steps(killed, whole)
        figures[kind] = {"losses": curve, "difference": difference}
        if not curve[-1] < curve[0]:
            wrong.append(f"with {kind} weights the eval loss does not fall")
        if code != -signal.SIGKILL or not records(killed, "segment"):
            wrong.append(f"the run on {kind} weights was not killed and resumed (exit code {code})")
        elif not equal or losses(killed) != curve:
            wrong.append(f"after a kill, the steps on {kind} weights differ by up to {difference:.1e}")
    good = "both fall, and killed runs are equal bit for bit"
    return judge(not wrong, "; ".join(wrong) or good, **figures)


def corpus(place):
    """As many runs of the corpus grids as the time allows, one of each grid in turn."""
    from collect import config as settings
    from collect import grid, train
    from collect.eval_log import read_existing_log
    from replay.errors import ReplayError

    paths = sorted(place.grids.glob("*.toml"))
    if not paths:
        return Result(SKIPPED, f"there are no grids in {place.grids}")
    waiting = [grid.expand(path) for path in paths]
    out = place.folder / "runs"
    longest, finished, failed, was_cut = 0.0, [], {}, False
    turns = [
        configs[turn] for turn in range(max(map(len, waiting))) for configs in waiting if turn < len(configs)
    ]
    for config in turns:
        if time.time() + 1.2 * longest > place.deadline - 5:
            was_cut = True
            break
        device = "auto" if place.gpu else "cpu"
        changed = dataclasses.replace(config.train, device=device, threads=0 if place.gpu else 1)
        assert isinstance(config, settings.Config)
        began = time.time()
        try:
            train.require(config)
            train.fit(dataclasses.replace(config, train=changed), out / config.name, place.cache)
        except (ReplayError, ImportError) as error:
            failed[config.name] = str(error)
            continue
        longest = max(longest, time.time() - began)
        log = read_existing_log(out / config.name)
        finished.append(
            {"run": config.name, "evals": log.evals, "steps": log.step, "seconds": time.time() - began}
        )
        note(place, Result(PASS, f"{len(finished)} of {len(turns)} runs are finished", {"runs": finished}))
    if not finished and failed:
        return Result(
            SKIPPED, f"no run can be trained here: {next(iter(failed.values()))}", {"failed": failed}
        )
    rest = ", then the time was over" if was_cut else ""
    wrong = f"; {len(failed)} could not be trained here" if failed else ""
    text = f"{len(finished)} of {len(turns)} runs are finished{rest}{wrong}"
    return judge(bool(finished), text, runs=finished, failed=failed)
