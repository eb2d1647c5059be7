"""A sweep of grids: which points it finds tolerable, how it ranks the grids, and what it reports."""

import numpy as np
import pytest

from replay import Run
from replay.data.finding import Kind
from replay.engine.question import Question
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies.grid import parse_grids
from replay.policies.spec import parse_policy
from replay.search.front import thin
from replay.search.grid_sweep import refused_points, sweep_grids
from replay.search.tolerance import parse_tolerance


def run(name, values, **columns):
    return Run(name, {"step": np.arange(1.0, len(values) + 1), "eval_loss": values, **columns})


#: Best at the fourth and at the sixth of ten evals. patience=1 stops the second run at its third eval, which
#: has half of what there is to gain; patience=2 and more lose nothing.
RUNS = [
    run("a", [1.0, 0.8, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]),
    run("b", [1.0, 0.6, 0.7, 0.5, 0.4, 0.2, 0.3, 0.4, 0.5, 0.6]),
]


def swept(*grids, runs=RUNS, singles=(), max_lost="10%", optional=False, progress=None):
    parsed = parse_grids(grids) if grids else []
    policies = [parse_policy(spec) for spec in singles]
    every = [*(policy for grid in parsed for policy, _ in grid.points), *policies]
    return sweep_grids(
        Study(runs, every, Question(monitor="eval_loss")),
        parsed,
        policies,
        parse_tolerance(max_lost=max_lost),
        optional=optional,
        progress=progress,
    )


def specs(found, indices):
    return [found.sweep.policies[index].spec() for index in indices]


def test_a_loss_up_to_the_tolerance_is_tolerable():
    assert swept("patience=1..6").loss.tolist() == pytest.approx([0.25, 0, 0, 0, 0, 0])
    for most, tolerable in (("10%", [False, True]), ("25%", [True, True]), ("0%", [False, True])):
        assert swept("patience=1,2", max_lost=most).tolerable.tolist() == tolerable


def test_the_front_goes_from_most_saved_to_least_and_singles_compete_on_it():
    found = swept("patience=2..6", singles=["patience=1", "patience=3", "never", "never"])
    assert specs(found, range(len(found.sweep.policies))) == [
        *(f"patience={wait}" for wait in range(2, 7)),
        "patience=1",
        "never",
    ]
    assert found.singles == range(5, 7)
    assert specs(found, found.front) == ["patience=1", "patience=2"]
    assert found.short_front.tolist() == found.front.tolist()
    assert {"patience=1", "patience=2", "never", "oracle"} <= set(found.summaries)
    assert "patience=4" not in found.summaries, "it is neither on the front nor marked nor single"
    assert found.summaries["patience=1"]["lost_mean"] == pytest.approx(0.25)


def test_indices_of_a_grid_are_its_points_among_all_policies():
    found = swept("rule=patience,gl,up", "every=1,2")
    assert [found.grids[place].grid.rule for place in range(3)] == ["patience", "gl", "up"]
    for result in found.grids:
        assert specs(found, range(result.indices.start, result.indices.stop)) == [
            result.spec(point) for point in range(len(result.grid.points))
        ]
        assert {policy.name for policy, _ in result.grid.points} <= {result.grid.rule, "modified"}
        assert result.region is None or all(
            index in range(result.indices.start, result.indices.stop) for index in result.marked
        )


def test_the_centre_and_the_corner_of_a_region():
    long = run("a", [1.0, 0.8, 0.6, 0.5, *[0.6] * 46])
    found = swept("patience=1..6", runs=[long], max_lost="0%")
    (result,) = found.grids
    # each further eval of patience costs 2 % of the run: the best three are within 5 %
    assert [result.spec(point) for point in result.region.points.tolist()] == [
        "patience=1",
        "patience=2",
        "patience=3",
    ]
    assert specs(found, [result.centre, result.corner]) == ["patience=2", "patience=1"]
    assert result.marked == [result.centre, result.corner]
    assert result.value_indices(0) == [0, 1, 2]


