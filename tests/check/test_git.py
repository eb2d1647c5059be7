"""A check in a real git repository: what a team changes there, and what the check makes of it."""

import codecs
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from replay.check.lock import read_lock
from replay.check.lock_text import _part_of
from replay.report.starting import git_attributes

from ..conftest import write_log

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="these tests need git")

#: Each run falls, pauses for two evals and gets better once more: patience=2 stops it in the pause.
CURVE = [1.0, 0.8, 0.6, 0.65, 0.7, 0.5, 0.45, 0.47, 0.5, 0.52, 0.55, 0.56, 0.57, 0.58, 0.59, 0.6]
POLICIES = """\
logs = ["runs"]
monitor = "eval_loss"

# what new trainings use
[policies.careful]
spec = "patience=4"
max_lost = "20%"
min_saved = "5%"

[policies.hasty]
spec = "patience=2"
max_lost = "70%"

[policies.old]
spec = "patience=3"
max_regret = 0.5
"""


class Repository:
    """A git repository with ten logs, three policies and a committed lock."""

    def __init__(self, top, folder=""):
        self.top, self.folder = top, top / folder
        self.file, self.lock = self.folder / "policies.toml", self.folder / "replay.lock"

    def make(self):
        for number in range(10):
            values = [value * (1 + number / 64) for value in CURVE]
            write_log(self.folder / "runs" / f"run{number}", values, seed=number, every=50 + number)
        self.file.write_text(POLICIES)
        self.git("init", "--quiet", "--initial-branch=main")
        self.check("--update")
        self.commit("first")
        return self

    def git(self, *words, code=0):
        settings = ("user.name=someone", "user.email=someone@example.org", "core.autocrlf=false")
        options = [word for setting in settings for word in ("-c", setting)]
        done = subprocess.run(["git", *options, *words], cwd=self.top, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def commit(self, text):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", text)

    def run(self, *words, **environment):
        env = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "CI"))}
        command = [sys.executable, "-m", "replay", "check", "policies.toml", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=env | environment)

    def check(self, *words, code=0, **environment):
        done = self.run(*words, **environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def log(self, number):
        return self.folder / "runs" / f"run{number}" / "eval_log.jsonl"

    def edit(self, path, *pairs):
        text = path.read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return Repository(tmp_path_factory.mktemp("git")).make().top


@pytest.fixture
def repository(template, tmp_path):
    return Repository(Path(shutil.copytree(template, tmp_path / "repository", symlinks=True)))


@dataclass
class Scenario:
    """A change, the exit code of the check after it, and the kinds of findings that are more than a note."""

    change: object
    code: int = 0
    kinds: set = field(default_factory=set)
    strict: int | None = None


def spec(old, new):
    return lambda here: here.edit(here.file, (f'"{old}"', f'"{new}"'))


def toml(*pairs):
    return lambda here: here.edit(here.file, *pairs)


def rewrite(change, *numbers):
    def changed(here):
        for number in numbers:
            here.log(number).write_bytes(change(here.log(number).read_bytes()))

    return changed


def remove_policy(here):
    text = here.file.read_text()
    here.file.write_text(text[: text.index("[policies.old]")])


def both(*changes):
    def changed(here):
        for change in changes:
            change(here)

    return changed


def retrain(here):
    values = [value * 1.01 for value in CURVE]
    write_log(here.folder / "runs" / "run3", values, seed=77, every=53)


def replace_log(here):
    shutil.copy(here.log(1), here.log(2))


def add_log(here):
    write_log(here.folder / "runs" / "run10", [value * 1.3 for value in CURVE], seed=10)


def add_late_runs(here, count=3):
    """Runs that get better long after any patience has run out."""
    for number in range(count):
        values = [1.0, 0.95] + [0.97 + number / 1000] * 10 + [0.4, 0.2, 0.1, 0.1]
        write_log(here.folder / "runs" / f"late{number}", values, seed=30 + number)


def rename_log(here):
    (here.folder / "runs" / "run3").rename(here.folder / "runs" / "another")


def remove_log(here):
    shutil.rmtree(here.folder / "runs" / "run3")


def link_logs(here):
    shutil.move(here.folder / "runs", here.folder / "store")
    (here.folder / "runs").symlink_to("store", target_is_directory=True)


def reorder(here):
    head, *tables = re.split(r"(?m)^(?=\[policies)", here.file.read_text())
    here.file.write_text(head + "\n".join(reversed(tables)))


def reorder_keys(data):
    rows = [json.loads(line) for line in data.splitlines()]
    lines = [json.dumps(dict(reversed(row.items())), separators=(",", ":")) for row in rows]
    return "\n".join(lines).encode()


def lfs_pointer(here):
    here.log(3).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"
    )


