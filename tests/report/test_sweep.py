"""What the report of a sweep says of runs that were worked out by hand."""

import csv
import io
import json
import math

import numpy as np
import pytest

from replay import Run
from replay.engine.question import Question
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies.grid import parse_grids
from replay.policies.spec import parse_policy
from replay.report.plots import sweep as plot
from replay.report.render import render
from replay.report.sentences import sentences
from replay.report.sweep import build
from replay.search.grid_sweep import sweep_grids
from replay.search.sweep import SWEPT
from replay.search.tolerance import parse_tolerance


def run(name, values, **columns):
    steps = [float(step) for step in range(1, len(values) + 1)]
    return Run(name, {"step": steps, "epoch": [step / 2 for step in steps], "eval_loss": values, **columns})


#: Best at the fourth and at the sixth of ten evals; a patience of 1 stops the second run at the third, after
#: which half is gained.
RUNS = [
    run("a", [1.0, 0.8, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]),
    run("b", [1.0, 0.6, 0.7, 0.5, 0.4, 0.2, 0.3, 0.4, 0.5, 0.6]),
]


def swept(*grids, runs=RUNS, singles=(), max_lost="10%", max_regret=None, optional=False, **how):
    parts = parse_grids(grids) if grids else []
    single = [parse_policy(spec) for spec in singles]
    every = [*(policy for part in parts for policy, _ in part.points), *single]
    study = Study(runs, every, Question(**how))
    return sweep_grids(
        study, parts, single, parse_tolerance(max_regret, None if max_regret else max_lost), optional=optional
    )


def report(sweep, style="text"):
    return render(build(sweep), style)


def flat(text):
    return " ".join(text.split())


def test_by_hand():
    found = swept("patience=1..6")
    assert [round(value, 9) for value in found.sweep.figures["saved_mean"]] == [0.6, 0.3, 0.2, 0.1, 0.05, 0.0]
    assert found.loss[0] == pytest.approx((0 + 0.5) / 2)
    assert found.loss[1:].tolist() == [0] * 5
    assert found.front.tolist() == [0, 1]
    (part,) = found.grids
    assert part.region.points.tolist() == [1]
    assert part.marked == [1, 1]
    text = flat(report(found))
    assert "6 policies; 5 keep lost <= 10%. 2 on the Pareto front:" in text
    assert "Good region: patience=2. There 1 of 6 points keep lost <= 10%" in text
    assert (
        "Its centre, patience=2, saves 30% and loses 0%. Each alone, before lost passes 10%: patience from 2"
        " to 6 (edge)" in text
    )
    assert "in-sample" in text
    assert "Too few to rank policies: at least 8 runs" in text
    assert "corner" not in text


def test_the_corner_is_told_beside_the_centre():
    found = swept("patience=1..6", max_lost="0%", runs=[run("a", [1.0, 0.8, 0.6, 0.5, *[0.6] * 46])])
    (part,) = found.grids
    assert part.region.points.tolist() == [0, 1, 2]
    assert part.marked == [1, 0]
    text = report(found)
    assert "The corner that saves most, patience=1, saves 90% and loses 0%." in flat(text)
    assert "* centre of the good region, ^ the corner that saves most." in flat(text)
    marks = {line.split()[0]: line.split()[1] for line in text.splitlines() if line.startswith("patience=")}
    assert marks == {"patience=1": "^", "patience=2": "*"}


def test_regret_in_the_metrics_unit_and_relative():
    found = swept("patience=1..6", max_regret="0.2")
    assert found.loss[0] == pytest.approx((0 + 0.4) / 2)
    assert "loses 0% (regret 0)" in flat(report(swept("patience=1..6", max_regret="0.1")))
    assert "  regret " in report(found)
    relative = swept("patience=1..6", max_regret="150%")
    assert relative.loss[0] == pytest.approx((0 + 0.4 / 0.2) / 2)
    assert "keep relative regret <= 150%" in report(relative)


