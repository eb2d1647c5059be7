"""Policies of other packages, by a small package that is installed like any other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "worse-rules"
version = "1.0"

[project.entry-points."stop_replay.policies"]
fall = "worse_rules.fall:Fall"
broken = "worse_rules.broken:Broken"
patience = "worse_rules.unusable:Patience"
all = "worse_rules.unusable:All"
number = "worse_rules.unusable:NUMBER"
abstract = "worse_rules.unusable:Abstract"
plain = "worse_rules.unusable:Plain"
spaced = "worse_rules.unusable:Spaced"
fall-again = "worse_rules.unusable:FallAgain"

[tool.setuptools]
packages = ["worse_rules"]
"""

# without `from __future__ import annotations`, so that the types of the fields are types
FALL = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.policies import Policy, Trace, format_value, param


@dataclass(frozen=True)
class Fall(Policy):
    """Stop when the metric has got worse FALL evals in a row."""

    name: ClassVar[str] = "fall"

    fall: int = param("evals in a row that are worse than the one before", minimum=1, sets_threshold=True)

    def signal_threshold(self, mode):
        return float(self.fall)

    def trace(self, batch):
        worse = np.zeros(batch.shape, dtype=bool)
        worse[:, 1:] = batch.oriented[:, 1:] > batch.oriented[:, :-1]
        evals = np.arange(batch.shape[1])
        since = np.maximum.accumulate(np.where(worse, -1, evals), axis=1)
        return Trace(batch, (evals - since).astype(float))

    def reason(self, trace, run, eval):
        value = format_value(trace.batch.values[run, eval])
        return f"worse {int(trace.signal[run, eval])} times, now {value}"
'''

UNUSABLE = """
from dataclasses import dataclass
from replay.policies import Policy
from worse_rules.fall import Fall

NUMBER = 3

class Abstract(Policy):
    name = "abstract"

class Plain(Fall):
    name = "plain"

@dataclass(frozen=True)
class Patience(Fall):
    name = "patience"

@dataclass(frozen=True)
class All(Fall):
    name = "all"

@dataclass(frozen=True)
class Spaced(Fall):
    name = "falls | rises"

@dataclass(frozen=True)
class FallAgain(Fall):
    name = "fall"
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the package is installed in."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PROJECT)
    package = source / "worse_rules"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "fall.py").write_text(FALL)
    (package / "broken.py").write_text("raise ImportError('no module\\nnamed torch')\n")
    (package / "unusable.py").write_text(UNUSABLE)
    offline = ["--quiet", "--no-index", "--no-build-isolation", "--no-deps"]
    pip = [sys.executable, "-m", "pip", "install", *offline, "--target", target, source]
    done = subprocess.run(pip, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def replay(installed, logs):
    """Runs a command of replay on the logs, with the package installed."""

    def run(*words, code=0):
        path = os.pathsep.join([str(ROOT), str(installed)])
        done = subprocess.run(
            [sys.executable, "-m", "replay", *words],
            cwd=logs.parent,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "80"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_it_is_simulated_like_any_other(replay):
    done = replay(
        "simulate", "logs", "--policy", "fall=2", "--policy", "fall:fall=3,every=2", "--format", "json"
    )
    document = json.loads(done.stdout)
    rows = {row["run"]: row for row in document["outcomes"] if row["policy"] == "fall=2"}
    assert len(rows) == 10
    assert {row["reason"][:13] for row in rows.values()} == {"worse 2 times"}
    assert replay("explain", "logs", "--policy", "fall=2").stdout


def test_it_is_listed_with_its_package(replay):
    document = json.loads(replay("policies", "--format", "json").stdout)
    rows = {row["policy"]: row for row in document["policies"]}
    assert (rows["fall"]["tool"], rows["fall"]["example"]) == ("package worse-rules", "fall=3")
    assert rows["fall"]["what"] == "Stop when the metric has got worse FALL evals in a row."
    assert "package worse-rules:" in replay("policies", "--verbose").stdout
    assert "package worse-rules:" in replay("policies", "fall").stdout
    assert "Rules of other packages: fall (worse-rules)" in " ".join(replay("policies").stdout.split())


def test_it_is_swept_where_it_is_named_and_not_as_one_of_all(replay):
    def swept(*words):
        rows = json.loads(replay("sweep", "logs", *words, "--format", "json").stdout)["policies"]
        return [row["policy"] for row in rows]

    assert swept("--grid", "fall=1,2", "--grid", "every=1,2") == [
        "fall=1",
        "fall=1,every=2",
        "fall=2",
        "fall=2,every=2",
    ]
    assert "fall=3" in swept("--grid", "rule=gl,fall")  # around the value of its example
    assert not any("fall" in policy for policy in swept("--grid", "rule=all"))


def test_what_cannot_be_used_is_reported_once_and_skipped(replay):
    done = replay("policies")
    flat = " ".join(done.stderr.split())
    for entry, reason in {
        "broken": "worse_rules.broken:Broken fails with ImportError: no module named torch",
        "patience": "replay itself has the name 'patience'",
        "all": "replay itself has the name 'all'",
        "number": "worse_rules.unusable:NUMBER is not a subclass of replay.policies.Policy",
        "abstract": "worse_rules.unusable:Abstract does not define reason, signal_threshold, trace",
        "plain": "worse_rules.unusable:Plain is not a frozen dataclass",
        "spaced": "worse_rules.unusable:Spaced has the name 'falls | rises', which a specification cannot",
        "fall-again": "package worse-rules has the name 'fall', too",
    }.items():
        assert flat.count(f"warning: policy {entry} of package worse-rules is skipped: {reason}") == 1
    assert done.stderr.count("warning:") == 8
    assert "table.py" not in done.stderr


def test_packages_are_not_asked_for_policies_that_replay_has(replay):
    assert "worse-rules" not in replay("simulate", "logs", "--policy", "patience=3,min_delta=0.1").stderr
    unknown = replay("simulate", "logs", "--policy", "fal=2", code=2)
    assert "Did you mean fall?" in unknown.stderr