def edit_value(data):
    return data.replace(b'"eval_loss": 0.4', b'"eval_loss": 0.3', 1)


def round_values(data):
    return re.sub(rb'("eval_loss": 0\.\d\d)\d+', rb"\1", data)


def rename_metric(data):
    return data.replace(b"eval_loss", b"valid_loss")


def other_notation(data):
    return re.sub(rb'("eval_loss": )([\d.]+)', lambda found: b"%s%.17E" % (found[1], float(found[2])), data)


def duplicate_log(here):
    shutil.copytree(here.folder / "runs" / "run3", here.folder / "runs" / "run3-again")


def move_logs(here):
    (here.folder / "runs" / "spring").mkdir()
    for number in range(10):
        (here.folder / "runs" / f"run{number}").rename(here.folder / "runs" / "spring" / f"run{number}")


def pack_logs(here):
    for number in range(10):
        packed = here.log(number).with_name("eval_log.jsonl.gz")
        packed.write_bytes(gzip.compress(here.log(number).read_bytes()))
        here.log(number).unlink()


def link_policies(here):
    (here.folder / "settings").mkdir()
    here.file.rename(here.folder / "settings" / "stops.toml")
    here.file.symlink_to(Path("settings", "stops.toml"))


def accept(here):
    here.run("--update")


def expect(eval, spec):
    """The old policy with another spec, and run 3 expected to stop there."""

    def changed(here):
        head = POLICIES[: POLICIES.index("[policies.old]")]
        expectation = f'[[policies.old.expect]]\nrun = "run3"\neval = {eval}\n'
        here.file.write_text(f'{head}[policies.old]\nspec = "{spec}"\nmax_regret = 0.5\n{expectation}')

    return changed