def test_where_nothing_keeps_the_limit_the_nearest_is_told():
    worse = [run("a", [1.0, 0.9, 0.95, 0.5, 0.4, 0.3, 0.2]), run("b", [1.0, 0.9, 0.95, 0.5, 0.4, 0.3, 0.2])]
    text = flat(report(swept("patience=1", runs=worse)))
    assert (
        "No point of patience keeps lost <= 10% and saves anything; of those that save, patience=1 loses"
        " least: it saves 57%" in text
    )
    assert "0 keep lost <= 10%" in text
    assert "The front was selected" in text


def test_single_policies_stand_beside_the_grid_and_count_once():
    found = swept("patience=1..3", singles=["patience=2", "gl=50", "gl=50"])
    assert [policy.spec() for policy in found.sweep.policies] == [
        "patience=1",
        "patience=2",
        "patience=3",
        "gl=50",
    ]
    assert "gl=50" in report(found)
    alone = swept(singles=["patience=2", "never"])
    assert "2 policies" in report(alone)
    assert "region" not in report(alone)
    assert [row["policy"] for row in json.loads(report(alone, "json"))["policies"]] == ["patience=2", "never"]


def test_policies_that_lack_something_are_told_and_not_on_the_front():
    some = [*RUNS, run("c", [1.0, 0.9, 0.95, 0.5, 0.4], eval_generic_loss=[1.0, 1.0, 1.5, 1.5, 1.5])]
    found = swept("rule=patience,tutorial,pq", runs=some, optional=True)
    warnings = sentences(found.findings)
    assert any(text.startswith("tutorial:patience=1 is skipped: no metric 'val_loss'") for text in warnings)
    assert any("policies could be tried on no run" in text for text in warnings)
    on_front = {found.sweep.policies[place].spec() for place in found.front}
    assert on_front
    assert all(spec.startswith("patience") for spec in on_front)
    assert not [line for line in report(found).splitlines() if line.startswith("tutorial")]
    with pytest.raises(InputError, match="none of the policies can be tried"):
        swept("rule=pq,grades", optional=True)
    with pytest.raises(InputError, match="needs train_loss"):
        swept("rule=pq")


def test_policies_of_fewer_runs_are_no_match_for_those_of_all():
    some = [
        run("a", RUNS[0].columns["eval_loss"].values.tolist()),
        run("b", [1.0, 0.6, math.nan, 0.5, 0.4, 0.2, 0.3, 0.4, 0.5, 0.6]),
    ]
    lacking = [
        some[0],
        Run(
            "b",
            {
                "step": [float(step) for step in range(1, 11)],
                "eval_loss": some[1].columns["eval_loss"].values,
            },
        ),
    ]
    found = swept("rule=patience,one-epoch", runs=lacking, optional=True)
    epoch = next(place for place, policy in enumerate(found.sweep.policies) if policy.name == "one-epoch")
    assert found.sweep.figures["runs"][epoch] == 1
    assert epoch not in found.front
    assert any("were tried on fewer than 2 runs" in text for text in sentences(found.findings))
    part = next(part for part in found.grids if part.grid.rule == "one-epoch")
    if part.region is not None:
        assert "(on 1 of 2 runs)" in flat(report(found, "markdown"))


def test_rules_that_do_the_same_are_one():
    found = swept("rule=patience,fastai,fairseq", "patience=1..6")
    ((first, others),) = found.distinct
    assert first.grid.rule == "patience"
    assert [part.grid.rule for part in others] == ["fastai", "fairseq"]
    assert "The same by fastai, fairseq." in flat(report(found))


