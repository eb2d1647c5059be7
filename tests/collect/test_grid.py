"""Grids: which runs a file makes, what is said about mistakes, and whole grids of tiny models in processes of
their own."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from collect import grid
from collect.cli import cli
from replay.errors import InputError
from replay.readers.formats.eval_log import FORMAT_NAME, VERSION
from tests.collect.conftest import CLASSIFIER, changed, toml

SHORT = changed(CLASSIFIER, train={"max_steps": 6, "eval_every": 3})


@pytest.fixture
def write(tmp_path):
    """Writes a grid file over the tiny classifier's config."""
    (tmp_path / "common.toml").write_text(toml(CLASSIFIER))

    def grid_file(text, name="g"):
        path = tmp_path / f"{name}.toml"
        path.write_text(f'base = "common.toml"\n{text}')
        return path

    return grid_file


def names(path):
    return [config.name for config in grid.expand(path)]


def test_the_last_key_varies_fastest_and_the_rest_is_the_config_s(write, tmp_path):
    configs = grid.expand(write('[data]\ntrain_size = 40\n[grid]\n"train.seed" = [1, 0]\n"lora.r" = [2, 8]'))
    assert [config.name for config in configs] == ["g-s1-r2", "g-s1-r8", "g-s0-r2", "g-s0-r8"]
    assert [(config.train.seed, config.lora.r) for config in configs] == [(1, 2), (1, 8), (0, 2), (0, 8)]
    assert {(config.data.train_size, config.data.max_length, config.root) for config in configs} == {
        (40, 16, tmp_path)
    }


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ('"lora.r" = [4]', ["r4"]),
        ('"lora.alpha" = [4, 0.5]', ["a4", "a0.5"]),
        ('"lora.r, lora.alpha" = [[2, 4], [8, 16]]', ["r2", "r8"]),
        ('"lora.r,lora.dropout" = [[2, 0.1], [8, 0.0]]', ["r2-dropout0.1", "r8-dropout0"]),
        (
            '"train.learning_rate" = [1e-3, 0.0002, 1.5e-4, 1, 12.5]',
            ["lr1e-3", "lr2e-4", "lr1.5e-4", "lr1e0", "lr1.25e1"],
        ),
        ('"train.scheduler" = ["cosine", "linear"]', ["cosine", "linear"]),
        ('"data.train_size" = [20]', ["n20"]),
        ('"data.seed" = [0, 3]', ["d0", "d3"]),
        ('"lora.target_modules" = ["all-linear", ["query", "value"]]', ["all-linear", "query+value"]),
        ('"lora.modules_to_save" = [[], ["pooler"]]', ["modulestosavenone", "modulestosavepooler"]),
        ('"train.eval_at_start" = [true, false]', ["evalatstarttrue", "evalatstartfalse"]),
        ('"data.file" = ["a dir/x.csv"]', ["filea-dir-x.csv"]),
        ('"data.where" = [{ lang = "en" }]', ["wherelang=en"]),
        ('"data.where.lang" = ["en"]', ["langen"]),
        ('"group" = ["a", "b"]', ["groupa", "groupb"]),
        ('"lora.r" = [2, 8]\n"lora.alpha" = 32\n"train.seed" = [0]', ["r2-s0", "r8-s0"]),
    ],
)
def test_names_say_what_varies(setting, parts, write):
    assert names(write(f"[grid]\n{setting}")) == [f"g-{part}" for part in parts]


def test_a_scalar_holds_for_all_runs_of_its_block(write):
    configs = grid.expand(write('[[grid]]\n"lora.r" = [2, 4]\n"lora.alpha" = 32\n[[grid]]\n"lora.r" = [8]'))
    assert [(config.name, config.lora.alpha) for config in configs] == [
        ("g-r2", 32),
        ("g-r4", 32),
        ("g-r8", 16),
    ]


