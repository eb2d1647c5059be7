"""Whoever adds a policy, a format, a kind of finding or a report touches two files.

Each is added here to a copy of the package, and runs in a process of its own.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_log

ROOT = Path(__file__).parents[1]

POLICY = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import format_value, param


@dataclass(frozen=True)
class Below(Policy):
    """Stop at the first eval whose value is below BELOW."""

    name: ClassVar[str] = "below"

    below: float = param("the value to get below", example="0.6")

    def signal_threshold(self, mode: Mode) -> float:
        return 1.0

    def trace(self, batch: CurveBatch) -> Trace:
        return Trace(batch, np.where(batch.values < self.below, 1.0, 0.0))

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        return f"{format_value(float(trace.batch.values[run, eval]))} is below {format_value(self.below)}"
'''

FORMAT = """
from collections.abc import Sequence
from pathlib import Path

from replay.data.finding import Finding, Kind
from replay.data.info import RunInfo
from replay.readers.assemble import assemble
from replay.readers.format import Format, Loaded, UnusableLog
from replay.readers.points import PointsBuilder, open_text
from replay.readers.series_names import held_out_of


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    points = PointsBuilder()
    with open_text(files[0]) as file:
        next(file)
        for line in file:
            step, value = line.split()
            points.add(float(step), {"val_loss": float(value)})
    series = points.points()
    if not series:
        raise UnusableLog(Finding(Kind.NO_ROWS, log=str(files[0])))
    info = RunInfo(format=FORMAT.name, sources=(str(files[0]),))
    return Loaded(assemble(run_id, series, held_out=held_out_of(series), info=info), [])


FORMAT = Format(
    name="plain",
    summary="one step and one loss per line",
    files="*.plain",
    sniff=lambda path, head: head.startswith(b"plain losses"),
    load=_load,
)
"""

SENTENCE = """def _odd_hours(finding: Finding) -> str:
    return f"{len(finding.runs)} of {finding['total']} runs trained at night; ask somebody to look at them"


