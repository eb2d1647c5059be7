"""Logs on web servers: real ones, as processes on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import replay
from replay import remote
from replay.cli import cli
from replay.data.finding import Kind
from replay.errors import InputError
from replay.remote.limits import Limits
from replay.urls import as_path
from tests.readme import ROOT
from tests.remote.conftest import state
from tests.remote.processes import free_port, serving, web


def same(one, other, ordered=True):
    """Whether two lists of runs hold the same, with columns in the same order."""
    assert [run.id for run in one] == [run.id for run in other]
    for left, right in zip(one, other, strict=True):
        assert left.columns.keys() == right.columns.keys()
        assert list(left.columns) == list(right.columns) or not ordered
        for name in left.columns:
            for mine, yours in zip(left.columns[name], right.columns[name], strict=True):
                assert np.array_equal(mine, yours, equal_nan=mine.dtype.kind == "f")
        facts, others = left.info.stated(), right.info.stated()
        for stated in (facts, others):
            stated.pop("sources", None)
        assert facts == others


def gives_the_folder(server, base, here, asked_for):
    """The runs below a URL are those of the folder, and only files that can be logs are asked for."""
    for url in (base, f"{base}/"):
        server.forget()
        there = replay.load(url)
        same(there, here)
        sources = {source for run in there for source in run.info.sources}
        assert all(source.startswith(f"{base}/") for source in sources)
        assert f"{base}/lora 1/trainer_state.json" in sources
        asked = "\n".join(server.requests())
        assert asked_for in asked
        for left in ("safetensors", "training_args", "tokenizer", "README", ".git"):
            assert left not in asked


@pytest.fixture(params=["plain", "ranges", "standard library"])
def server(request, logs, tmp_path):
    """The logs behind a web server that answers range requests or not, and behind that of Python."""
    log = tmp_path / "requests.txt"
    if request.param == "standard library":
        words = ["-m", "http.server", "PORT", "--bind", "127.0.0.1", "--directory", logs.parent]
        started = serving(log, words)
    else:
        started = web(log, logs.parent, *(["--ranges"] if request.param == "ranges" else []))
    with started as running:
        yield running


def test_a_folder_of_a_web_server_gives_the_runs_of_the_folder(server, logs):
    here = replay.load(logs)
    assert len(here) == 4
    gives_the_folder(server, f"{server.url}/runs", here, "trainer_state.json")


def test_one_file_of_a_web_server(server, logs):
    (run,) = replay.load(f"{server.url}/runs/lora%201/trainer_state.json")
    (here,) = replay.load(logs / "lora 1" / "trainer_state.json")
    assert run.id == here.id
    assert list(run.curve("eval_loss", "min").values) == list(here.curve("eval_loss", "min").values)
    assert run.info.sources == (f"{server.url}/runs/lora%201/trainer_state.json",)


def test_only_the_beginning_of_other_files_is_asked_for(logs, tmp_path):
    (logs / "lora 0" / "large.json").write_text(json.dumps({"note": "x" * 3_000_000}))
    with web(tmp_path / "requests.txt", logs.parent, "--ranges") as server:
        replay.load(f"{server.url}/runs")
        spans = [line.split("bytes=")[1] for line in server.requests() if "large.json bytes=" in line]
    assert spans
    assert max(int(span.split("-")[1]) for span in spans) < 300_000


@pytest.mark.parametrize("style", ["table", "json", "csv", "markdown"])
@pytest.mark.parametrize("command", ["inspect", "simulate", "sweep", "choose", "overview"])
def test_no_output_shows_credentials(style, command, logs, tmp_path):
    (logs / "denied.jsonl").write_text("{}")
    options = ["--user", "olga:open-sesame-17", "--token", "sig_0123456789abcdef"]
    with web(tmp_path / "requests.txt", logs.parent, *options) as server:
        address = f"127.0.0.1:{server.port}"
        url = f"http://olga:open-sesame-17@{address}/runs/lora%201/trainer_state.json?token=sig_0123456789abcdef"
        words = [command, url, "--format", style]
        words += ["--policy", "patience=2"] if command in ("simulate", "sweep") else []
        result = CliRunner().invoke(cli, words)
    assert result.exit_code in (0, 3), result.output
    for secret in ("open-sesame", "olga", "sig_0123", "token="):
        assert secret not in result.output + result.stderr
    if style == "table":
        assert f"http://{address}/runs/lora%201/trainer_state.json" in "".join(result.output.split())


def test_no_error_shows_credentials(logs, tmp_path):
    with web(tmp_path / "requests.txt", logs.parent, "--user", "olga:open-sesame-17") as server:
        address = f"127.0.0.1:{server.port}"
        cases = [
            ["inspect", f"http://olga:wrong-sesame-18@{address}/runs/?key=sig_0123456789abcdef"],
            ["inspect", f"http://olga:wrong/sesame-18@{address}/runs/"],
            [f"http://olga:open-sesame-17@{address}/nowhere/?key=sig_0123456789abcdef"],
            ["simulate", f"http://olga:open-sesame-17@{address}/runs/", "--policy", "patiens=1"],
            ["inspekt", f"http://olga:open-sesame-17@{address}/runs/"],
            ["diff", "patience=1", f"http://olga:open-sesame-17@{address}/runs/"],
            ["inspect", "--monitor", f"http://olga:open-sesame-17@{address}/x", str(logs)],
            ["check", f"http://olga:open-sesame-17@{address}/policies.toml"],
        ]
        for words in cases:
            result = CliRunner().invoke(cli, words)
            assert result.exit_code == 2, (words, result.output)
            assert "Traceback" not in result.output
            for secret in ("sesame", "sig_0123"):
                assert secret not in result.output + result.stderr, words


def test_reports_of_a_check_show_no_credentials(logs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with web(tmp_path / "requests.txt", logs.parent, "--user", "olga:open-sesame-17") as server:
        address = f"127.0.0.1:{server.port}"
        url = f"http://olga:open-sesame-17@{address}/runs/"
        Path("policies.toml").write_text('[policies.main]\nspec = "patience=2"\nmin_saved = "90%"\n')
        made = CliRunner().invoke(cli, ["check", "policies.toml", url, "--update"])
        assert made.exit_code in (0, 1, 3), made.output
        names = ("junit", "sarif", "code-quality", "comment")
        reports = [word for name in names for word in (f"--{name}", f"out.{name}")]
        outputs = [made.output + made.stderr, Path("replay.lock").read_text()]
        for style in ("text", "json", "markdown", "github"):
            result = CliRunner().invoke(cli, ["check", "policies.toml", url, "--format", style, *reports])
            assert result.exit_code in (0, 1, 3), result.output
            outputs.append(result.output + result.stderr)
        page = CliRunner().invoke(cli, ["report", url, "--out", "page.html"])
        assert page.exit_code == 0, page.output
        outputs += [page.output, Path("page.html").read_text()]
        outputs += [Path(f"out.{name}").read_text() for name in names]
    for text in outputs:
        assert "sesame" not in text
        assert "olga" not in text


def test_the_lock_of_a_check_names_the_url(logs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    port = free_port()
    log = tmp_path / "requests.txt"
    words = ["-m", "tests.remote.web_server", logs.parent, "PORT"]
    with serving(log, words, port=port) as server:
        Path("policies.toml").write_text(
            f'logs = ["{server.url}/runs"]\n[policies.main]\nspec = "patience=2"\n'
        )
        assert CliRunner().invoke(cli, ["check", "policies.toml", "--update"]).exit_code == 0
        lock = Path("replay.lock").read_text()
        assert f'"{server.url}/runs/lora 1/trainer_state.json"' in lock
        again = CliRunner().invoke(cli, ["check", "policies.toml", "--strict", "--require-lock"])
        assert again.exit_code == 0, again.output
        changed = state(1)
        changed["log_history"][3]["eval_loss"] = 9.0
        (logs / "lora 1" / "trainer_state.json").write_text(json.dumps(changed))
        (logs / "lora 2" / "trainer_state.json").unlink()
        result = CliRunner().invoke(cli, ["check", "policies.toml"])
        assert result.exit_code == 1
        shown = "".join(result.output.split())
        assert f"{server.url}/runs/lora1/trainer_state.json" in shown
        assert f"{server.url}/runs/lora2/trainer_state.json" in shown


def test_a_lock_tells_two_queries_of_one_file_apart(logs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        (logs / f"export-{number}.json").write_text(json.dumps(state(number)))
    with web(tmp_path / "requests.txt", logs) as server:
        urls = [f"{server.url}/export.json?run={number}&token=s3cr3t-of-{number}" for number in (1, 2)]
        Path("policies.toml").write_text(f'logs = {urls}\n[policies.main]\nspec = "patience=2"\n')
        made = CliRunner().invoke(cli, ["check", "policies.toml", "--update"])
        assert made.exit_code == 0, made.output
        lock = Path("replay.lock").read_text()
        assert lock.count(f"{server.url}/export.json?query-") >= 2
        assert "s3cr3t" not in lock + made.output
        (logs / "export-2.json").write_text(json.dumps(state(3)))
        result = CliRunner().invoke(cli, ["check", "policies.toml"])
        shown = "".join(result.output.split())
        one, other = (str(as_path(url)) for url in urls)
        assert other in shown
        assert one not in shown


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere/", "no such file or folder"),
        ("nowhere.json", "404"),
        ("denied.jsonl", "403"),
        ("broken.jsonl", "500"),
        ("half.jsonl", "ended"),
    ],
)
def test_what_the_server_refuses_is_one_sentence(name, said, logs, tmp_path):
    for other in ("denied.jsonl", "broken.jsonl", "half.jsonl"):
        (logs / other).write_text('{"step": 1}\n' * 20_000)
    with web(tmp_path / "requests.txt", logs) as server:
        result = CliRunner().invoke(cli, ["inspect", f"{server.url}/{name}"])
    assert result.exit_code == 2
    assert said in result.output
    assert f"{server.url}/{name}".rstrip("/") in "".join(result.output.split())
    assert "Traceback" not in result.output


def test_a_host_that_is_not_there():
    for url in (f"http://127.0.0.1:{free_port()}/runs", "http://no-such-host.invalid/runs/"):
        result = CliRunner().invoke(cli, ["inspect", url])
        assert result.exit_code == 2
        assert "host" in result.output
        assert url.rstrip("/") in result.output


def test_a_bad_file_costs_only_itself(logs, tmp_path):
    for name in ("denied.jsonl", "broken.jsonl", "half.jsonl"):
        (logs / name).write_text('{"step": 1}\n' * 20_000)
    with web(tmp_path / "requests.txt", logs) as server:
        result = remote.read(f"{server.url}/")
    assert len(result.runs) == 4
    unread = {f.log.rpartition("/")[2]: f for f in result.findings if f.kind is Kind.UNREADABLE}
    assert set(unread) == {"denied.jsonl", "broken.jsonl", "half.jsonl"}
    assert all(finding.log.startswith(f"{server.url}/") for finding in unread.values())


def test_links_that_lead_elsewhere_are_not_followed(logs, tmp_path):
    links = [
        "trainer_state.json",
        "../secret.json",
        "%2e%2e%2fsecret.json",
        "..%5csecret.json",
        "c:secret.json",
        "%00.json",
        "a%0ab.json",
        "/etc/passwd",
        "http://127.0.0.1:1/other.json",
        "?C=N;O=D",
        "./",
        "../",
    ]
    folder = logs / "lora 1"
    (folder / "page.html").write_text(
        "<!DOCTYPE html>" + "".join(f'<a href="{link}">x</a>\n' for link in links)
    )
    (logs / "secret.json").write_text(json.dumps(state(7)))
    with web(tmp_path / "requests.txt", folder) as server:
        result = remote.read(f"{server.url}/")
        asked = server.requests()
    assert len(result.runs) == 1
    assert not any("secret" in line or "passwd" in line for line in asked)
    (finding,) = [one for one in result.findings if one.kind is Kind.UNSAFE_NAME]
    assert finding["count"] == 5


def test_limits_are_stated(logs, tmp_path):
    with web(tmp_path / "requests.txt", logs.parent) as server:
        url = f"{server.url}/runs"
        few = remote.read(url, limits=Limits(files=2))
        small = remote.read(url, limits=Limits(file_bytes=80_000))
        with pytest.raises(InputError):
            remote.read(url, limits=Limits(total_bytes=10))
        names = remote.read(url, limits=Limits(names=8))
    (finding,) = [one for one in few.findings if one.kind is Kind.REMOTE_LIMIT]
    assert (finding["part"], finding["limit"]) == ("files", 2)
    assert finding["left"] > 0
    assert not [
        one for one in small.findings if one.kind is Kind.REMOTE_LIMIT
    ]  # what is no log needs no limit
    assert [one["part"] for one in names.findings if one.kind is Kind.REMOTE_LIMIT] == ["names"]


def copies(folder):
    return [path.name for path in Path(folder).iterdir() if path.name.startswith("replay-")]


@pytest.mark.parametrize("words", [["inspect"], ["simulate", "--policy", "patience=nonsense"]])
def test_the_copies_are_private_and_removed(words, logs, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    with web(tmp_path / "requests.txt", logs.parent) as server:
        done = subprocess.run(
            [sys.executable, "-m", "replay", words[0], f"{server.url}/runs", *words[1:]],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == (0 if words == ["inspect"] else 2), done.stderr
    assert not copies(folder)
    assert str(folder) not in done.stdout + done.stderr


def test_copies_go_with_what_was_read_from_them(logs, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with web(tmp_path / "requests.txt", logs.parent) as server:
        result = remote.read(f"{server.url}/runs")
        (copy,) = copies(tmp_path)
        assert (tmp_path / copy).stat().st_mode & 0o077 == 0
        del result
        assert not copies(tmp_path)
        replay.load(f"{server.url}/runs")
        assert not copies(tmp_path)


def test_local_and_remote_logs_together(logs, tmp_path):
    with web(tmp_path / "requests.txt", logs.parent) as server:
        result = remote.read([logs / "own", f"{server.url}/runs"])
    assert len(result.runs) == 4
    assert len(result.duplicates) == 1


def test_commands_suggest_the_url(logs, tmp_path):
    with web(tmp_path / "requests.txt", logs.parent) as server:
        result = CliRunner().invoke(cli, [f"{server.url}/runs"])
    assert result.exit_code == 0, result.output
    assert f"replay choose {server.url}/runs" in result.output
