"""Inputs that are made to do harm: names that steer terminals and spreadsheets, odd files, and specifications
without end."""

import csv
import io
import json
import os
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from replay.cli import cli
from replay.errors import PolicyError
from replay.files import read_file
from replay.policies.spec import parse_policy
from replay.readers import read
from tests.conftest import curve, write_log

RED = "\x1b[31mred\x1b[0m"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def logs(folder, *names, count=8, header=None):
    for number in range(count):
        name = names[number] if number < len(names) else f"r{number}"
        write_log(folder / "logs" / name, curve(number), seed=number, header=header)
    (folder / "policies.toml").write_text('logs = ["logs"]\n[policies.main]\nspec = "patience=4"\n')


def run(*words, code=0, **options):
    result = CliRunner().invoke(cli, list(map(str, words)), **options)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


# Names


def test_folders_with_a_number_sign_keep_their_names(folder):
    names = ["seed#1", "seed#2", "seed#3#b", "#4"]
    logs(folder, *names)
    ids = [run_.id for run_ in read([folder / "logs"]).runs]
    assert set(names) <= set(ids)
    (folder / "logs").rename(folder / "before")
    logs(folder, *names)
    said = run("diff", "before", "logs", "--policy", "patience=4").output
    assert "mean of 8 runs" in said
    run("check", "policies.toml", "--update")
    assert str(folder) not in (folder / "replay.lock").read_text()
    folder.rename(folder.with_name("moved"))
    os.chdir(folder.with_name("moved"))
    said = run("check", "policies.toml").output
    assert "new" not in said.partition("compared with")[2]
    os.chdir("/")
    folder.with_name("moved").rename(folder)


@pytest.mark.parametrize("style", ["table", "csv", "markdown"])
@pytest.mark.parametrize("command", ["simulate", "sweep", "inspect", "diff"])
def test_no_output_steers_the_terminal(folder, command, style):
    logs(folder, header={"model": RED, "dataset": f"\x9b31m{RED}", "lora": {"r": 8}})
    words = {
        "simulate": ["simulate", "logs", "--policy", "patience=2", "--per-run"],
        "sweep": ["sweep", "logs", "--grid", "patience=1..3"],
        "inspect": ["inspect", "logs"],
        "diff": ["diff", "patience=2", "patience=4", "logs"],
    }[command]
    out = run(*words, "--format", style).output
    assert not [char for char in out if not char.isprintable() and char not in "\n\N{WORD JOINER}"]


def test_no_cell_of_a_csv_is_a_formula(folder):
    names = ["=HYPERLINK(0)", "@SUM(A1)", "+1+1", "-cmd", "-1.5", "plain"]
    logs(folder, *names)
    out = run("simulate", "logs", "--policy", "patience=2", "--per-run", "--format", "csv").stdout
    cells = {row["run"] for row in csv.DictReader(io.StringIO(out))}
    assert cells >= {"'=HYPERLINK(0)", "'@SUM(A1)", "'+1+1", "'-cmd", "-1.5", "plain"}
    figures = [row["regret"] for row in csv.DictReader(io.StringIO(out))]
    assert all(float(figure) >= 0 for figure in figures)


def test_markdown_mentions_nobody(folder):
    logs(folder, "@octocat", "team@home", "a-@all")
    for words in (
        ["simulate", "logs", "--policy", "patience=2", "--per-run", "--format", "markdown"],
        ["check", "policies.toml", "--format", "github"],
    ):
        assert "@octocat" not in run(*words).output
    run("check", "policies.toml", "--comment", "comment.md", "--update")
    (folder / "policies.toml").write_text(
        'logs = ["logs"]\n[policies."@octocat"]\nspec = "patience=4"\n[[policies."@octocat".expect]]\n'
        'run = "@octocat"\neval = 3\n'
    )
    run("check", "policies.toml", "--comment", "comment.md", code=1)
    text = (folder / "comment.md").read_text()
    assert text.startswith("<!-- replay check -->\n")
    assert "octocat" in text
    assert "@octocat" not in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_json_on_standard_output_is_json_in_any_encoding(folder, encoding):
    logs(folder, "größe-\N{SNOWMAN}-\N{GRINNING FACE}", "##[error]x", count=3)
    words = [sys.executable, "-m", "replay", "simulate", "logs", "--policy", "patience=2", "--format", "json"]
    env = {**os.environ, "PYTHONIOENCODING": encoding, "GITHUB_ACTIONS": "true", "PYTHONUTF8": "0"}
    done = subprocess.run(words, cwd=folder, capture_output=True, env=env)
    assert done.returncode == 0, done.stderr
    assert b"##[" not in done.stdout
    ids = {row["run"] for row in json.loads(done.stdout.decode(encoding))["outcomes"]}
    assert {"größe-\N{SNOWMAN}-\N{GRINNING FACE}", "##[error]x"} <= ids