CRLF = rewrite(lambda data: data.replace(b"\n", b"\r\n"), *range(10))
STALE = 1  # what --strict makes of a lock that is not up to date
SCENARIOS = {
    "nothing": Scenario(lambda here: None, strict=0),
    # policies
    "policy loosened": Scenario(spec("patience=4", "patience=1"), 1, {"limit", "worse"}),
    "policy worse within its limits": Scenario(spec("patience=3", "patience=1"), 1, {"worse"}),
    "policy better": Scenario(spec("patience=2", "patience=2,min_delta=0"), strict=0),
    "policy changed and no worse": Scenario(spec("patience=3", "patience=3,start=2"), strict=STALE),
    "policy removed": Scenario(remove_policy, 1, {"removed-policy"}),
    "policy added": Scenario(
        lambda here: here.file.write_text(POLICIES + '[policies.new]\nspec = "patience=5"\n'), strict=STALE
    ),
    "policy renamed": Scenario(toml(("policies.old", "policies.aged")), strict=STALE),
    "policy renamed and worse": Scenario(
        both(toml(("policies.old", "policies.aged")), spec("patience=3", "patience=1")), 1, {"worse"}
    ),
    "two policies renamed, one of them worse": Scenario(
        both(
            toml(("policies.old", "policies.aged"), ("policies.careful", "policies.patient")),
            spec("patience=4", "patience=2,start=1"),
        ),
        1,
        {"worse", "limit"},
    ),
    "policy renamed and its limit removed": Scenario(
        toml(("policies.old", "policies.aged"), ("max_regret = 0.5\n", "")), 1, {"loosened"}
    ),
    "policies in another order": Scenario(reorder, strict=0),
    "spec written otherwise": Scenario(spec("patience=3", " patience = 3.0 "), strict=0),
    # limits
    "limit loosened": Scenario(toml(('"20%"', '"60%"')), 1, {"loosened"}),
    "minimum loosened": Scenario(toml(('"5%"', '"1%"')), 1, {"loosened"}),
    "limit removed": Scenario(toml(('max_lost = "70%"\n', "")), 1, {"loosened"}),
    "limit in another unit": Scenario(toml(("0.5", '"90%"')), 1, {"loosened"}),
    "expectation changed with its policy": Scenario(
        both(expect(10, "patience=3"), accept, expect(9, "patience=2,start=5")), 1, {"loosened"}
    ),
    "expectation added": Scenario(expect(10, "patience=3"), strict=STALE),
    "limit tightened": Scenario(toml(('"70%"', '"60%"')), strict=STALE),
    "limit written otherwise": Scenario(toml(('"20%"', '"20.0 %"')), strict=0),
    "limit added": Scenario(toml(("max_regret = 0.5", "max_regret = 0.5\nmin_saved = '1%'")), strict=STALE),
    "check told to pass": Scenario(
        both(toml(("monitor", "fail_on = []\nmonitor")), spec("patience=4", "patience=1")), 1, {"loosened"}
    ),
    "kind of finding told to pass": Scenario(
        both(toml(("monitor", "severity.vanished = 'note'\nmonitor")), remove_log), 1, {"loosened"}
    ),
    # settings
    "another metric": Scenario(toml(('"eval_loss"', '"test_loss"')), 3, {"changed-settings"}),
    "another unit": Scenario(toml(("monitor", "unit = 'tokens'\nmonitor")), 3, {"changed-settings"}),
    # logs
    "log edited": Scenario(rewrite(edit_value, 3), 1, {"changed-log"}),
    "log edited and policy worse": Scenario(
        both(rewrite(edit_value, 3), spec("patience=3", "patience=1")), 1, {"changed-log", "worse"}
    ),
    "log retrained": Scenario(retrain, 1, {"changed-log"}),
    "log replaced by another one": Scenario(replace_log, 1, {"changed-log"}),
    "log added": Scenario(add_log, strict=STALE),
    "logs added that leave a limit open": Scenario(add_late_runs, 3, {"limit"}, strict=1),
    "logs added that leave a limit open, where that passes": Scenario(
        both(toml(("monitor", 'undecided = "warn"\nmonitor')), accept, add_late_runs), 0, strict=1
    ),
    "logs added that break a limit": Scenario(lambda here: add_late_runs(here, 12), 1, {"limit"}),
    "log removed": Scenario(remove_log, 1, {"vanished"}),
    "log renamed": Scenario(rename_log, strict=STALE),
    "log renamed and edited": Scenario(both(rewrite(edit_value, 3), rename_log), 1, {"vanished"}),
    "log cut short": Scenario(
        rewrite(lambda data: data[: len(data) // 2], 3), 1, {"changed-log", "censored"}
    ),
    "log emptied": Scenario(rewrite(lambda data: b"", 3), 3, {"changed-log"}),
    "log is a pointer of LFS": Scenario(lfs_pointer, 3, {"changed-log"}),
    "values rounded in a log": Scenario(rewrite(round_values, 3), 1, {"changed-log"}),
    "metric renamed in a log": Scenario(rewrite(rename_metric, 3), 3, {"changed-log"}),
    "log duplicated": Scenario(duplicate_log, strict=0),
    "all logs moved to another folder": Scenario(move_logs, strict=STALE),
    # what says the same
    "numbers in another notation": Scenario(rewrite(other_notation, *range(10)), strict=0),
    "logs packed with gzip": Scenario(pack_logs, strict=STALE),
    "blank lines in logs": Scenario(rewrite(lambda data: data.replace(b"\n", b"\n\n"), 0, 5), strict=0),
    "a byte order mark in logs": Scenario(rewrite(lambda data: codecs.BOM_UTF8 + data, 0, 5), strict=0),
    "the policies file is a link": Scenario(link_policies, strict=0),
    "line ends of all logs": Scenario(CRLF, strict=0),
    "line ends of logs and policy worse": Scenario(
        both(CRLF, spec("patience=3", "patience=1")), 1, {"worse"}
    ),
    "line ends of everything": Scenario(
        both(
            CRLF,
            lambda here: here.lock.write_bytes(here.lock.read_bytes().replace(b"\n", b"\r\n")),
            lambda here: here.file.write_bytes(here.file.read_bytes().replace(b"\n", b"\r\n")),
        ),
        strict=0,
    ),
    "a newline more in three logs": Scenario(rewrite(lambda data: data + b"\n", 1, 4, 7), strict=0),
    "no newline at the end": Scenario(rewrite(lambda data: data.rstrip(b"\n"), 1, 4, 7), strict=0),
    "keys in another order": Scenario(rewrite(reorder_keys, 2, 3), strict=0),
    "logs behind a link": Scenario(link_logs, strict=0),
    # the lock
    "lock removed": Scenario(lambda here: here.lock.unlink(), strict=1),
    "lock edited": Scenario(
        lambda here: here.edit(here.lock, ('"spec": "patience=4"', '"spec": "patience=1"')), 2
    ),
    "lock with marks of a conflict": Scenario(
        lambda here: here.edit(here.lock, (',{"policy": "old"}', '<<<<<<< ours\n,{"policy": "old"}')), 2
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if place % 3 else [])
        for place, name in enumerate(SCENARIOS)
    ],
)
def test_what_a_change_means(repository, name):
    scenario = SCENARIOS[name]
    scenario.change(repository)
    done = repository.run("--format", "json")
    assert done.returncode == scenario.code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if scenario.code == 2:
        assert "replay.lock: the lock" in done.stderr
        repository.check("--update")
        assert repository.git("status", "--short") == "", "an update makes the same lock again"
        return
    findings = json.loads(done.stdout)["findings"]
    assert {one["kind"] for one in findings if one["level"] in ("regression", "undecided")} == scenario.kinds
    if scenario.strict is not None:
        repository.check("--strict", code=scenario.strict)


@pytest.mark.parametrize(
    "name", ["policy loosened", "log edited", "limit loosened", "log removed", "policy removed"]
)
def test_an_update_accepts_a_change(repository, name):
    SCENARIOS[name].change(repository)
    broken = "limit" in SCENARIOS[name].kinds
    repository.check("--update", code=1 if broken else 0)
    done = repository.run("--strict", "--format", "json")
    kinds = {one["kind"] for one in json.loads(done.stdout)["findings"]}
    assert kinds - {"noise"} <= {"limit"}


def test_a_checkout_that_converts_line_ends(repository, tmp_path):
    """As on Windows, where an update must then make the same lock."""
    clone = tmp_path / "clone"
    windows = ("-c", "core.autocrlf=true", "clone", "--config", "core.autocrlf=true")
    repository.git(*windows, "--quiet", str(repository.top), str(clone))
    there = Repository(clone)
    assert b"\r\n" in there.log(0).read_bytes()
    there.check("--strict")
    there.lock.unlink()
    there.check("--update")
    assert there.lock.read_bytes() == repository.lock.read_bytes()


def test_a_lock_of_the_first_version(repository, tmp_path):
    """Its digests are of raw bytes: it is understood in a checkout with other line ends too."""
    import hashlib

    lock = read_lock(repository.lock)
    document = {
        "format": "replay lock",
        "version": 1,
        "tool": lock.tool,
        "settings": dict(lock.settings),
        "logs": {path: {"runs": list(log.runs), "sha256": log.sha256} for path, log in lock.logs.items()},
        "policies": {
            name: {
                "spec": policy.spec,
                "summary": dict(policy.summary),
                "stops": {
                    run: [stop.stopped_eval, stop.stopped_step, stop.reason, *figures]
                    for run, stop in policy.stops.items()
                    for figures in [(stop.saved, stop.regret, stop.relative_regret, stop.lost)]
                },
            }
            for name, policy in lock.policies.items()
        },
    }
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    repository.lock.write_text(json.dumps(document | {"checksum": hashlib.sha256(canonical).hexdigest()}))
    new = (repository.top / ".git").exists() and repository.git("show", "HEAD:replay.lock")
    for change in (lambda here: None, CRLF):
        change(repository)
        said = " ".join(repository.check().split())
        assert "the lock is of version 1 and does not hold the limits" in said
        assert "replay check policies.toml --update" in said
    repository.edit(repository.file, ('"patience=3"', '"patience=1"'))
    repository.check(code=1)
    repository.edit(repository.file, ('"patience=1"', '"patience=3"'))
    repository.check("--update")
    assert repository.lock.read_text() == new


@pytest.mark.parametrize(
    "environment", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "C.UTF-8"}]
)
def test_the_locale_changes_nothing(repository, environment):
    (repository.folder / "runs" / "run3").rename(repository.folder / "runs" / "lauf-ü")
    repository.edit(repository.file, ("policies.old", 'policies."früher"'))
    repository.check("--update", **environment)
    made = repository.lock.read_bytes()
    repository.lock.unlink()
    repository.check("--update", PYTHONUTF8="1")
    assert repository.lock.read_bytes() == made
    assert codecs.BOM_UTF8 not in made
    repository.check("--strict", **environment)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/St_Johns"])