def test_settings_of_one_key_move_together(write):
    configs = grid.expand(write('[grid]\n"lora.r, lora.alpha" = [[2, 4], [8, 16]]\n"train.seed" = [0, 1]'))
    assert [(config.lora.r, config.lora.alpha, config.train.seed) for config in configs] == [
        (2, 4, 0),
        (2, 4, 1),
        (8, 16, 0),
        (8, 16, 1),
    ]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("mine", ["mine-r2-lr1e-3", "mine-r8-lr1e-3"]),
        ("rank{lora.r}", ["rank2", "rank8"]),
        (
            "{train.learning_rate}_{lora.r}.{train.seed}-{task}",
            [f"1e-3_{r}.0-classification" for r in (2, 8)],
        ),
    ],
)
def test_the_file_may_give_a_name_or_a_template(name, made, write):
    assert (
        names(write(f'name = "{name}"\n[grid]\n"lora.r" = [2, 8]\n"train.learning_rate" = [0.001]')) == made
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r'there is no \[grid\]; it must be a table such as "lora.r"'),
        ("[grid]", r"grid = {}; it must be a table \[grid\], or several"),
        ("grid = []", r"grid = \[\]; it must be a table"),
        ("grid = 3", "grid = 3; it must be a table"),
        ('[grid]\n"lora.r" = []', r"lora.r = \[\] in \[grid\]; it must have at least one value"),
        ('[grid]\n"lora.rr" = [1]', r"unknown key lora.rr; allowed in \[lora\] are .*Did you mean"),
        ('[grid]\n"lora.r.x" = [1]', r"unknown key lora.r.x in \[grid\]; lora.r = 2 is no table"),
        ('[grid]\n"lora." = [1]', "unknown key lora.; allowed are"),
        ("[grid]\nlora.r = [1]", r"lora = {'r': \[1\]} in \[grid\]; write a setting as one key in quotes"),
        ('[grid]\n"name" = ["a"]', "name is no setting of a grid; give it at the top"),
        ('[grid]\n"lora.r" = [2, 0]', "lora.r = 0; it must be at least 1"),
        ('[grid]\n"lora.r" = ["2"]', "lora.r = '2'; it must be a whole number"),
        (
            '[grid]\n"lora.r, lora.alpha" = [[2, 4], [8]]',
            r"lora.r, lora.alpha has the value \[8\] in \[grid\]; each must be a list of 2",
        ),
        (
            '[grid]\n"lora.r, lora.alpha" = [2, 4]',
            "lora.r, lora.alpha has the value 2 in .*; each must be a list of 2",
        ),
        ('[grid]\n"lora.r, lora.alpha" = 2', "lora.r, lora.alpha = 2 in .*; it must be a list of lists of 2"),
        ('[grid]\n"lora.r" = [2]\n"lora.alpha, lora.r" = [[2, 4]]', r"lora.r is there twice in one \[grid\]"),
        ('[grid]\n"lora.r" = [2, 4, 2]', "the run g-r2 is there twice"),
        (
            '[[grid]]\n"lora.r" = [2]\n[[grid]]\n"lora.r" = [2]\n"lora.alpha" = [16.0]',
            "the runs g-r2 and g-r2-a16 are the same",
        ),
        (
            '[[grid]]\n"lora.r" = [2]\n[[grid]]\n"lora.r" = [2]\n"lora.alpha" = 4',
            "are both named g-r2; give a name with {lora.alpha}",
        ),
        (
            'name = "r{lora.r}"\n[grid]\n"lora.r" = [2]\n"train.seed" = [0, 1]',
            "differ in train.seed are both named r2; .* {train.seed}",
        ),
        (
            '[grid]\n"data.file" = ["a b", "a/b"]',
            "data.file = 'a b' and 'a/b' give two runs the name g-filea-b, which keeps only letters",
        ),
        (
            'name = "r{lora.rank}"\n[grid]\n"lora.r" = [2]',
            "has the field {lora.rank}; the keys of a config are .*Did you mean",
        ),
        (
            'name = "r{train.epochs}"\n[grid]\n"lora.r" = [2]',
            "has the field {train.epochs}, but train.epochs is not set",
        ),
        ('name = 3\n[grid]\n"lora.r" = [2]', "name = 3; it must be a string"),
        ('name = "a/b"\n[grid]\n"lora.r" = [2]', "name = 'a/b-r2'; it must be the name of a folder"),
        (
            f'[grid]\n"train.seed" = {list(range(101))}\n"data.seed" = {list(range(100))}',
            "the grid has 10,100 runs; it may have 10,000 at",
        ),
    ],
)
def test_mistakes_name_the_file_the_key_and_what_is_allowed(text, message, write):
    path = write(text)
    with pytest.raises(InputError, match=message) as caught:
        grid.expand(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_one_run_is_picked_as_expand_makes_it(write):
    path = write('[grid]\n"lora.r" = [2, 8]\n"train.seed" = [0, 1]')
    for config in grid.expand(path):
        assert grid.pick(path, config.name) == config
    with pytest.raises(InputError, match=r"has no run 'g-r8-s2'; it has .*Did you mean g-r8-s"):
        grid.pick(path, "g-r8-s2")
    with pytest.raises(InputError, match=r"has no run 'g-r8-s2'; it has .*Did you mean g-r8-s"):
        grid.select(path, grid.expand(path), ["g-r2-s0", "g-r8-s2"])


@given(st.integers(0, 60), st.integers(1, 70))
def test_shards_are_the_whole_in_disjoint_parts(total, parts):
    runs = list(range(total))
    shares = [grid.shard(runs, f"{number}/{parts}") for number in range(1, parts + 1)]
    assert sorted(itertools.chain.from_iterable(shares)) == runs
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_shard_is_every_nth_run():
    assert grid.shard("abcdefg", "2/3") == ["b", "e"]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2", "1 / 2"])
def test_other_shards_are_refused(text):
    with pytest.raises(InputError, match=f"shard '{text}' must be i/n"):
        grid.shard([1, 2], text)


def invoke(path, out, *more):
    return CliRunner().invoke(cli, ["grid", str(path), "--out", str(out), *more])


def test_mistakes_on_the_command_line_are_one_sentence(write, tmp_path):
    path = write('[grid]\n"lora.r" = [2, 8]')
    for more, message in (
        (["--only", "g-r4"], "has no run 'g-r4'; it has g-r2, g-r8"),
        (["--shard", "3/2"], "shard '3/2' must be i/n"),
        (["--jobs", "0"], "'--jobs': 0 is not in the range x>=1"),
    ):
        result = invoke(path, tmp_path / "logs", *more)
        assert result.exit_code == 2
        assert message in result.stderr
        assert not (tmp_path / "logs").exists()


def log_of(path, out, name, *records, **config):
    """The log of a run as far as these records, of the config that the grid says or a changed one."""
    record = grid.pick(path, name).record()
    header = {
        "format": FORMAT_NAME,
        "version": VERSION,
        "run": name,
        "planned_steps": 24,
        "config": {**record, **config},
    }
    (out / name).mkdir(parents=True)
    (out / name / "eval_log.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in (header, *records))
    )


def test_the_list_says_how_far_each_run_is(write, tmp_path):
    path = write('[grid]\n"lora.r" = [1, 2, 4, 8, 16]')
    log_of(path, tmp_path / "logs", "g-r1", {"kind": "eval", "step": 24}, {"kind": "end", "step": 24})
    log_of(path, tmp_path / "logs", "g-r2", {"kind": "eval", "step": 10})
    log_of(path, tmp_path / "logs", "g-r4", {"kind": "end", "step": 24}, group="other")
    (tmp_path / "logs" / "g-r8").mkdir()
    (tmp_path / "logs" / "g-r8" / "eval_log.jsonl").write_text("{}\n")
    result = invoke(path, tmp_path / "logs", "--list")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "g-r1   finished",
        "g-r2   at step 10 of 24",
        "g-r4   another config is there (group 'other' there, None here)",
        "g-r8   another file is there",
        "g-r16  not begun",
    ]
    assert invoke(path, tmp_path / "logs", "--list", "--only", "g-r16").stdout == "g-r16  not begun\n"
    assert invoke(path, tmp_path / "logs", "--list", "--shard", "1/5").stdout == "g-r1  finished\n"