# Files


def test_no_report_overwrites_what_is_read(folder):
    logs(folder)
    run("check", "policies.toml", "--update")
    (folder / "link.md").symlink_to("policies.toml")
    os.link(folder / "replay.lock", folder / "hard.json")
    log = "logs/r2/eval_log.jsonl"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for option in ("--out", "--junit", "--sarif", "--code-quality", "--comment", "--plot"):
        for name in (log, "policies.toml", "replay.lock", "link.md", "hard.json"):
            said = run("check", "policies.toml", option, name, code=2).output
            assert f"{option} {name} would overwrite" in said
    for words in (
        ["simulate", "logs", "--policy", "patience=2"],
        ["simulate", log, "--policy", "patience=2"],
        ["sweep", "logs"],
        ["inspect", "logs"],
        ["diff", "patience=2", "patience=3", "logs"],
        ["explain", "logs", "--policy", "patience=2", "--run", "r1"],
    ):
        assert "would overwrite" in run(*words, "--out", log, code=2).output
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["new.lock", "sub/../new.lock"])
@pytest.mark.parametrize("options", [["--update"], []])
def test_no_report_takes_the_place_of_the_lock(folder, name, options):
    logs(folder)
    (folder / "sub").mkdir()
    for option in ("--out", "--junit", "--report"):
        said = run("check", "policies.toml", "--lock", "new.lock", *options, option, name, code=2).output
        assert "new.lock is the lock; give another file" in said
    assert not (folder / "new.lock").exists()


def test_two_reports_do_not_go_to_one_file(folder):
    logs(folder)
    said = run("check", "policies.toml", "--junit", "r.xml", "--sarif", "./r.xml", code=2).output
    assert "--junit and --sarif both name r.xml" in said
    assert not (folder / "r.xml").exists()
    run("check", "policies.toml", "--junit", os.devnull, "--sarif", os.devnull)


def test_a_report_is_written_whole_or_not_at_all(folder, monkeypatch):
    logs(folder)
    (folder / "report.md").write_text("the old one")
    (folder / "report.md").chmod(0o640)
    with monkeypatch.context() as patched:
        patched.setattr(
            os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(122, "Disk quota exceeded"))
        )
        said = run("check", "policies.toml", "--format", "markdown", "--out", "report.md", code=74).output
    assert "--out report.md: Disk quota exceeded" in said
    assert (folder / "report.md").read_text() == "the old one"
    run("check", "policies.toml", "--format", "markdown", "--out", "report.md")
    assert (folder / "report.md").stat().st_mode & 0o777 == 0o640
    assert not list(folder.glob(".*"))


def test_a_report_that_cannot_be_written_goes_by_its_option(folder):
    logs(folder)
    for option in ("--junit", "--sarif", "--code-quality", "--comment", "--out", "--plot"):
        said = run("check", "policies.toml", option, "none/report.png", code=2).output
        assert f"{option} none/report.png: No such file or directory" in said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_refused_at_once(folder):
    logs(folder)
    os.mkfifo(folder / "pipe")
    for words, what in (
        (["check", "pipe"], "pipe is a named pipe"),
        (["check", "policies.toml", "--lock", "pipe"], "pipe is a named pipe"),
        (["check", "policies.toml", "--lock", "pipe", "--update"], "pipe is a named pipe"),
        (["check", "/dev/zero"], "/dev/zero is a device"),
        (["check", "policies.toml", "--lock", "/dev/zero"], "/dev/zero is a device"),
        (["simulate", "logs", "--policies", "pipe"], "pipe is a named pipe"),
        (["simulate", "logs", "--columns", "/dev/zero"], "/dev/zero is a device"),
        (["check", "logs"], "logs is a directory"),
    ):
        assert what in run(*words, code=2).output
    with pytest.raises(FileNotFoundError):
        read_file(folder / "none")


