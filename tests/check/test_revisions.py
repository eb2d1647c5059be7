"""Revisions of a real git repository: ``check --against`` and ``diff --rev``."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from replay.check.revisions import revision
from replay.cli import cli
from replay.errors import InputError
from tests.conftest import curve, write_log

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="these tests need git")

POLICIES = 'logs = ["logs"]\n[policies.short]\nspec = "patience=6"\n'


def git(folder, *words):
    command = ["git", "-c", "user.name=someone", "-c", "user.email=someone@example.org", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "change")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository whose policies are in a folder below its root, with one commit."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    folder = tmp_path / "repository" / "models"
    for number in range(9):
        write_log(folder / "logs" / f"trial{number}", curve(number), seed=number)
    (folder / "policies.toml").write_text(POLICIES)
    git(tmp_path, "init", "--quiet", "--initial-branch", "trunk", str(folder.parent))
    commit(folder.parent)
    monkeypatch.chdir(folder)
    return folder


def run(*words, code=0):
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == code, result.output
    assert f"{os.sep}replay-" not in result.output
    return " ".join(result.output.split())


def change(project, old, new):
    text = (project / "policies.toml").read_text()
    assert old in text
    (project / "policies.toml").write_text(text.replace(old, new))


def test_against_a_revision_without_a_lock(project):
    assert "compared with trunk:models/policies.toml" in run("check", "policies.toml", "--against", "trunk")
    change(project, "patience=6", "patience=1")
    said = run("check", "policies.toml", "--against", "trunk")
    assert "short has changed from patience=6 to patience=1" in said
    assert "--update" not in said
    assert not (project / "replay.lock").exists()
    assert git(project, "status", "--short") == " M policies.toml\n"


def test_a_lock_that_was_updated_in_the_same_change_hides_nothing(project):
    run("check", "policies.toml", "--update")
    commit(project)
    change(project, "patience=6", "patience=1")
    run("check", "policies.toml", "--update")
    assert "short has changed" not in run("check", "policies.toml")
    said = run("check", "policies.toml", "--against", "trunk")
    assert "compared with trunk:models/replay.lock" in said
    assert "note: short has changed from patience=6 to patience=1" in said


def test_against_below_a_repository_that_is_reached_by_a_link(project, monkeypatch):
    """As /home may be a link to another disk; the revision is that of the repository itself."""
    run("check", "policies.toml", "--update")
    commit(project)
    change(project, "patience=6", "patience=1")
    run("check", "policies.toml", "--update")
    link = project.parents[1] / "link"
    link.symlink_to(project.parent, target_is_directory=True)
    for place, file in (
        (link / "models", "policies.toml"),
        (link, "models/policies.toml"),
        (project.parents[1], "link/models/policies.toml"),
        (project.parents[1], link / "models" / "policies.toml"),
    ):
        monkeypatch.chdir(place)
        said = run("check", str(file), "--against", "trunk")
        assert "compared with trunk:models/replay.lock" in said
        assert "note: short has changed from patience=6 to patience=1" in said
        assert "vanished" not in said


def test_against_with_a_lock_and_policies_below_a_folder_that_is_a_link(project, monkeypatch):
    """The folder is a link to another one of the repository: git has the files under that one's name."""
    (project.parent / "kept").mkdir()
    run("check", "policies.toml", "--lock", "../kept/ours.lock", "--update")
    (project.parent / "locks").symlink_to("kept", target_is_directory=True)
    (project.parent / "current").symlink_to("models", target_is_directory=True)
    commit(project.parent)
    change(project, "patience=6", "patience=1")
    monkeypatch.chdir(project.parent)
    for file, lock in (
        ("models/policies.toml", "locks/ours.lock"),
        ("current/policies.toml", "kept/ours.lock"),
        ("current/policies.toml", "locks/ours.lock"),
    ):
        said = run("check", file, "--lock", lock, "--against", "trunk")
        assert "compared with trunk:kept/ours.lock" in said
        assert "note: short has changed from patience=6 to patience=1" in said
        assert "vanished" not in said


def test_against_and_update_exclude_each_other(project):
    assert "give one of the two" in run("check", "policies.toml", "--against", "HEAD", "--update", code=2)