@pytest.fixture
def actor(tmp_path, monkeypatch):
    """Stands in for Python: plays a run by the rank in its name, and says how it was started."""
    script = tmp_path / "python"
    script.write_text(
        '#!/bin/sh\ncase "$*" in\n*r75*) echo "Error: held" >&2; exit 75;;\n*r9*) kill -9 $$;;\n*r3*) echo'
        ' "Error: too much" >&2; echo "and more" >&2; exit 2;;\n*r4*) exit 1;;\n*) echo "$*'
        ' gpu=${CUDA_VISIBLE_DEVICES-none} threads=${OMP_NUM_THREADS-none} hub=${HF_HUB_OFFLINE-none}" >>'
        ' "${0%/*}/said"\nname=${*#*--only }; name=${name%% *}\necho "a warning" >&2; echo "$name: done'
        ' (eval_loss 0.5)" >&2;;\nesac\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "said"


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script")
def test_each_end_of_a_run_is_reported(actor, write, tmp_path):
    path = write('[grid]\n"lora.r" = [2, 75, 9, 3, 4, 1]')
    log_of(path, tmp_path / "logs", "g-r1", {"kind": "end", "step": 24})
    result = invoke(path, tmp_path / "logs", "--jobs", "2")
    assert result.exit_code == 2
    first, *reports, total, failed = result.stderr.splitlines()
    assert first == "6 runs, 1 finished already"
    assert [line.split("] ")[0] for line in reports] == ["[2/6", "[3/6", "[4/6", "[5/6", "[6/6"]
    assert sorted(line.split("] ")[1] for line in reports) == [
        "g-r2: done (eval_loss 0.5)",
        f"g-r3: failed: too much (all it wrote is in {tmp_path / 'logs' / 'g-r3' / 'collect_console.log'})",
        "g-r4: failed: exit code 1",
        "g-r75: busy: another process trains it",
        "g-r9: failed: killed by SIGKILL",
    ]
    assert total == "6 runs: 2 finished, 3 failed, 1 busy"
    assert sorted(failed.removeprefix("failed: ").split(", ")) == ["g-r3", "g-r4", "g-r9"]
    assert actor.read_text().count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script")
def test_what_a_single_job_writes_is_shown_and_stays_in_its_folder(actor, write, tmp_path):
    path = write('[grid]\n"lora.r" = [1, 2, 3]')
    log_of(path, tmp_path / "logs", "g-r1", {"kind": "end", "step": 24})
    console = {name: tmp_path / "logs" / name / "collect_console.log" for name in ("g-r2", "g-r3")}
    console["g-r3"].parent.mkdir()
    console["g-r3"].write_text("of an earlier attempt\n")
    result = invoke(path, tmp_path / "logs")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "3 runs, 1 finished already",
        "[2/3] g-r2",
        "a warning",
        "g-r2: done (eval_loss 0.5)",
        "[3/3] g-r3",
        "Error: too much",
        "and more",
        f"[3/3] g-r3: failed: too much (all it wrote is in {console['g-r3']})",
        "3 runs: 2 finished, 1 failed",
        "failed: g-r3",
    ]
    assert console["g-r2"].read_text() == "a warning\ng-r2: done (eval_loss 0.5)\n"
    assert console["g-r3"].read_text() == "of an earlier attempt\nError: too much\nand more\n"


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_folder_that_cannot_be_made_fails_its_run_alone(jobs, actor, write, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "g-r1").write_text("a file")
    result = invoke(write('[grid]\n"lora.r" = [1, 2]'), tmp_path / "logs", "--jobs", jobs)
    assert result.exit_code == 2
    assert f"g-r1: failed: {tmp_path / 'logs' / 'g-r1'}: file exists" in result.stderr
    assert result.stderr.splitlines()[-2:] == ["2 runs: 1 finished, 1 failed", "failed: g-r1"]


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_busy_run_is_neither_finished_nor_failed(jobs, actor, write, tmp_path):
    result = invoke(write('[grid]\n"lora.r" = [2, 75]'), tmp_path / "logs", "--jobs", jobs)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (75, "2 runs: 1 finished, 1 busy")


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script")
def test_what_a_run_writes_stays_in_its_folder(actor, write, tmp_path):
    """Also what it wrote before; the report tells of the last attempt."""
    path = write('[grid]\n"lora.r" = [2, 3, 4]')
    for attempt in (1, 2):
        result = invoke(path, tmp_path / "logs", "--jobs", "2")
        assert "g-r3: failed: too much (" in result.stderr
        assert "g-r4: failed: exit code 1\n" in result.stderr
        console = {
            name: tmp_path / "logs" / name / "collect_console.log" for name in ("g-r2", "g-r3", "g-r4")
        }
        assert console["g-r3"].read_text() == "Error: too much\nand more\n" * attempt
        assert console["g-r2"].read_text() == "a warning\ng-r2: done (eval_loss 0.5)\n" * attempt
        assert console["g-r4"].read_text() == ""
        console["g-r4"].write_text("")


