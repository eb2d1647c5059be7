"""The real pruners of Optuna as schedulers, driven by ask and tell."""

import warnings

import optuna

from replay.policies.across import CONTINUE, STOP, Scheduler

optuna.logging.set_verbosity(optuna.logging.ERROR)


class OptunaScheduler(Scheduler):
    def __init__(self, pruner, batch, steps, name="no-name"):
        self.study = optuna.create_study(
            direction="minimize" if batch.mode == "min" else "maximize",
            pruner=pruner,
            study_name=name,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self.values, self.steps, self.trials = batch.values, steps, {}

    def start(self, run):
        self.trials[run] = self.study.ask()

    def report(self, run, eval):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.trials[run].report(float(self.values[run, eval]), int(self.steps[run][eval]))
            return STOP if self.trials[run].should_prune() else CONTINUE

    def end(self, run, stopped):
        if stopped:
            self.study.tell(self.trials[run], state=optuna.trial.TrialState.PRUNED)
        else:
            self.study.tell(self.trials[run], 0.0)


def make_pruner(policy):
    """The pruner with the parameters of one of our policies."""
    pruners = optuna.pruners
    if policy.name == "optuna-halving":
        return pruners.SuccessiveHalvingPruner(
            min_resource=policy.min_resource or "auto",
            reduction_factor=policy.reduction_factor,
            min_early_stopping_rate=policy.min_early_stopping_rate,
            bootstrap_count=policy.bootstrap_count,
        )
    if policy.name == "optuna-hyperband":
        return pruners.HyperbandPruner(
            min_resource=policy.min_resource,
            max_resource=policy.max_resource or "auto",
            reduction_factor=policy.reduction_factor,
            bootstrap_count=policy.bootstrap_count,
        )
    settings = {
        "n_startup_trials": policy.n_startup_trials,
        "n_warmup_steps": policy.n_warmup_steps,
        "interval_steps": policy.interval_steps,
        "n_min_trials": policy.n_min_trials,
    }
    if policy.name == "optuna-median":
        return pruners.MedianPruner(**settings)
    return pruners.PercentilePruner(policy.percentile, **settings)