def test_diff_of_policies_of_a_revision(project):
    change(project, "patience=6", "patience=1")
    said = run("diff", "--rev", "HEAD", "policies.toml")
    assert "A HEAD:models/policies.toml B policies.toml" in said
    assert "A patience=6 B patience=1" in said
    commit(project)
    assert run("diff", "--rev", "HEAD~1", "--rev", "HEAD", "policies.toml") == said.replace(
        "HEAD:models/policies.toml B policies.toml", "HEAD~1:models/policies.toml B HEAD:models/policies.toml"
    ).replace("replay diff --rev HEAD", "replay diff --rev 'HEAD~1' --rev HEAD")


def test_diff_of_logs_of_a_revision(project):
    write_log(project / "logs" / "trial4", curve(40), seed=40)
    shutil.rmtree(project / "logs" / "trial7")
    said = run("diff", "--rev", "HEAD", "logs", "--policy", "patience=2")
    assert "A HEAD:models/logs B logs" in said
    assert "mean of 8 runs" in said
    # the policies of a revision run on its logs
    assert "mean of 8 runs" in run("diff", "--rev", "HEAD", "policies.toml")


def test_diff_of_locks_of_a_revision_and_of_pipes(project):
    run("check", "policies.toml", "--update")
    commit(project)
    change(project, "patience=6", "patience=2")
    run("check", "policies.toml", "--update")
    said = run("diff", "--rev", "HEAD", "replay.lock")
    assert "A HEAD:models/replay.lock B replay.lock" in said
    command = f"{sys.executable} -m replay diff <(git show HEAD:models/replay.lock) <(cat replay.lock)"
    done = subprocess.run(["bash", "-c", command], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    piped = " ".join((done.stdout + done.stderr).split())
    assert "A /dev/fd/" in piped
    figures = piped.partition("mean of")[2].partition("Next:")[0]
    assert "lost" in figures
    assert figures in said


def test_what_a_revision_cannot_give_is_named(project):
    assert "Did you mean trunk?" in run("check", "policies.toml", "--against", "trnk", code=2)
    assert "HEAD has no models/none.toml" in run("diff", "--rev", "HEAD", "none.toml", code=2)
    assert "--output=x is not a revision" in run("diff", "--rev=--output=x", "policies.toml", code=2)
    assert "given 3 times" in run("diff", *["--rev", "HEAD"] * 3, "policies.toml", code=2)


def test_outside_a_repository(tmp_path, monkeypatch):
    (tmp_path / "policies.toml").write_text(POLICIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (
        "not a git repository" in CliRunner().invoke(cli, ["diff", "--rev", "HEAD", "policies.toml"]).output
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(cli, ["diff", "--rev", "HEAD", "policies.toml"])
    assert (result.exit_code, "git is not installed" in result.output) == (2, True)


def test_a_branch_that_was_only_fetched(project, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(project.parent), str(clone))
    git(clone, "checkout", "--quiet", "-b", "feature")
    git(clone, "branch", "-D", "trunk")
    with revision("trunk", clone / "models") as found:
        assert found.require(clone / "models" / "policies.toml").read_text() == POLICIES


def test_links_pointers_and_logs_that_git_does_not_have(project):
    body = (project / "logs" / "trial0" / "eval_log.jsonl").read_bytes()
    digest = hashlib.sha256(body).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(body)}\n"
    (project / "logs" / "trial0" / "eval_log.jsonl").write_text(pointer)
    (project / "again.toml").symlink_to("policies.toml")
    (project / "away.toml").symlink_to("/etc/passwd")
    commit(project)
    with revision("HEAD", project) as found:
        assert found.get(project / "away.toml") is None
        assert found.require(project / "again.toml").read_text() == POLICIES
        assert found.require(project / "logs" / "trial0" / "eval_log.jsonl").read_text() == pointer
    stored = project.parent / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4]
    stored.mkdir(parents=True)
    (stored / digest).write_bytes(body)
    with revision("HEAD", project) as found:
        assert found.require(project / "logs").joinpath("trial0", "eval_log.jsonl").read_bytes() == body
        write_log(project / "ignored" / "one", curve(1))
        logs = found.get_logs(project / "ignored")
        assert (logs / "one" / "eval_log.jsonl").read_bytes() == (
            project / "ignored" / "one" / "eval_log.jsonl"
        ).read_bytes()
        with pytest.raises(InputError, match="is not in the repository"):
            found.get(project.parent.parent / "elsewhere.toml")
    assert not os.path.lexists(found.copies)