POLICIES = '[policies.x]\nspec = "patience=2"\n'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xef\xbb\xbf" + POLICIES.encode(), "begins with a byte order mark"),
        (POLICIES.encode("utf-16"), "is in UTF-16"),
        (POLICIES.encode("utf-16-be"), "as a binary file or one in UTF-16 has"),
        (POLICIES.encode() + b"# gr\xfc\xdfe", "line 3 is not UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
        (".".join(["k"] * 50_000).encode() + b" = 1\n", "the key in line 1 has more than 64 parts"),
        (b"\n[" + b".".join([b'"k"'] * 50_000) + b"]\n", "the key in line 2 has more than 64 parts"),
        (b"confidence = " + b"7" * 200_000 + b"\n", "a number has more digits than any setting takes"),
        (b"# " + b"k" * 2_000_000 + b"\n", "no policies"),  # takes for ever in quadratic time
        (b'x = "' + b"k-" * 1_000_000 + b'"\n', "no key 'x'"),
        (b"k = " + b"[" * 50_000, "it is nested too deeply"),
        (b"price = 1e400\n" + POLICIES.encode(), "price takes a number greater than 0"),
    ],
)
def test_odd_files_of_policies_are_named(folder, data, said):
    logs(folder)
    (folder / "policies.toml").write_bytes(data)
    assert said in run("check", "policies.toml", code=2).output


@pytest.mark.parametrize("name", ["logs.zip", "runs.db", "log.csv", "events.out.tfevents.1.x", "of any name"])
def test_a_pointer_of_git_lfs_is_known_under_any_name(folder, name):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:56\nsize 78\n"
    (folder / "other").mkdir()
    (folder / "other" / name).write_text(pointer)
    said = run("inspect", "other", code=2).output
    assert f"other/{name}: a pointer of Git LFS, not the log itself" in said
    assert "git lfs pull" in said


def test_logs_that_git_lfs_has_not_fetched(folder):
    logs(folder)
    run("check", "policies.toml", "--update")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 34\n"
    (folder / "logs" / "r5" / "eval_log.jsonl").write_text(pointer)
    said = " ".join(run("check", "policies.toml", code=3).output.split())
    assert "logs/r5/eval_log.jsonl: a pointer of Git LFS, not the log itself" in said
    assert "git lfs pull" in said
    (folder / "replay.lock").write_text(pointer)
    assert "git lfs pull" in run("check", "policies.toml", code=2).output


# Specifications


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("(" * 200 + "patience=2" + ")" * 200, "parentheses are nested more than 64 deep"),
        ("(" * 9000, "parentheses are nested more than 64 deep"),
        (" unless ".join(["patience=2"] * 900), "joined by unless are nested more than 64 deep"),
        ("patience=2,every=9223372036854775807", "every must be at most"),
        ("patience=2,every=1e300", "every must be at most"),
        ("budget=1e400", "must be a finite number"),
        ("patience=2,start=1e999", "start must be a number"),
    ],
)
def test_specifications_without_end_are_refused(spec, said):
    with pytest.raises(PolicyError, match=said):
        parse_policy(spec)


def test_chained_policies_take_linear_time():
    """Each level that doubled the time would make the 60 take 10^10 times as long as the 25."""
    values = [1.0, 0.9, 0.95, 0.96, 0.97]

    def seconds(count):
        began = time.process_time()
        policy = parse_policy(" unless ".join(["patience=2"] * count))
        assert policy.stop_eval(values) is None or count == 1
        assert policy.monitor is None
        assert policy.decide(values).reason
        assert parse_policy(policy.spec()) == policy
        return time.process_time() - began

    assert seconds(60) < 100 * max(seconds(25), 0.01)


def test_an_eval_that_is_never_made_costs_no_memory(folder):
    logs(folder)
    out = run("explain", "logs", "--policy", "patience=2,every=900000000000", "--run", "r1").output
    assert "never" in out or "not stopped" in out
