"""The page of `replay report`: its figures are those of the other commands, and its data is inert."""

import base64
import hashlib
import html
import json
import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import replay
from replay.report.format import percent
from replay.report.page import gather, runs, traces
from replay.report.page.html import asset, data_text
from replay.report.page.values import short, spread
from tests.cli.test_cli import run
from tests.conftest import curve, write_log

SAMPLES = Path(__file__).parents[2] / "sample_logs"
GRID = ("--grid", "patience=1..4", "--grid", "min_delta=0,0.01")
TOLERANT = ("--max-lost", "25%")


def data_of(path):
    """The data in a page."""
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL
    )
    return json.loads(text)


def report(tmp_path, *args):
    target = tmp_path / "page.html"
    said = run("report", *args, "--out", target).stdout
    return data_of(target), said


def answer_of(command, *args, code=0):
    return json.loads(run(command, *args, "--format", "json", code=code).stdout)


def by_spec(rows):
    return {row["spec"]: row for row in rows}


@pytest.mark.parametrize("extra", [(), TOLERANT, ("--unit", "seconds"), ("--objective", "test_loss")])
def test_the_figures_of_all_policies_are_those_of_a_sweep(logs, tmp_path, extra):
    data, _ = report(tmp_path, logs, *GRID, *extra)
    swept = answer_of("sweep", logs, *GRID, *extra)
    shown = by_spec(data["policies"])
    assert len(swept["policies"]) == 8
    for row in swept["policies"]:
        here = shown[row["spec"]]
        assert [here[name] for name in ("runs", "stopped", "censored")] == [
            row[name] for name in ("runs", "stopped", "censored")
        ]
        figures = {
            "saved": "saved_mean",
            "total": "saved_total",
            "lost": "lost_mean",
            "worst": "lost_worst",
            "equal": "budget_lost",
        }
        for name, key in figures.items():
            assert here[name] == pytest.approx(row[key], rel=1e-12), (row["spec"], name)
    # policies that are not of the grid may be better than its front
    front = {row["spec"] for row in swept["front"]}
    assert {spec for spec, row in shown.items() if row["front"]} & {
        row["spec"] for row in swept["policies"]
    } <= front


def test_intervals_verdicts_and_outcomes_are_those_of_a_simulation(logs, tmp_path):
    data, _ = report(tmp_path, logs, *GRID)
    specs = [row["spec"] for row in data["policies"] if row["role"] == "candidate"]
    simulated = answer_of("simulate", logs, *(word for spec in specs for word in ("--policy", spec)))
    shown = by_spec(data["policies"])
    ids = [one["id"] for one in data["runs"]]
    for row in simulated["summary"]:
        here = shown[row["spec"]]
        for name in ("saved_low", "saved_high", "lost_low", "lost_high", "verdict"):
            assert here[name] == row[name], (row["spec"], name)
    assert len(simulated["outcomes"]) == len(ids) * len(simulated["summary"])
    for row in simulated["outcomes"]:
        outcomes, at = shown[row["spec"]]["outcomes"], ids.index(row["run"])
        stop = outcomes["stop"][at]
        assert (None if stop < 0 else stop + 1) == row["stopped_eval"]
        assert outcomes["saved"][at] == pytest.approx(row["saved"], abs=1e-6)
        assert outcomes["loss"][at] == pytest.approx(row["lost"], abs=1e-6)
        steps = data["runs"][at]["steps"]
        assert steps["first"] + outcomes["kept"][at] * steps["every"] == row["kept_step"]


def test_the_answer_is_that_of_choose(logs, tmp_path):
    data, said = report(tmp_path, logs, *GRID, *TOLERANT)
    chosen = answer_of("choose", logs, *GRID, *TOLERANT)
    answer = data["answer"]
    assert answer["status"] == chosen["status"]
    assert answer["policy"] == chosen["policy"]
    assert answer["guarantee"] == chosen["guarantee"]
    assert answer["lines"] == chosen["lines"]
    assert answer["check"] == chosen["check"]
    assert answer["reason"] == chosen["reason"]
    assert chosen["policy"] in said.splitlines()[0]
    assert f"StopCallback('{chosen['policy']}'" in answer["code"][0]["text"]


