"""DVCLive's folders: which are recognised, and what their tables say of the run."""

import math

from replay.readers import read
from replay.report.sentences import sentences
from tests.readers.columns import curve


def table(folder, name, rows, *, stamps=False):
    path = folder / "plots" / "metrics" / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = ["timestamp"] * stamps + ["step", name.rsplit("/", 1)[-1]]
    lines = ["\t".join(head)]
    for place, (step, value) in enumerate(rows):
        lines.append("\t".join([str(1_700_000_000_000 + 1000 * place)] * stamps + [str(step), repr(value)]))
    path.write_text("".join(line + "\n" for line in lines))
    return path


def one(folder):
    found = read(folder)
    assert not found.findings
    (run,) = found.runs
    return run


def test_tables_in_folders_are_metrics_with_a_slash(tmp_path):
    table(tmp_path / "dvclive", "eval/loss", [(10, 0.5), (20, math.nan)])
    table(tmp_path / "dvclive", "loss", [(10, 1.0), (20, 0.5)])
    table(tmp_path / "dvclive", "system/gpu/val", [(10, 1.0)])
    (tmp_path / "dvclive" / "metrics.json").write_text("{}")
    run = one(tmp_path)
    assert run.id == "dvclive"
    assert list(curve(run, "eval/loss")) == [10, 20]
    assert math.isnan(curve(run, "eval/loss")[20])
    assert list(run.train) == ["loss"]


def test_times_of_the_tables(tmp_path):
    table(tmp_path / "dvclive", "val_loss", [(10, 0.5), (20, 0.25)], stamps=True)
    run = one(tmp_path)
    assert run.columns["wall_time"].values.tolist() == [1_700_000_000.0, 1_700_000_001.0]


def test_a_project_with_plots_of_its_own_is_searched_further(tmp_path):
    table(tmp_path, "val_loss", [(10, 0.5), (20, 0.25)])
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "metrics.csv").write_text("step,val_loss\n1,9.0\n2,8.0\n3,7.0\n")
    assert [run.id for run in read(tmp_path).runs] == ["plots/metrics", "src"]


def test_tables_of_others_are_not_claimed(tmp_path):
    path = tmp_path / "dvclive" / "plots" / "metrics" / "table.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("name\tvalue\na\t1\n")
    (tmp_path / "log.csv").write_text("step,val_loss\n1,9.0\n2,8.0\n3,7.0\n")
    assert [run.info.format for run in read(tmp_path).runs] == ["csv"]


def test_the_log_events_of_transformers_have_their_epoch_as_the_step(tmp_path):
    home = tmp_path / "dvclive"
    table(home, "loss", [(0, 2.0), (1, 1.5), (3, 1.2)])
    table(home, "eval/loss", [(2, 1.0), (4, 0.9)])
    table(home, "eval/runtime", [(2, 3.0), (4, 4.0)])
    table(home, "epoch", [(0, 0.2), (1, 0.4), (2, 0.5), (3, 0.8), (4, 1.0)])
    run = one(tmp_path)
    assert curve(run, "eval/loss") == {0.5: 1.0, 1.0: 0.9}
    assert run.info.step_unit == "epoch"
    assert run.columns["eval_seconds"].values.tolist() == [3.0, 4.0]


def test_steps_from_zero_count_what_was_trained(tmp_path):
    table(tmp_path / "dvclive", "val_loss", [(0, 0.5), (1, 0.25)])
    table(tmp_path / "dvclive", "loss", [(0, 1.0), (1, 0.5)])
    assert curve(one(tmp_path)) == {1: 0.5, 2: 0.25}


def test_a_resumed_run_that_repeats_its_last_eval(tmp_path):
    table(tmp_path / "dvclive", "val_loss", [(10, 1.0), (20, 9.0), (20, 0.5), (30, 0.25)])
    assert curve(one(tmp_path)) == {10: 1.0, 20: 0.5, 30: 0.25}


def test_a_run_that_was_interrupted_twice_between_two_evals(tmp_path):
    table(tmp_path / "dvclive", "loss", [(s, float(s)) for s in (1, 2, 3, 4, 3, 4, 5, 4, 5, 6, 7, 8)])
    table(tmp_path / "dvclive", "val_loss", [(2, 2.0), (4, 4.0), (6, 6.0), (8, 8.0)])
    table(tmp_path / "dvclive", "val_f1", [(2, 0.2), (4, 0.4), (4, 0.5), (6, 0.6)])
    run = one(tmp_path)
    assert curve(run) == {2: 2.0, 4: 4.0, 6: 6.0, 8: 8.0}
    assert curve(run, "val_f1") == {2: 0.2, 4: 0.5, 6: 0.6}


def test_a_run_that_was_resumed_before_its_next_eval(tmp_path):
    """No eval was made twice, so that the table of the evals shows nothing of it."""
    table(tmp_path / "dvclive", "loss", [(s, float(s)) for s in (1, 2, 3, 3, 4, 5, 6)])
    table(tmp_path / "dvclive", "val_loss", [(2, 2.0), (4, 4.0), (6, 6.0)])
    assert curve(one(tmp_path)) == {2: 2.0, 4: 4.0, 6: 6.0}


def test_lines_that_are_cut_off_or_damaged(tmp_path):
    path = table(tmp_path / "dvclive", "val_loss", [(10, 1.0), (20, 0.5)])
    path.write_text(path.read_text() + "junk\n30\t0.2")
    found = read(tmp_path)
    assert curve(found.runs[0]) == {10: 1.0, 20: 0.5}
    cut, bad = sentences(found.findings)
    assert cut == f"{path}: its last line (5) is cut off; it is left out"
    assert bad == f"{path}: 1 of 3 lines is not of the form 'step<tab>value'; it is left out"


def test_links_are_not_followed(tmp_path):
    table(tmp_path / "dvclive", "loss", [(10, 1.0), (20, 0.5)])
    secret = table(tmp_path / "other", "val_loss", [(10, 1.0), (20, 0.5)])
    (tmp_path / "dvclive" / "plots" / "metrics" / "val_loss.tsv").symlink_to(secret)
    assert not one(tmp_path / "dvclive").metrics


def test_a_value_that_is_logged_twice_is_of_one_process(tmp_path):
    table(tmp_path / "dvclive", "epoch", [(step, step // 10) for step in (10, 10, 20, 20, 30, 30)])
    table(tmp_path / "dvclive", "val_loss", [(10, math.nan), (10, math.nan), (20, 2.0), (30, 1.0)])
    run = one(tmp_path)
    assert (len(run), run.info.resumes) == (3, ())