@pytest.mark.slow
def test_what_ended_a_real_run_stays_in_its_folder(place, tmp_path):
    path = place("crash", '[grid]\n"train.seed" = [0, 1]')
    (tmp_path / "crash-s1" / "step_signals.bin").mkdir(parents=True)
    result = invoke(path, tmp_path, "--jobs", "2")
    assert result.exit_code == 2, result.output
    assert "crash-s0: done" in result.stderr
    assert "crash-s1: failed: " in result.stderr
    assert "step_signals.bin" in (tmp_path / "crash-s1" / "collect_console.log").read_text()


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script")
@pytest.mark.parametrize(
    ("jobs", "given", "gpus", "threads"),
    [
        ("1", {"CUDA_VISIBLE_DEVICES": "4,5"}, {"4,5"}, None),
        ("2", {"CUDA_VISIBLE_DEVICES": "4, 5,-1,6"}, {"4", "5"}, None),
        ("2", {"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b,GPU-c", "OMP_NUM_THREADS": "7"}, {"GPU-a", "GPU-b"}, "7"),
        ("64", {"CUDA_VISIBLE_DEVICES": ""}, {""}, "1"),
    ],
)
def test_runs_at_once_share_gpus_and_processors(
    jobs, given, gpus, threads, actor, write, tmp_path, monkeypatch
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "bert").mkdir()
    path = write('[grid]\n"lora.r" = [1, 2]')
    assert invoke(path, tmp_path / "logs", "--jobs", jobs, "--cache", str(tmp_path / "cache")).exit_code == 0
    said = actor.read_text().splitlines()
    assert {line.split("gpu=")[1].split(" threads=")[0] for line in said} == gpus
    for name in ("g-r1", "g-r2"):
        arguments = (
            f"-m collect grid {path} --out {tmp_path / 'logs'} --only {name} --in-process --cache"
            f" {tmp_path / 'cache'} "
        )
        assert sum(arguments in line for line in said) == 1
    assert all(line.endswith("hub=1") for line in said)
    if threads:
        assert {line.split("threads=")[1].split(" ")[0] for line in said} == {threads}