def test_a_best_guess_is_reported_with_cross_validated_figures(logs, tmp_path):
    """Ten runs cannot guarantee 9 %: the headline has figures of runs that had no part in the choice."""
    data, said = report(tmp_path, logs, *GRID, "--max-lost", "9%")
    chosen = answer_of("choose", logs, *GRID, "--max-lost", "9%", code=0)
    assert chosen["status"] == "best guess"
    lines = {line["scored_on"]: line for line in chosen["lines"]}
    held, here = lines["held out by run"], data["answer"]["held_out"]
    for name in (
        "runs",
        "censored",
        "saved_mean",
        "saved_low",
        "saved_high",
        "lost_mean",
        "lost_low",
        "lost_high",
    ):
        assert here[name] == held[name], name
    assert here["kept"] == held["kept"]
    assert np.nanmean(here["saved_runs"]) == pytest.approx(held["saved_mean"], abs=1e-5)
    assert percent(held["saved_mean"]) in said.splitlines()[0]
    assert "nothing is guaranteed" in " ".join(said.split())


def chosen_without(losses, left_out, alpha):
    """The greediest patience that the other runs allow, by conformal risk control written as a plain loop."""
    count = len(losses)
    others = [row for run, row in losses.items() if run != left_out]
    allowed = None
    for rung, patience in enumerate(LADDER):
        highest = sorted(max(row[: rung + 1]) for row in others)
        # the quantiles of as many runs as there are, rounded up
        total = sum(highest[math.ceil(number * len(highest) / count) - 1] for number in range(1, count + 1))
        if (total + 1) / (count + 1) > alpha:
            break
        allowed = patience
    return allowed


LADDER = (20, 15, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1)


def test_a_guaranteed_policy_is_scored_on_runs_that_had_no_part_in_the_choice(tmp_path):
    for number in range(14):  # half of them fall again after a rise, which costs a small patience much
        values = curve(number)
        if number % 5 == 0:
            values = [*values[:14], *(min(values) - 0.05 * step for step in range(1, 7))]
        write_log(tmp_path / "logs" / f"run{number}", values, seed=number)
    data, said = report(tmp_path, tmp_path / "logs", "--max-lost", "12%")
    answer, ids = data["answer"], [one["id"] for one in data["runs"]]
    assert answer["is_guaranteed"]
    every = replay.simulate(replay.load(tmp_path / "logs"), [f"patience={patience}" for patience in LADDER])
    table = every.set_index(["run", "policy"])
    losses = {run: [table.lost[run, f"patience={patience}"] for patience in LADDER] for run in ids}
    picks = {run: chosen_without(losses, run, 0.12) for run in ids}
    assert len(set(picks.values())) > 1  # the choice depends on the run that is left out
    held = answer["held_out"]
    assert held["saved_runs"] == pytest.approx(
        [table.saved[run, f"patience={picks[run]}"] for run in ids], abs=1e-6
    )
    assert held["loss_runs"] == pytest.approx(
        [table.lost[run, f"patience={picks[run]}"] for run in ids], abs=1e-6
    )
    assert held["saved_mean"] == pytest.approx(np.mean(held["saved_runs"]), abs=1e-6)
    in_sample = by_spec(data["policies"])[answer["policy"]]
    assert held["saved_mean"] != in_sample["saved"]
    assert said.splitlines()[0] == (
        f"Stop with {answer['policy']}: {percent(held['saved_mean'])} less compute, at most 12% of the"
        " improvement lost."
    )


def test_the_fewest_runs_of_a_guarantee_still_have_cross_validated_figures(tmp_path):
    """19 runs that lose nothing guarantee 5 %, and 18 would not."""
    for number in range(19):
        fall = [1 / step for step in range(1, 8)]
        rise = [0.2 + 0.01 * step for step in range(13)]
        write_log(tmp_path / "logs" / f"run{number}", [*fall, *rise], seed=number)
    data, _ = report(tmp_path, tmp_path / "logs")
    assert data["answer"]["is_guaranteed"]
    held = data["answer"]["held_out"]
    assert held["saved_mean"] > 0.5
    assert held["lost_mean"] == 0