def test_the_time_zone_changes_nothing(repository, zone):
    repository.check("--strict", TZ=zone)
    repository.check("--update", TZ=zone)
    assert repository.git("status", "--short") == ""


def test_a_metric_that_was_renamed_everywhere_is_a_mistake_that_names_what_there_is(repository):
    rewrite(rename_metric, *range(10))(repository)
    done = repository.run(GITHUB_ACTIONS="true")
    assert done.returncode == 2
    assert "no metric 'eval_loss'" in done.stderr
    assert "valid_loss" in done.stderr
    assert "::error file=policies.toml,line=2,title=replay could not check::" in done.stderr
    repository.edit(repository.file, ('"eval_loss"', '"valid_loss"'))
    found = json.loads(repository.run("--format", "json").stdout)["findings"]
    assert "changed-settings" in {one["kind"] for one in found if one["level"] == "undecided"}


# Branches


def change_on_branch(repository, branch, *pairs, update=("--update",)):
    repository.git("checkout", "--quiet", "-b", branch, "main")
    repository.edit(repository.file, *pairs)
    repository.run(*update)
    repository.commit(branch)


def test_branches_that_change_different_policies_merge(repository):
    """Neighbours in the lock, with a whole and with a partial update; the result is what an update makes."""
    change_on_branch(repository, "one", ('spec = "patience=4"', 'spec = "patience=5"'))
    change_on_branch(
        repository,
        "two",
        ('spec = "patience=2"', 'spec = "patience=1"'),
        update=("--update", "--policy", "hasty"),
    )
    change_on_branch(repository, "three", ("max_regret = 0.5", "max_regret = 0.6"))
    repository.git("checkout", "--quiet", "main")
    for branch in ("one", "two", "three"):
        repository.git("merge", "--quiet", "--no-edit", branch)
    merged = repository.lock.read_bytes()
    said = repository.run("--strict")
    assert "the lock" not in said.stderr
    repository.lock.unlink()
    repository.run("--update")
    assert repository.lock.read_bytes() == merged
    specs = {name: policy.spec for name, policy in read_lock(repository.lock).policies.items()}
    assert specs == {"careful": "patience=5", "hasty": "patience=1", "old": "patience=3"}