def test_grids_are_ranked_by_the_runs_that_they_could_be_tried_on_then_by_what_their_centre_saves():
    runs = [RUNS[0], run("b", RUNS[1].columns["eval_loss"].values, epoch=np.arange(1.0, 11))]
    found = swept("rule=one-epoch,never,patience,target", runs=runs, optional=True, max_lost="100%")
    figures = found.sweep.figures
    ranked = [
        (result.grid.rule, figures["runs"][result.centre], figures["saved_mean"][result.centre])
        for result in found.ranked
    ]
    assert [rule for rule, _, _ in ranked][-1] == "one-epoch"
    assert {rule for rule, _, _ in ranked} == {"patience", "target", "one-epoch"}, "never saves nothing"
    assert [count for _, count, _ in ranked] == [2, 2, 1]
    assert ranked[0][2] > ranked[1][2]
    assert ranked[2][2] > ranked[1][2], "more, but on one run"


def test_grids_whose_centres_do_the_same_are_put_together_under_the_first():
    found = swept("rule=patience,fastai,budget,fairseq", "patience=1..6", "budget=3,4")
    groups = [(first.grid.rule, [result.grid.rule for result in others]) for first, others in found.distinct]
    assert ("patience", ["fastai", "fairseq"]) in groups
    assert sorted(rule for first, others in groups for rule in (first, *others)) == sorted(
        result.grid.rule for result in found.ranked
    )


def test_of_those_that_save_anything_the_one_that_loses_least_then_saves_most():
    worse = [run("a", [1.0, 0.9, 0.95, 0.96, 0.5, 0.55, 0.56, 0.57])]
    found = swept("patience=4,1,2,3", runs=worse, max_lost="0%")
    (result,) = found.grids
    # 1 and 2 stop before the best and lose 80 %, 3 saves nothing, as 4
    assert found.loss.tolist() == pytest.approx([0.8, 0.8, 0, 0])
    assert result.spec(found.least_losing(result)) == "patience=1", "of equal losses the one that saves more"
    (idle,) = swept("patience=3,4", runs=worse).grids
    assert swept("patience=3,4", runs=worse).least_losing(idle) is None
    # the indices are those of the grid, not of the sweep
    both = swept("rule=never,patience", "patience=1..3", runs=worse)
    never, patience = both.grids
    assert both.least_losing(never) is None
    assert both.least_losing(patience) == 0


def test_of_a_long_front_a_hundred_are_summarised():
    values = [1.0 / (1 + place) for place in range(160)]
    found = swept("budget=1..150", runs=[run("a", values)])
    assert len(found.front) == 150
    assert found.short_front.tolist() == thin(found.front, 100).tolist()
    assert len(found.short_front) == 100
    assert set(specs(found, found.short_front)) <= set(found.summaries)
    assert len(found.summaries) < 110


def test_policies_that_some_or_all_runs_lack_something_for_are_counted():
    runs = [RUNS[0], run("b", RUNS[1].columns["eval_loss"].values, train_loss=[1.0] * 10)]
    found = swept("rule=patience,pq,drift", runs=runs, optional=True)
    figures = found.sweep.figures["runs"]
    count = {number: int((figures == number).sum()) for number in (0, 1, 2)}
    assert all(count.values())
    facts = {finding.kind: finding.facts for finding in found.findings}
    assert facts[Kind.UNTRIED] == {"count": count[0], "total": len(figures)}
    assert facts[Kind.PARTLY_TRIED] == {"count": count[1], "total": len(figures), "most": 2}
    assert all(figures[index] == 2 for index in found.front)
    assert not {Kind.UNTRIED, Kind.PARTLY_TRIED} & {finding.kind for finding in swept("patience=1").findings}


def test_where_no_policy_can_be_tried_the_error_says_why():
    with pytest.raises(InputError, match=r"^none of the policies can be tried on these runs$") as raised:
        swept("rule=pq", optional=True)
    assert raised.value.because is not None


def test_refused_points_are_one_finding_with_the_first_error():
    assert refused_points(parse_grids(["patience=1,2"])) == []
    (finding,) = refused_points(parse_grids(["patience=0,1", "min_delta=0,0.1"]))
    assert (finding.kind, finding.policy) == (Kind.GRID_REFUSED, "patience=0,min_delta=0")
    assert finding["count"] == 2
    assert "patience must be at least 1" in str(finding["error"])


def test_progress_counts_policies_up_to_all():
    done = []
    swept("patience=1..6", singles=["gl=5"], progress=done.append)
    assert done == sorted(done)
    assert done[-1] == 7