def alike(one, other):
    """Whether two numbers, or their absence, are the same but for the last digits."""
    return one == other if one is None or other is None else math.isclose(one, other, rel_tol=1e-6)


def test_traces_are_those_of_explain(logs, tmp_path):
    data, _ = report(tmp_path, logs, *GRID, "--policy", "patience=2,smooth=mean:3")
    ids = [one["id"] for one in data["runs"]]
    checked = 0
    for trace in data["traces"][:6]:
        for at in (0, 7):
            rows = answer_of("explain", logs, "--policy", trace["policy"], "--run", ids[at])["evals"]
            here = trace["runs"][at]
            references = dict(map(tuple, here["reference"]))
            reference = None
            for index, row in enumerate(rows):
                reference = references.get(index, reference)
                assert alike(here["counter"][index], row["counter"])
                assert alike(reference, row["reference"])
                seen = (here["seen"] or data["runs"][at]["values"])[index]
                assert alike(seen, row["seen"])
                if here["reason"] is not None:
                    assert here["reason"][index] == row["reason"]
            assert here["why"] == next((row["reason"] for row in rows if row["decision"] == "stop"), None)
            checked += len(rows)
    assert checked > 200
    assert any(trace["policy"] == "patience=2,smooth=mean:3" for trace in data["traces"])


def test_the_tools_of_one_setting(tmp_path):
    """Gains below the threshold: transformers moves its best on each of them, Keras does not."""
    for number in range(4):
        falling = [1 - 0.006 * step - 0.001 * number for step in range(20)]
        write_log(tmp_path / "logs" / f"slow{number}", falling, seed=number)
    data, _ = report(tmp_path, tmp_path / "logs", "--policy", "patience=3,min_delta=0.01")
    setting = next(one for one in data["frameworks"] if one["label"] == "patience=3,min_delta=0.01")
    assert setting["differ"] == 4
    stopped = {tool["name"]: data["policies"][tool["policy"]]["stopped"] for tool in setting["tools"]}
    assert stopped == {
        "textbook rule": 0,
        "transformers": 4,
        "Keras": 0,
        "Lightning": 0,
        "Ignite": 4,
        "XGBoost": 0,
    }


HOSTILE = (
    "</script><script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    '"><svg onload=window.hit=1>',
    "<!--<script>",
    "${window.hit=1}{{window.hit=1}}",
    "javascript:window.hit=1",
    "=cmd|' /C calc'!A0",
    "\u202eevil\u2028line",
    "&lt;b&gt;",
    "'; alert(1)//",
)


@pytest.fixture
def hostile_logs(tmp_path):
    """Runs, groups and settings with names that would do harm as markup."""
    for number, name in enumerate(HOSTILE):
        header = {
            "group": HOSTILE[number % 8],
            "model": HOSTILE[(number + 1) % 4],
            "dataset": HOSTILE[number % 2],
            "hyperparameters": {"lr_scheduler_type": HOSTILE[number % 5]},
        }
        # the id of a run is its path
        write_log(tmp_path / "logs" / name.replace("/", "_"), curve(number), seed=number, header=header)
    return tmp_path / "logs"


def test_names_are_inert(hostile_logs, tmp_path):
    target = tmp_path / "page.html"
    run("report", hostile_logs, "--out", target)
    text = target.read_text()
    assert text.count("<script") == text.count("</script>") == 2
    assert "window.hit" in text
    (block,) = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert not set(block) & set("<>&")
    assert block.isascii()
    assert "<img" not in text
    assert len(data_of(target)["runs"]) == len(HOSTILE)