def test_many_rules_are_a_table():
    found = swept("rule=patience,gl,up,target,budget,nonfinite", optional=True, max_lost="20%")
    assert len(found.distinct) > 2
    text = report(found)
    assert "centre of region" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_json_csv_and_markdown_hold_every_policy():
    found = swept("patience=0..6", "min_delta=0,0.15", "smooth=none,mean:2")
    document = json.loads(report(found, "json"), parse_constant=pytest.fail)
    assert [row["policy"] for row in document["policies"]] == [
        policy.spec() for policy in found.sweep.policies
    ]
    for row in document["policies"]:
        assert list(row) == ["policy", "rule", "parameters", *SWEPT, "spec", "on_front", "good"]
        assert parse_policy(row["policy"]) == parse_policy(
            "patience={patience},min_delta={min_delta},smooth={smooth}".format(**row["parameters"])
        )
    front = [row["policy"] for row in document["policies"] if row["on_front"]]
    assert sorted(row["policy"] for row in document["front"]) == sorted(front)
    assert [row["policy"] for row in document["baselines"]] == ["never", "one-epoch", "oracle"]
    assert len(document["refused"]) == 4
    assert document["limit"] == {"kind": "lost", "value": 0.1, "text": "10%", "within": 0.05}
    assert document["monitor"]["metric"] == "eval_loss"
    (region,) = document["regions"]
    assert region["centre"]["policy"] in {row["policy"] for row in document["policies"] if row["good"]}
    assert [span["name"] for span in region["spans"]] == ["patience", "min_delta"]
    rows = list(csv.DictReader(io.StringIO(report(found, "csv"))))
    assert list(rows[0]) == [
        "policy",
        "rule",
        "patience",
        "min_delta",
        "smooth",
        *SWEPT,
        "spec",
        "on_front",
        "good",
    ]
    assert [row["policy"] for row in rows if row["on_front"] == "1"] == front
    assert sum(row["good"] == "1" for row in rows) == region["good"]
    text = report(found, "markdown")
    assert "| policy |" in text
    assert "4 refused: patience=0" in text


def test_unknown_figures_are_null_and_empty():
    found = swept("patience=1..2", runs=[run("a", [math.nan] * 3)])
    document = json.loads(report(found, "json"), parse_constant=pytest.fail)
    assert document["policies"][0]["lost_mean"] is None
    assert document["front"] == []
    assert document["regions"][0]["centre"] is None
    row, _ = csv.DictReader(io.StringIO(report(found, "csv")))
    assert row["lost_mean"] == ""
    assert "No point of patience" in report(found)
    assert plot.draw(found).axes


@pytest.mark.parametrize(
    ("grids", "how"),
    [
        (["patience=1..6"], {}),
        (["patience=1..6"], {"max_regret": "0.1"}),
        (["patience=1..6", "min_delta=0,0.15", "smooth=none,mean:2"], {}),
        (["patience=1..6", "min_delta=0..0.3..0.005"], {"max_regret": "10%"}),
        (["rule=patience,gl,up,target,one-epoch"], {"optional": True}),
        (["rule=one-epoch"], {}),
        ([], {"singles": ["patience=2", "gl"]}),
    ],
)
def test_everything_can_be_drawn(grids, how, tmp_path):
    found = swept(*grids, **how)
    plot.save(found, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    plot.save(found, tmp_path / "sweep.svg")
    with pytest.raises(InputError, match=r"cannot draw a \.docx"):
        plot.save(found, tmp_path / "sweep.docx")


def test_the_map_shows_the_cut_through_the_centre():
    found = swept("patience=1..6", "min_delta=0,0.15", "smooth=none,mean:2")
    scatter, heat, *_ = plot.draw(found).axes
    assert scatter.get_ylabel().startswith("best-metric loss")
    (image,) = heat.get_images()
    data = np.ma.filled(image.get_array(), np.nan)
    assert data.shape == (2, 6)
    (part,) = found.grids
    _, at = part.grid.points[part.region.centre]
    assert data[at[1], at[0]] == pytest.approx(100 * found.loss[part.marked[0]])
    assert f"smooth={part.grid.dimensions[2].values[at[2]]}" in heat.get_title()