def test_branches_that_add_and_remove_policies_merge(repository):
    change_on_branch(repository, "one", ("# what new", '[policies.a]\nspec = "patience=5"\n\n# what new'))
    change_on_branch(repository, "two", ('[policies.old]\nspec = "patience=3"\nmax_regret = 0.5\n', ""))
    repository.git("checkout", "--quiet", "main")
    for branch in ("one", "two"):
        repository.git("merge", "--quiet", "--no-edit", branch)
    assert list(read_lock(repository.lock).policies) == ["a", "careful", "hasty"]
    repository.check()


ADDED = '[policies.{}]\nspec = "patience=5"\nmax_lost = "30%"\n\n'


def add_on_branches(repository, *names):
    """Branches that each add a policy, at different places of the policies file, and update the lock."""
    places = ("# what new", "[policies.hasty]", "[policies.old]")
    for name, place in zip(names, places, strict=False):
        change_on_branch(repository, name, (place, ADDED.format(name) + place))
    repository.git("checkout", "--quiet", "main")


def merged_is_what_an_update_writes(repository, *names):
    for name in names:
        repository.git("merge", "--quiet", "--no-edit", name)
    merged = repository.lock.read_bytes()
    repository.check("--strict")
    repository.lock.unlink()
    repository.check("--update")
    assert sorted(repository.lock.read_bytes().splitlines()) == sorted(merged.splitlines())
    assert list(read_lock(repository.lock).policies) == sorted(["careful", "hasty", "old", *names])