"""

BUILDER = '''
from collections.abc import Sequence

from replay.data.run import Run
from replay.report.document import Block, Document, Heading, Records, Table


def build(runs: Sequence[Run]) -> Document:
    """Report how long each run is."""
    rows = [{"run": run.id, "evals": len(run)} for run in runs]
    return Document(lambda: _blocks(rows), lambda: {"lengths": rows}, lambda: Records(("run", "evals"), rows))


def _blocks(rows: list[dict[str, object]]) -> list[Block]:
    cells = [[str(row["run"]), str(row["evals"])] for row in rows]
    return [Heading("Lengths"), Table(["run", "evals"], cells)]
'''

COMMAND = '''
from pathlib import Path

import click

from replay.cli.options import output_options, paths_argument
from replay.cli.output import show
from replay.cli.progress import read_logs


@click.command("lengths")
@paths_argument
@output_options
def command(paths: tuple[Path, ...], style: str, out: Path | None) -> None:
    """How many evals each run has."""
    from replay.report.lengths import build

    show(build(read_logs(paths).runs), style, out)
'''


class Package:
    """A copy of the package in a folder, which can be changed and run."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(ROOT / "replay", folder / "replay", ignore=shutil.ignore_patterns("__pycache__"))
        self.before = self.files()

    def files(self):
        return {path: path.read_text(encoding="utf-8") for path in (self.folder / "replay").rglob("*.py")}

    def add(self, name, text):
        path = self.folder / "replay" / name
        assert not path.exists()
        path.write_text(text, encoding="utf-8")

    def replace(self, name, *pairs):
        path = self.folder / "replay" / name
        text = path.read_text(encoding="utf-8")
        for old, new in pairs:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def touched(self):
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path, text in self.files().items()
            if self.before.get(path) != text
        )

    def python(self, *args):
        """Run python on the copy; its standard output, and its standard error."""
        done = subprocess.run(
            [sys.executable, *map(str, args)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    def replay(self, *args):
        return self.python("-m", "replay", *args)[0]


@pytest.fixture
def package(tmp_path):
    copy = Package(tmp_path)
    where = copy.python("-c", "import replay; print(replay.__file__)")[0].strip()
    assert Path(where) == tmp_path / "replay" / "__init__.py"
    return copy


@pytest.fixture
def logs(tmp_path):
    write_log(tmp_path / "logs" / "a", [1.0, 0.8, 0.5, 0.7, 0.4])
    write_log(tmp_path / "logs" / "b", [1.0, 0.9, 0.8])
    return tmp_path / "logs"


def test_a_policy(package, logs):
    package.add("policies/rules/below.py", POLICY)
    package.replace(
        "policies/__init__.py",
        (
            "\nfrom replay.policies.rules.budget import",
            "\nfrom replay.policies.rules.below import Below\nfrom replay.policies.rules.budget import",
        ),
        ("\n        Patience,\n", "\n        Patience,\n        Below,\n"),
    )
    assert package.touched() == ["replay/policies/__init__.py", "replay/policies/rules/below.py"]
    document = json.loads(
        package.replay(
            "simulate", logs, "--policy", "below=0.6", "--policy", "below=0.6,start=4", "--format", "json"
        )
    )
    outcomes = {(row["policy"], row["run"]): row for row in document["outcomes"]}
    stopped = {key: row["stopped_eval"] for key, row in outcomes.items() if key[0].startswith("below")}
    assert stopped == {
        ("below=0.6", "a"): 3,
        ("below=0.6", "b"): None,
        ("below=0.6,start=4", "a"): 5,
        ("below=0.6,start=4", "b"): None,
    }
    assert outcomes["below=0.6", "a"]["reason"] == "0.5 is below 0.6"
    assert outcomes["below=0.6", "a"]["saved"] == pytest.approx(0.4)
    swept = json.loads(package.replay("sweep", logs, "--grid", "below=0.45,0.6", "--format", "json"))
    assert [row["stopped"] for row in swept["policies"]] == [1, 1]
    listed = json.loads(package.replay("policies", "--format", "json"))["policies"]
    assert [row["example"] for row in listed if row["policy"] == "below"] == ["below=0.6"]


def test_a_format(package, tmp_path):
    package.add("readers/formats/plain.py", FORMAT)
    package.replace(
        "readers/registry.py",
        (
            "from replay.readers.format import Format\n",
            "from replay.readers.format import Format\nfrom replay.readers.formats import plain\n",
        ),
        ("    jsonl.FORMAT,\n", "    jsonl.FORMAT,\n    plain.FORMAT,\n"),
    )
    assert package.touched() == ["replay/readers/formats/plain.py", "replay/readers/registry.py"]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "night.plain").write_text("plain losses\n10 1.0\n20 0.5\n30 0.75\n")
    (run,) = json.loads(package.replay("inspect", "logs", "--format", "json"))["runs"]
    assert (run["format"], run["evals"]) == ("plain", 3)
    assert (run["best"], run["best_step"]) == (0.5, 20)
    rows = json.loads(package.replay("simulate", "logs", "--policy", "patience=1", "--format", "json"))[
        "outcomes"
    ]
    assert [row["stopped_step"] for row in rows if row["policy"] == "patience=1"] == [30]
    assert "plain  (*.plain)" in package.replay("formats", "plain")


def test_a_kind_of_finding(package):
    package.replace(
        "data/finding.py",
        ('    RESTART = "restart"\n', '    RESTART = "restart"\n    ODD_HOURS = "odd-hours"\n'),
    )
    table = "SENTENCES: dict[Kind, Callable[[Finding], str]] = {\n"
    package.replace(
        "report/sentences/readers.py", (table, f"{SENTENCE}{table}    Kind.ODD_HOURS: _odd_hours,\n")
    )
    assert package.touched() == ["replay/data/finding.py", "replay/report/sentences/readers.py"]
    code = """
from replay.cli.output import warn
from replay.data.finding import Finding, Kind
from replay.report.sentences import sentence

finding = Finding(Kind.ODD_HOURS, runs=("a", "b"), facts={"total": 3})
print(sentence(finding))
warn([finding])
"""
    text = "2 of 3 runs trained at night; ask somebody to look at them"
    assert package.python("-c", code) == (f"{text}\n", f"warning: {text}\n")


def test_a_report(package, logs):
    package.add("report/lengths.py", BUILDER)
    package.add("cli/lengths.py", COMMAND)
    assert package.touched() == ["replay/cli/lengths.py", "replay/report/lengths.py"]
    screen = package.replay("lengths", logs)
    assert [line.split() for line in screen.splitlines() if line] == [
        ["Lengths"],
        ["run", "evals"],
        ["a", "5"],
        ["b", "3"],
    ]
    rows = [{"run": "a", "evals": 5}, {"run": "b", "evals": 3}]
    assert json.loads(package.replay("lengths", logs, "--format", "json")) == {"lengths": rows}
    assert list(csv.DictReader(io.StringIO(package.replay("lengths", logs, "--format", "csv")))) == [
        {"run": "a", "evals": "5"},
        {"run": "b", "evals": "3"},
    ]
    assert "| a | 5 |" in package.replay("lengths", logs, "--format", "markdown")
    assert "lengths" in package.replay("--help")
