"""The presets against scikit-learn's own code: two methods called on a stand-in, and compiled SGD with
scripted scores."""

import bisect
import logging
from types import SimpleNamespace

import numpy as np
import pytest

from replay import parse_policy
from replay.errors import PolicyError
from replay.policies.presets.sklearn import SklearnHGB, SklearnMLP, SklearnSGD

from .sequences import FIELDS, NAN, check, known

pytest.importorskip("sklearn")
perceptron = pytest.importorskip("sklearn.neural_network").MLPClassifier
boosting = pytest.importorskip("sklearn.ensemble").HistGradientBoostingClassifier
linear = pytest.importorskip("sklearn.linear_model")


def real_mlp(rule, values, mode):
    """1-based epoch at which MLPClassifier stops: by its loss for min, by its validation score for max; and
    its best then."""
    fake = SimpleNamespace(
        tol=rule.tol,
        verbose=False,
        _no_improvement_count=0,
        loss_curve_=[],
        best_loss_=np.inf,
        validation_scores_=[],
        best_validation_score_=-np.inf,
        coefs_=[],
        intercepts_=[],
        _score=lambda X, y, sample_weight: values[len(fake.validation_scores_)],
    )
    stop = None
    for number, value in enumerate(values, 1):
        fake.loss_curve_.append(value)
        perceptron._update_no_improvement_count(fake, mode == "max", None, None, None)
        if fake._no_improvement_count > rule.n_iter_no_change:  # the caller's own line
            stop = number
            break
    return stop, fake.best_loss_ if mode == "min" else fake.best_validation_score_


class Scores(list):
    """A list that keeps the single item that was last taken from it."""

    taken = NAN

    def __getitem__(self, at):
        item = super().__getitem__(at)
        if not isinstance(at, slice):
            self.taken = item
        return item


def real_hgb(rule, values, mode):
    """1-based score at which HistGradientBoosting stops, and the score that it compared the last ones with at
    each.

    The first is that of the untrained model. It holds no best: the rule compares with one score, whatever
    came before it."""
    fake = SimpleNamespace(n_iter_no_change=rule.n_iter_no_change, tol=rule.tol)
    sign = 1 if mode == "max" else -1
    compared = []
    for end in range(1, len(values) + 1):
        scores = Scores(sign * value for value in values[:end])
        stops = boosting._should_stop(fake, scores)
        compared.append(sign * scores.taken)
        if stops:
            return end, compared
    return None, compared


X, Y = np.array([[0.0], [1.0], [0.2], [0.8], [0.1], [0.9]]), np.array([0, 1, 0, 1, 0, 1])


class Scripted(linear.SGDClassifier):
    """SGDClassifier whose validation score at each epoch is the next of ``script``."""

    def _make_validation_score_cb(self, *args, **kwargs):
        answers = iter(self.script)
        return lambda coef, intercept: next(answers)


def _epochs(script, patience, tol):
    """How many epochs an SGDClassifier makes whose validation scores are scripted, at most as many."""
    model = Scripted(
        early_stopping=True,
        validation_fraction=0.4,
        n_iter_no_change=patience,
        tol=tol,
        random_state=0,
        max_iter=len(script),
    )
    model.script = script
    model.fit(X, Y)
    return model.n_iter_


def real_sgd(rule, values, mode):
    """1-based epoch at which SGDClassifier stops training, with all its own code but the score."""
    script = [value if mode == "max" else -value for value in values] + [NAN]
    epochs = _epochs(script, rule.n_iter_no_change, rule.tol)
    return epochs if epochs <= len(values) else None