def test_branches_that_each_add_a_policy_merge(repository):
    """Next to each other by name, and added between the same two policies."""
    add_on_branches(repository, "cosy", "cosier", "even")
    merged_is_what_an_update_writes(repository, "cosy", "cosier", "even")


def in_one_part(count):
    """Names of policies that stand in one part of a lock."""
    names = [f"policy{number}" for number in range(200)]
    part = next(iter(names))
    return [name for name in names if _part_of(name) == _part_of(part)][:count]


def test_branches_that_add_policies_at_one_place_merge_with_the_attributes_of_init(repository):
    """Without them git leaves its marks, which an update removes."""
    one, two = in_one_part(2)
    add_on_branches(repository, one, two)
    repository.git("merge", "--quiet", "--no-edit", one)
    repository.git("merge", "--quiet", "--no-edit", two, code=1)
    said = " ".join(repository.check(code=2).split())
    assert "replay.lock: the lock is damaged: it holds the marks of a merge conflict" in said
    repository.git("merge", "--abort")
    (repository.top / ".gitattributes").write_text("\n".join(git_attributes("replay.lock", {"runs": True})))
    repository.commit("attributes")
    merged_is_what_an_update_writes(repository, one, two)


@pytest.mark.parametrize("changes", [("patience=5", "patience=6"), ("log", "patience=5"), ("log", "log")])
def test_a_wrong_merge_under_those_attributes_is_refused(repository, changes):
    """Git then leaves no marks: the checksums tell that both branches changed one policy, or its logs."""
    (repository.top / ".gitattributes").write_text("\n".join(git_attributes("replay.lock", {"runs": True})))
    repository.commit("attributes")
    for number, change in enumerate(changes):
        repository.git("checkout", "--quiet", "-b", f"branch{number}", "main")
        if change == "log":
            values = [value * (1.2 + number) for value in CURVE]
            write_log(repository.folder / "runs" / f"more{number}", values, seed=20 + number)
        else:
            repository.edit(repository.file, ("patience=4", change))
        repository.check("--update")
        repository.commit(change)
    words = ["merge", "--quiet", "--no-edit", "branch0"]
    settings = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *settings, *words], cwd=repository.top, check=False)
    assert "<<<<<<<" not in repository.lock.read_text()
    if "<<<<<<<" in repository.file.read_text():
        repository.git("checkout", "--theirs", "policies.toml")
    said = " ".join(repository.check(code=2).split())
    assert "replay.lock: the lock is not as replay wrote it (a checksum differs)" in said
    assert "replay check policies.toml --update" in said
    repository.check("--update")
    repository.check("--strict")


def test_branches_that_change_the_same_policy_conflict_and_an_update_settles_it(repository):
    change_on_branch(repository, "one", ('"patience=4"', '"patience=5"'))
    change_on_branch(repository, "two", ('"patience=4"', '"patience=6"'))
    repository.git("merge", "--quiet", "--no-edit", "one", code=1)
    repository.git("checkout", "--theirs", "policies.toml")
    said = " ".join(repository.check(code=2).split())
    assert "the marks of a merge conflict; write it again with replay check policies.toml --update" in said
    assert "merge conflict" in repository.check("--update", "--policy", "careful", code=2)
    repository.check("--update")
    repository.check("--strict")


