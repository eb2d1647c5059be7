"""The real schedulers of Ray Tune, driven without a cluster: trials are names with a status."""

import numpy as np

from replay.policies.across import CONTINUE, PAUSE, STOP, Scheduler

_DECISIONS = {"CONTINUE": CONTINUE, "STOP": STOP, "PAUSE": PAUSE}


class _Trial:
    """What the schedulers ask of a trial; they use it as a key and read its id and status."""

    def __init__(self, run):
        self.trial_id, self.status = str(run), "PENDING"


class RayScheduler(Scheduler):
    """``controller`` of the scheduler's calls is this object: it lists the live trials."""

    def __init__(self, scheduler, batch, progress):
        self.scheduler, self.values, self.progress = scheduler, batch.values, progress
        self.trials = {run: _Trial(run) for run in range(len(progress))}

    def get_live_trials(self):
        return [trial for trial in self.trials.values() if trial.status != "TERMINATED"]

    def _result(self, run, eval):
        return {"t": self.progress[run][eval], "value": float(self.values[run, eval])}

    def start(self, run):
        self.scheduler.on_trial_add(self, self.trials[run])
        self.trials[run].status = "RUNNING"

    def report(self, run, eval):
        self.trials[run].status = "RUNNING"
        with np.errstate(all="ignore"):
            decision = _DECISIONS[
                self.scheduler.on_trial_result(self, self.trials[run], self._result(run, eval))
            ]
        if decision == PAUSE:
            self.trials[run].status = "PAUSED"
        return decision

    def end(self, run, stopped):
        trial = self.trials[run]
        trial.status = "TERMINATED"
        if not stopped:
            last = len(self.progress[run]) - 1
            self.scheduler.on_trial_complete(self, trial, self._result(run, last))


def make_scheduler(policy, mode):
    from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule

    if policy.name == "ray-asha":
        return AsyncHyperBandScheduler(
            time_attr="t",
            metric="value",
            mode=mode,
            max_t=policy.max_t,
            grace_period=policy.grace_period,
            reduction_factor=policy.reduction_factor,
            brackets=policy.brackets,
            stop_last_trials=policy.stop_last_trials,
        )
    return MedianStoppingRule(
        time_attr="t",
        metric="value",
        mode=mode,
        grace_period=policy.grace_period,
        min_samples_required=policy.min_samples_required,
    )