def test_the_policy_of_the_page_allows_its_own_script_and_style_only(logs, tmp_path):
    target = tmp_path / "page.html"
    run("report", logs, "--out", target)
    text = target.read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in html.unescape(policy).split(";"))
    for tag, name in (("style", "style-src"), ("script", "script-src")):
        (body,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    markup = re.sub(r"(?s)<(style|script).*?</\1>", "", text)
    assert not re.search(r"https?:|//|\son\w+=|\sstyle=", markup)


def test_the_assets_hold_nothing_that_would_end_their_blocks():
    for name in ("page.js", "page.css"):
        assert len(asset(name)) > 10_000
    sources = list((SAMPLES.parent / "page" / "src").glob("*.ts"))
    assert len(sources) > 5
    for source in sources:
        unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\("
        assert not re.search(unsafe, source.read_text(encoding="utf-8")), source.name
    assert json.loads(data_text({"a": "</script>&"})) == {"a": "</script>&"}


def test_the_same_logs_give_the_same_page(logs, tmp_path):
    pages = []
    for _ in range(2):
        run("report", logs, *GRID, "--out", tmp_path / "page.html")
        pages.append((tmp_path / "page.html").read_bytes())
    assert pages[0] == pages[1]


def test_logs_that_cannot_tell_give_a_page_that_says_so(tmp_path):
    for number in range(2):
        write_log(tmp_path / "logs" / f"run{number}", curve(number, 6), seed=number)
    data, said = report(tmp_path, tmp_path / "logs")
    assert said.startswith("These logs cannot tell yet which stop policy to use.")
    assert data["answer"]["policy"] is None
    assert data["answer"]["code"] == []
    assert "the page recommends none" in said


@pytest.mark.parametrize("limit", ["0.5%", "0.01"])
def test_a_tolerance_on_the_regret(logs, tmp_path, limit):
    data, _ = report(tmp_path, logs, *GRID, "--max-regret", limit)
    key = "relative_regret_mean" if limit.endswith("%") else "regret_mean"
    swept = by_spec(answer_of("sweep", logs, *GRID, "--max-regret", limit)["policies"])
    shown = by_spec(data["policies"])
    assert all(shown[spec]["loss"] == pytest.approx(row[key]) for spec, row in swept.items())


def test_nan_infinity_and_censored_runs(tmp_path):
    for number in range(6):
        values = curve(number)
        if number == 0:
            values[5:7] = [float("nan"), float("inf")]
        write_log(
            tmp_path / "logs" / f"run{number}",
            values,
            seed=number,
            end=number != 1,
            header={"planned_steps": 4000} if number == 1 else None,
        )
    data, _ = report(tmp_path, tmp_path / "logs", *GRID)
    assert data["runs"][0]["values"][5:7] == [None, "Infinity"]
    assert data["runs"][1]["censored"].startswith("cut short")
    assert data["answer"]["held_out"] is None or data["answer"]["held_out"]["censored"] >= 0
    assert "(1 censored)" in " ".join(data["answer"]["sentences"])


def test_many_runs_are_sampled_and_the_page_says_so(logs, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_MOST_VALUES", 60)
    monkeypatch.setattr(runs, "_FEWEST_VALUES", 5)
    monkeypatch.setattr(traces, "_MOST_EVALS", 600)
    monkeypatch.setattr(traces, "_MOST_REASONS", 200)
    monkeypatch.setattr(gather, "_MOST_POLICIES", 4)
    data, _ = report(tmp_path, logs, *GRID)
    for one in data["runs"]:
        assert 5 <= len(one["values"]) <= 8
        assert one["at"][0] == 0
        assert one["at"][-1] == one["evals"] - 1
        assert one["best"] in one["at"]
    assert "10 of 10 curves are sampled" in data["sampling"][0]
    assert "policies. For the others it holds the means" in data["sampling"][1]
    assert sum(row["outcomes"] is None for row in data["policies"]) >= 4
    assert len(data["traces"]) == 3
    assert data["traces"][0]["runs"][0]["reason"] is not None
    assert data["traces"][1]["runs"][0]["reason"] is None


def test_where_traces_are_few_they_are_those_of_the_worst_runs(logs, tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "_MOST_EVALS", 70)
    data, _ = report(tmp_path, logs, *GRID)
    (trace,) = data["traces"]
    held = [at for at, one in enumerate(trace["runs"]) if one is not None]
    losses = by_spec(data["policies"])[trace["policy"]]["outcomes"]["loss"]
    assert len(held) == 3  # of 20 evals each
    assert min(losses[at] for at in held) >= max(losses[at] for at in range(10) if at not in held)


def test_the_page_never_replaces_a_log(logs):
    log = next(logs.rglob("*.jsonl"))
    before = log.read_bytes()
    error = run("report", logs, "--out", log, code=2).stderr
    assert f"--out {log} would overwrite {log}, which is read" in " ".join(error.split())
    assert log.read_bytes() == before
    assert "--out" in run("report", logs, "--out", logs / "no" / "such" / "page.html", code=2).stderr


def test_the_command_of_the_page_makes_it_again(logs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = ["logs", *GRID, *TOLERANT, "--unit", "epochs", "--weight", "compute", "--out", "first.html"]
    run("report", *args)
    data = data_of(tmp_path / "first.html")
    assert data["command"][:2] == ["replay", "report"]
    run(*data["command"][1:-1], "second.html")
    again = data_of(tmp_path / "second.html")
    again["command"][-1] = "first.html"
    assert again == data


def test_short_numbers_and_spread_positions():
    assert [short(value) for value in (1 / 3, 4.0, float("nan"), float("-inf"), None)] == [
        0.3333333,
        4,
        None,
        "-Infinity",
        None,
    ]
    assert spread(5, 9) == [0, 1, 2, 3, 4]
    assert spread(100, 5, [7, 200]) == [0, 7, 25, 50, 74, 99]


@pytest.mark.slow
def test_a_page_of_100_policies_and_300_runs_is_small(tmp_path):
    for number in range(300):
        write_log(tmp_path / "logs" / f"run{number:03}", curve(number, 60), seed=number)
    run(
        "report",
        tmp_path / "logs",
        "--grid",
        "patience=1..25",
        "--grid",
        "min_delta=0,1e-3,1e-2,0.1",
        "--out",
        tmp_path / "page.html",
    )
    assert (tmp_path / "page.html").stat().st_size < 8_000_000
    data = data_of(tmp_path / "page.html")
    assert sum(row["outcomes"] is not None and row["role"] == "candidate" for row in data["policies"]) >= 100
    assert data["sampling"] == []


def test_sweep_and_choose_write_the_same_page(logs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, _ = report(tmp_path, "logs", *GRID)
    for command in ("sweep", "choose"):
        said = run(command, "logs", *GRID, "--report", "page.html")
        assert "wrote page.html" in said.stderr
        here = data_of(tmp_path / "page.html")
        here["command"][-1] = data["command"][-1]
        assert here == data
    log = next(logs.rglob("*.jsonl"))
    error = run("sweep", "logs", *GRID, "--report", log, code=2).stderr
    assert f"--report {log}" in " ".join(error.split())
    error = run("choose", "logs", *GRID, "--per-rule", "--report", "page.html", code=2).stderr
    assert "--report shows one choice" in error


FILE = """
monitor = "eval_loss"
unit = "epochs"
group = "folder"

[policies.fast]
spec = "patience=2"
max_lost = "30%"

[policies.slow]
spec = "patience=4"
max_lost = "12%"
guarantee = "80%"
"""


def test_a_check_writes_the_page_of_its_policies(logs, tmp_path, monkeypatch):
    """The command that the page names writes the same page again."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    Path("policies.toml").write_text(FILE)
    said = run("check", "policies.toml", logs, "--report", "page.html", code=3)
    assert "wrote page.html" in said.stderr
    data = data_of(Path("page.html"))
    assert data["tolerance"] == {"kind": "lost", "value": 0.12, "text": "12%"}
    assert {row["spec"] for row in data["policies"]} >= {"patience=2", "patience=4"}
    assert data["candidates"] == len({"patience=2", "patience=4", "patience=3", "patience=5", "patience=1"})
    words = data["command"]
    assert words[:2] == ["replay", "report"]
    assert ("--confidence", "80%") in pairwise(words)
    assert ("--unit", "epochs") in pairwise(words)
    run(*words[1:])
    assert data_of(Path("page.html")) == data


def test_a_check_without_limits_on_the_loss_has_the_usual_tolerance(logs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    policies = Path("policies.toml")
    for limit, expected in (
        ("", {"kind": "lost", "value": 0.05, "text": "5%"}),
        ("max_regret = 0.02", {"kind": "regret", "value": 0.02, "text": "0.02"}),
        ('max_regret = "3%"', {"kind": "relative_regret", "value": 0.03, "text": "3%"}),
    ):
        policies.write_text(f'undecided = "pass"\n[policies.one]\nspec = "patience=2"\n{limit}\n')
        run("check", policies, logs, "--report", "page.html")
        assert data_of(Path("page.html"))["tolerance"] == expected
    error = run("check", policies, logs, "--report", policies, code=2).stderr
    assert "--report policies.toml" in error


@pytest.mark.parametrize(
    "limit", [TOLERANT, ("--max-lost", "9%"), ("--max-regret", "0.02"), ("--max-regret", "3%")]
)
def test_a_figure_for_papers_has_units_counts_and_intervals(logs, tmp_path, limit):
    said = []
    for name in ("first.svg", "second.svg"):
        said.append(run("report", logs, *GRID, *limit, "--format", "svg", "--out", tmp_path / name).stdout)
    text = (tmp_path / "first.svg").read_text()
    assert text == (tmp_path / "second.svg").read_text()
    for label in (
        "steps saved (%)",
        "tolerance",
        "best possible",
        "no early stopping",
        "(n = 10)",
    ):
        assert label in text, label
    assert ("equal budget" in text) == (limit[1] != "3%")  # no budget has a known share of the best value
    assert "95 %" in text  # a line may end here
    assert "interval " in text
    assert said[0] == said[1]


def test_a_figure_in_other_formats(logs, tmp_path):
    for form, begins in (("pdf", b"%PDF"), ("png", b"\x89PNG")):
        target = tmp_path / f"figure.{form}"
        run("report", logs, *GRID, "--format", form, "--out", target)
        assert target.read_bytes().startswith(begins)
    missing = tmp_path / "no" / "figure.pdf"
    error = run("report", logs, "--format", "pdf", "--out", missing, code=2).stderr
    assert f"--out {missing}" in " ".join(error.split())
    log = next(logs.rglob("*.jsonl"))
    before = log.read_bytes()
    run("report", logs, "--format", "png", "--out", log, code=2)
    assert log.read_bytes() == before


@pytest.mark.parametrize("limit", [TOLERANT, ("--max-regret", "0.02")])
def test_the_texts_of_the_figure_do_not_overlap(logs, tmp_path, limit, monkeypatch):
    from replay.report.plots import report as figures

    drawn = []
    monkeypatch.setattr(
        figures, "draw", lambda facts, draw=figures.draw: drawn.append(draw(facts)) or drawn[-1]
    )
    run("report", logs, *GRID, *limit, "--format", "png", "--out", tmp_path / "figure.png")
    (figure,) = drawn
    figure.draw_without_rendering()
    boxes = [legend.get_window_extent() for legend in figure.legends]
    boxes += [
        text.get_window_extent() for axes in figure.axes for text in (axes.xaxis.label, axes.yaxis.label)
    ]
    boxes += [axes.title.get_window_extent() for axes in figure.axes]
    boxes += [axes._left_title.get_window_extent() for axes in figure.axes]
    boxes.append(figure._supxlabel.get_window_extent())
    real = [box for box in boxes if box.width > 1]
    assert len(real) >= 7
    assert [(one, other) for at, one in enumerate(real) for other in real[:at] if one.overlaps(other)] == []
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0 for box in real)