def real_sgd_with_best(rule, values, mode):
    """The stop of SGDClassifier, and its best score then, told from what it does with one score more.

    The best is a variable of the compiled loop that nothing gives out. Neither tol nor n_iter_no_change plays
    a part in how it moves, so both are set such that every score is looked at: with tol 0, a score below the
    best counts and any other restarts the counter, which the number of hopeless epochs until the end tells.
    The best is the lowest score that restarts it."""
    stop = real_sgd(rule, values, mode)
    sign = 1 if mode == "max" else -1
    so_far = [sign * value for value in values[:stop]]
    patience = len(so_far) + 1

    def restarts(score):
        script = [*so_far, score, *([-1.7e308] * patience)]
        return _epochs(script, patience, 0.0) == len(script)

    candidates = sorted({-np.inf, *(score for score in so_far if not np.isnan(score))})
    return stop, sign * candidates[bisect.bisect_left(candidates, True, key=restarts)]


def test_mlp_agrees_with_the_real_method_on_random_sequences():
    check(real_mlp, lambda number, case: SklearnMLP(case.patience, case.delta), 7, best=True, least=1)


def test_hgb_agrees_with_the_real_method_on_random_sequences():
    check(real_hgb, lambda number, case: SklearnHGB(case.patience, case.delta), 8, each=True, least=1)


@pytest.mark.slow
def test_sgd_agrees_with_the_compiled_code_on_random_sequences():
    logging.captureWarnings(True)
    try:
        check(
            real_sgd_with_best,
            lambda number, case: SklearnSGD(case.patience, case.delta),
            9,
            2_000,
            best=True,
            least=1,
        )
    finally:
        logging.captureWarnings(False)


@pytest.mark.parametrize(
    FIELDS,
    known(
        third_bad_eval=6,
        slow_drip=4,
        flat=None,
        nan_first=None,
        nan_after_first=None,
        exact_delta_decimal=5,
        below_float32=None,
        exact_delta_binary=None,
        max_zero_start=None,
        one_patience=8,
        slow_climb_max=4,
    ),
)
def test_known_stops_of_mlp(name, values, patience, delta, mode, stop):
    rule = SklearnMLP(patience, delta)
    assert rule.stop_eval(values, mode) == real_mlp(rule, values, mode)[0] == stop


@pytest.mark.parametrize(
    FIELDS,
    known(
        third_bad_eval=5,
        slow_drip=3,
        flat=None,
        nan_first=None,
        nan_after_first=None,
        exact_delta_decimal=4,
        below_float32=None,
        exact_delta_binary=None,
        max_zero_start=None,
        one_patience=5,
        slow_climb_max=3,
    ),
)
@pytest.mark.filterwarnings("ignore")
def test_known_stops_of_sgd(name, values, patience, delta, mode, stop):
    rule = SklearnSGD(patience, delta)
    assert rule.stop_eval(values, mode) == real_sgd(rule, values, mode) == stop


def test_hgb_compares_with_one_score_and_not_with_the_best():
    rule, values = SklearnHGB(3), [1, 0.5, 0.9, 0.8, 0.7, 0.6, 0.55]
    assert rule.stop_eval(values) == real_hgb(rule, values, "min")[0] == 5


def test_patience_0_is_refused_by_both():
    for name, real in (("mlp", perceptron), ("sgd", linear.SGDClassifier), ("hgb", boosting)):
        with pytest.raises(PolicyError, match="must be at least 1"):
            parse_policy(f"sklearn-{name}:patience=0")
        with pytest.raises(ValueError, match="n_iter_no_change"):
            real(n_iter_no_change=0).fit(X, Y)


def test_reasons():
    assert (
        parse_policy("sklearn-mlp:patience=1,tol=0").decide([1.0, 1.0]).reason == "1 counts as an improvement"
    )
    assert parse_policy("sklearn-sgd:patience=1").decide([1.0, 1.0]) == (
        2,
        True,
        "no gain >= 0.001 over 1, 1 eval in a row",
    )
    decide = parse_policy("sklearn-hgb:patience=2,tol=0.1").decide
    assert decide([1.0]).reason == "1 of the 3 evals that it needs"
    assert decide([1.0, 0.95, 0.92]) == (
        3,
        True,
        "none of the last 2 better by > 0.1 than 1, the eval before them",
    )
    assert decide([1.0, 0.95, 0.8]).reason == "one of the last 2 better by > 0.1 than 1, the eval before them"