def test_branches_of_which_one_trained_a_run_again_never_mix_silently(repository):
    """The policies of one branch are about logs that the other has replaced."""
    change_on_branch(repository, "one", ('"patience=3"', '"patience=5"'))
    repository.git("checkout", "--quiet", "-b", "two", "main")
    retrain(repository)
    repository.check("--update")
    repository.commit("two")
    words = ("merge", "--quiet", "--no-edit", "one")
    done = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *words], cwd=repository.top
    )
    if done.returncode:
        repository.git("checkout", "--theirs", "replay.lock")
    said = repository.run("--format", "json")
    assert said.returncode in (1, 2), "not what an update would write, so not passed over"
    repository.check("--update")
    repository.check("--strict")


# Part of a lock


def test_an_update_of_one_policy_keeps_the_rest(repository):
    repository.edit(repository.file, ('"patience=3"', '"patience=1"'), ('"70%"', '"90%"'))
    before = read_lock(repository.lock)
    said = " ".join(repository.check("--update", "--policy", "old", code=1).split())
    assert "regression: hasty: the limit max_lost was 70%" in said, "what is not accepted still fails"
    assert "note: old has a regret " in said
    after = read_lock(repository.lock)
    assert after.policies["old"].spec == "patience=1"
    assert {name: after.policies[name] for name in ("careful", "hasty")} == {
        name: before.policies[name] for name in ("careful", "hasty")
    }
    repository.check("--update", "--policy", "hasty", "--policy", "old")
    made = repository.lock.read_bytes()
    repository.check("--strict")
    repository.lock.unlink()
    repository.check("--update")
    assert repository.lock.read_bytes() == made


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        (
            lambda here: None,
            ("--update", "--policy", "hast"),
            "there are careful, hasty, old",
        ),
        (lambda here: None, ("--policy", "hasty"), "--policy says which part of the lock --update writes"),
        (lambda here: here.lock.unlink(), ("--update", "--policy", "hasty"), "there is no replay.lock"),
        (add_log, ("--update", "--policy", "hasty"), "does not hold the logs as they are now"),
        (rewrite(edit_value, 3), ("--update", "--policy", "hasty"), "(runs/run3/eval_log.jsonl)"),
        (
            toml(("monitor", "unit = 'tokens'\nmonitor")),
            ("--update", "--policy", "hasty"),
            "was made with another unit; leave out --policy",
        ),
    ],
)
def test_where_a_part_cannot_be_updated(repository, change, words, said):
    change(repository)
    before = repository.lock.read_bytes() if repository.lock.exists() else None
    assert said in " ".join(repository.check(*words, code=2).split())
    assert (repository.lock.read_bytes() if repository.lock.exists() else None) == before


def test_a_policy_that_is_gone_is_removed_from_the_lock_by_its_name(repository):
    remove_policy(repository)
    repository.check("--update", "--policy", "old")
    assert list(read_lock(repository.lock).policies) == ["careful", "hasty"]
    repository.check("--strict")


def test_updates_at_the_same_time_do_not_undo_each_other(repository):
    repository.edit(repository.file, ('"patience=4"', '"patience=5"'), ('"patience=3"', '"patience=4"'))
    command = [sys.executable, "-m", "replay", "check", "policies.toml", "--update", "--policy"]
    started = [
        subprocess.Popen([*command, name], cwd=repository.folder, stdout=subprocess.DEVNULL)
        for name in ("careful", "old", "hasty")
    ]
    for process in started:
        process.wait()
    specs = {name: policy.spec for name, policy in read_lock(repository.lock).policies.items()}
    assert specs == {"careful": "patience=5", "hasty": "patience=2", "old": "patience=4"}
    assert sorted(path.name for path in repository.folder.iterdir()) == [
        ".git",
        "policies.toml",
        "replay.lock",
        "runs",
    ]


# Where findings are shown