# ---- real runs ----


@pytest.fixture(scope="module")
def place(workplace):
    """Writes a grid file over a short classifier's config beside its model and texts."""
    (workplace / "short.toml").write_text(toml(SHORT))

    def grid_file(name, text):
        path = workplace / f"{name}.toml"
        path.write_text(f'base = "short.toml"\n{text}')
        return path

    return grid_file


def contents(folder):
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_two_shards_train_the_whole_grid_and_a_third_call_nothing(place, tmp_path):
    path = place("whole", '[grid]\n"lora.r" = [2, 4]')
    result = invoke(path, tmp_path, "--jobs", "2", "--shard", "1/2")
    assert result.exit_code == 0, result.stderr
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["whole-r2"]
    first, one, total = result.stderr.splitlines()
    assert (first, total) == ("1 run, 0 finished already", "1 run: 1 finished")
    assert one.startswith("[1/1] whole-r2: done (eval_loss ")
    half = contents(tmp_path)
    result = invoke(path, tmp_path, "--jobs", "2", "--shard", "2/2")
    assert result.exit_code == 0, result.stderr
    whole = contents(tmp_path)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["whole-r2", "whole-r4"]
    assert {name: whole[name] for name in half} == half
    for folder in tmp_path.iterdir():
        assert '"kind": "end"' in (folder / "eval_log.jsonl").read_text()
    result = invoke(path, tmp_path, "--jobs", "2")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == ["2 runs, 2 finished already", "2 runs: 2 finished"]
    assert contents(tmp_path) == whole


def test_a_run_that_fails_does_not_stop_the_others(place, tmp_path):
    path = place("mixed", '[[grid]]\n"lora.target_modules" = [["quary"]]\n[[grid]]\n"lora.r" = [2]')
    result = invoke(path, tmp_path, "--jobs", "2")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert any(
        "] mixed-quary: failed: lora.target_modules = ['quary'] is not in the model" in line for line in lines
    )
    assert any("] mixed-r2: done (" in line for line in lines)
    assert lines[-2:] == ["2 runs: 1 finished, 1 failed", "failed: mixed-quary"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("sent", "code", "jobs"),
    [(signal.SIGINT, 130, 2), pytest.param(signal.SIGTERM, 143, 1, marks=pytest.mark.slow)],
)
def test_a_signal_ends_all_runs(sent, code, jobs, place, tmp_path):
    path = place(f"long{jobs}", f'[train]\nmax_steps = 20000\n[grid]\n"train.seed" = {list(range(jobs + 1))}')
    command = [
        sys.executable,
        "-m",
        "collect",
        "grid",
        str(path),
        "--out",
        str(tmp_path),
        "--jobs",
        str(jobs),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and len(list(tmp_path.glob("*/eval_log.jsonl"))) < jobs:
            time.sleep(0.05)
        process.send_signal(sent)
        _, said = process.communicate()
    assert process.returncode == code
    assert f"interrupted: 0 of {jobs + 1} finished; the same command goes on" in said.splitlines()
    assert "Traceback" not in said
    for running in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert str(tmp_path) not in running.read_text()
        except OSError:  # it ended while we looked
            continue
