"""The real schedulers of Syne Tune, driven without a backend."""

import numpy as np

from replay.policies.across import CONTINUE, STOP, Scheduler


class SyneScheduler(Scheduler):
    def __init__(self, scheduler, batch, progress):
        from datetime import datetime

        from syne_tune.backend.trial_status import Trial

        self.scheduler, self.values, self.progress = scheduler, batch.values, progress
        now = datetime(2026, 1, 1)
        self.trials = [Trial(run, {"x": run}, now) for run in range(len(progress))]

    def _result(self, run, eval):
        return {"t": self.progress[run][eval], "value": float(self.values[run, eval])}

    def start(self, run):
        self.scheduler.on_trial_add(self.trials[run])

    def report(self, run, eval):
        with np.errstate(all="ignore"):
            decision = self.scheduler.on_trial_result(self.trials[run], self._result(run, eval))
        return STOP if decision == "STOP" else CONTINUE

    def end(self, run, stopped):
        if not stopped:
            last = len(self.progress[run]) - 1
            self.scheduler.on_trial_complete(self.trials[run], self._result(run, last))


class _NoSearcher:
    """The scheduler tells its searcher what trials report; nothing is suggested here."""

    def on_trial_result(self, *args, **kwargs):
        pass


class _GoOn:
    """The scheduler that Syne Tune's median rule asks where it does not stop a trial itself."""

    metric = "value"

    def on_trial_result(self, trial, result):
        return "CONTINUE"


def make_scheduler(policy, mode):
    from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving
    from syne_tune.optimizer.schedulers.median_stopping_rule import MedianStoppingRule

    if policy.name == "syne-asha":
        return AsynchronousSuccessiveHalving(
            config_space={"x": 1},
            metric="value",
            do_minimize=mode == "min",
            searcher=_NoSearcher(),
            time_attr="t",
            max_t=policy.max_t,
            grace_period=policy.grace_period,
            reduction_factor=policy.reduction_factor,
            brackets=policy.brackets,
        )
    rule = MedianStoppingRule(
        _GoOn(),
        time_attr="t",
        running_average=policy.running_average,
        metric="value",
        grace_time=policy.grace_time,
        grace_population=policy.grace_population,
        rank_cutoff=policy.rank_cutoff,
        do_minimize=mode == "min",
    )
    rule.on_trial_add = lambda trial: None
    rule.on_trial_complete = lambda trial, result: None
    return rule