@pytest.mark.parametrize(
    ("old", "new", "shown", "said"),
    [
        ('max_lost = "20%"', 'max_loss = "20%"', 'max_loss = "20%"', "has no key 'max_loss'"),
        ('"20%"', '"20"', 'max_lost = "20"', "max_lost"),
        ("max_regret = 0.5", "max_regret = -0.5", "max_regret = -0.5", "it is negative"),
        ('spec = "patience=2"', 'spec = "patiens=2"', 'spec = "patiens=2"', "patience"),
        ('spec = "patience=2"\n', "", "[policies.hasty]", "needs spec"),
        ('"70%"', '"70%', 'max_lost = "70%', "Illegal character"),
        ("[policies.old]", "[policies.old", "[policies.old", "Expected ']'"),
        ('monitor = "eval_loss"', "monitor = 3", "monitor = 3", "monitor"),
        ("monitor", 'fail_on = [\n  "moved",\n  "movd",\n]\nmonitor', '  "movd",', "Did you mean moved"),
        ("monitor", "severity.movd = 'note'\nmonitor", "severity.movd = 'note'", "has no key 'movd'"),
        (
            "max_regret = 0.5",
            "max_regret = 0.5\n[[policies.old.expect]]\nrun = 'run3'\neval = 99",
            "eval = 99",
            "has 16 evals",
        ),
        (
            "max_regret = 0.5",
            "max_regret = 0.5\n[[policies.old.expect]]\neval = 9\nrun = 'run33'",
            "run = 'run33'",
            "is not a run of these logs",
        ),
        (
            "max_regret = 0.5",
            "max_regret = 0.5\n[policies.old.groups.news]\nmax_lost = '5%'",
            "[policies.old.groups.news]",
            "of group 'news'",
        ),
        ('logs = ["runs"]', 'logs = [\n  "runs",\n  "rnus",\n]', '  "rnus",', "no such file or folder"),
    ],
)
def test_a_mistake_is_shown_at_its_line(repository, old, new, shown, said):
    """Exit code 2: on GitHub as an annotation, and in the reports for other systems."""
    repository.edit(repository.file, (old, new))
    done = repository.run(
        "--sarif", "out.sarif", "--code-quality", "out.json", "--junit", "out.xml", GITHUB_ACTIONS="true"
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    (found,) = re.findall(
        r"^::error file=policies\.toml,line=(\d+),title=replay could not check::(.*)", done.stderr, re.M
    )
    lines = repository.file.read_text().splitlines()
    assert lines[int(found[0]) - 1] == shown
    assert said in found[1]
    (issue,) = json.loads((repository.folder / "out.json").read_text())
    assert (issue["location"]["path"], issue["location"]["lines"]["begin"]) == (
        "policies.toml",
        int(found[0]),
    )
    (result,) = json.loads((repository.folder / "out.sarif").read_text())["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == int(found[0])
    assert said in (repository.folder / "out.xml").read_text()


def test_findings_are_at_their_line_below_the_root_of_the_repository(tmp_path):
    there = Repository(tmp_path, "models/small").make()
    there.edit(
        there.file, ('spec = "patience=4"', 'spec = "patience=1"'), ('max_lost = "70%"', 'max_lost = "90%"')
    )
    there.log(3).write_bytes(edit_value(there.log(3).read_bytes()))
    done = there.run("--sarif", "out.sarif", "--code-quality", "out.json", GITHUB_ACTIONS="true")
    assert done.returncode == 1
    lines = there.file.read_text().splitlines()
    shown = {
        (match["title"].split("%3A")[0], match["file"], lines[int(match["line"]) - 1])
        for match in re.finditer(
            r"^::error file=(?P<file>[^,]*),line=(?P<line>\d+),title=(?P<title>[^:]*)::", done.stdout, re.M
        )
    }
    assert ("careful", "models/small/policies.toml", 'max_lost = "20%"') in shown
    assert ("careful", "models/small/policies.toml", 'spec = "patience=1"') in shown
    assert ("hasty", "models/small/policies.toml", 'max_lost = "90%"') in shown
    assert "models/small/runs/run3/eval_log.jsonl" in {file for _, file, _ in shown}
    places = [one["location"] for one in json.loads((there.folder / "out.json").read_text())]
    assert {(place["path"], lines[place["lines"]["begin"] - 1]) for place in places} >= {
        ("models/small/policies.toml", 'max_lost = "90%"')
    }
    results = json.loads((there.folder / "out.sarif").read_text())["runs"][0]["results"]
    regions = [one["locations"][0]["physicalLocation"] for one in results]
    assert {(one["artifactLocation"]["uri"], lines[one["region"]["startLine"] - 1]) for one in regions} >= {
        ("models/small/policies.toml", 'spec = "patience=1"')
    }
