"""A pytest plugin: each limit, expectation and comparison with the lock of a file of policies as a test.

``pytest --replay-policies policies.toml`` adds them to the tests that run. They fail where ``replay check``
with the same options has another exit code than 0: on a regression, and on what the logs cannot decide unless
the file says otherwise. Warnings are among pytest's own. Without the option the plugin does nothing, and it
imports nothing heavy before then: it is loaded by every run of pytest where this package is installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from replay.check.config import Config, Entry
    from replay.check.model import Checked, PolicyResult
    from replay.data.finding import Finding
    from replay.readers import ColumnMap

__all__ = ["PolicyWarning"]


class PolicyWarning(pytest.PytestWarning):
    """What a check warns of, as pytest lists it."""

    __module__ = "pytest"


class _Failure(Exception):
    """What fails a test; its text is all that is shown."""


#: The options on columns of tables, which replay check has as well.
_COLUMNS = (
    ("step", "COLUMN", "The column of a table that holds the step"),
    ("metric", "COLUMN[=NAME]", "A column of a table that holds a metric of held-out data (repeatable)"),
    ("split", "COLUMN", "The column that says on which set a row was measured"),
    ("run-column", "COLUMN", "The column that says to which run a row belongs"),
    ("columns", "FILE", "A TOML file with step, metrics, split and run"),
)
_COLLECTED = pytest.StashKey[set[Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("stop-replay", "early-stop policies (stop-replay)")
    group.addoption(
        "--replay-policies",
        action="append",
        default=[],
        metavar="FILE",
        help="Check the stop policies of this TOML file, each limit as a test (repeatable).",
    )
    group.addoption(
        "--replay-lock",
        metavar="FILE",
        help="The lock to compare with (default: replay.lock beside the file of policies).",
    )
    group.addoption(
        "--replay-logs",
        action="append",
        default=[],
        metavar="PATH",
        help="A file or folder of logs (repeatable; default: those that the file of policies names).",
    )
    group.addoption("--replay-require-lock", action="store_true", help="Fail where there is no lock.")
    group.addoption(
        "--replay-strict",
        action="store_true",
        help="Also fail on warnings and on a lock that is not up to date.",
    )
    for name, metavar, what in _COLUMNS:
        group.addoption(
            f"--replay-{name}",
            action="append" if name == "metric" else "store",
            metavar=metavar,
            help=f"{what}, as for replay check.",
        )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse files that are not there."""
    for path in _files(config):
        if not path.is_file():
            raise pytest.UsageError(f"--replay-policies {path}: there is no such file")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> _File | None:
    """Collect a file of policies where pytest comes across it."""
    wanted = _files(parent.config)
    if not wanted or _absolute(file_path) not in wanted:
        return None
    parent.config.stash.setdefault(_COLLECTED, set()).add(_absolute(file_path))
    return _File.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Collect those that pytest did not come across: they lie elsewhere, or in a folder that it passes
    over.
    """
    collected = config.stash.get(_COLLECTED, set[Path]())
    for path in _files(config):
        if path not in collected:
            items.extend(session.genitems(_File.from_parent(session, path=path)))


def _files(config: pytest.Config) -> list[Path]:
    given: Sequence[str] = config.getoption("replay_policies", default=[])
    return list(dict.fromkeys(_absolute(config.invocation_params.dir / path) for path in given))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100


class _File(pytest.File):
    """A file of policies. It is checked once, when the first of its tests runs."""

    @cached_property
    def config_of_policies(self) -> Config:
        from replay.check.config import read_config

        return read_config(self.path)

    @cached_property
    def checked(self) -> Checked:
        from replay.api import read
        from replay.check.checking import check
        from replay.urls import as_path, is_url

        folder = self.config.invocation_params.dir
        name = self.config.getoption("replay_lock", default=None)
        columns = _stated_columns(self.config)
        return check(
            self.path,
            [
                as_path(log) if is_url(log) else folder / log
                for log in self.config.getoption("replay_logs", default=[])
            ],
            lock=None if name is None else folder / name,
            require_lock=self.config.getoption("replay_require_lock", default=False),
            strict=self.config.getoption("replay_strict", default=False),
            read=lambda paths: read(paths, columns=columns),
        )

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        from replay.errors import ReplayError

        try:
            entries = self.config_of_policies.policies
        except ReplayError as error:
            raise self.CollectError(str(error)) from None
        yield _Logs.from_parent(self, name="logs")
        for entry in entries:
            yield _Policy.from_parent(self, name=entry.name, entry=entry)


def _stated_columns(config: pytest.Config) -> ColumnMap | None:
    """What the options say of the columns of tables; None where they say nothing."""
    from replay.readers import ColumnMap

    stated: dict[str, Any] = {}
    for name, _, _ in _COLUMNS:
        value = config.getoption(f"replay_{name.replace('-', '_')}", default=None)
        if value:
            stated[name.removesuffix("-column")] = tuple(value) if name == "metric" else value
    if "columns" in stated:
        stated["columns"] = config.invocation_params.dir / stated["columns"]
    return ColumnMap.of(**stated) if stated else None


class _Policy(pytest.Collector):
    """One policy: its limits, its expectations, and what it does beside what it did."""

    parent: _File

    def __init__(self, *, entry: Entry, **rest: Any) -> None:
        super().__init__(**rest)
        self.entry = entry

    @property
    def result(self) -> PolicyResult:
        return next(policy for policy in self.parent.checked.policies if policy.name == self.entry.name)

    def collect(self) -> Iterator[pytest.Item]:
        parts = [(None, self.entry.limits), *self.entry.groups.items()]
        for group, limits in parts:
            for limit in limits:
                name = limit.name if group is None else f"{limit.name}[{group}]"
                yield _Limit.from_parent(self, name=name, limit=limit.name, group=group)
        for place, expected in enumerate(self.entry.expect):
            yield _Expected.from_parent(self, name=f"expect[{expected.run}]", place=place)
        yield _Locked.from_parent(self, name="lock")


class _Test(pytest.Item):
    """One test: fails, skips or warns by the findings that are its own."""

    def findings(self) -> Iterable[Finding]:
        raise NotImplementedError

    def runtest(self) -> None:
        by_level: dict[str, list[str]] = {}
        for finding in self.findings():
            by_level.setdefault(finding.severity, []).append(_describe(finding))
        for text in by_level.get("warning", []):
            self.warn(PolicyWarning(text))
        if "note" in by_level:
            self.add_report_section("call", "notes", "\n".join(by_level["note"]))
        failures = [
            text if level == "regression" else f"{level}: {text}"
            for level in ("regression", "undecided")
            for text in by_level.get(level, [])
        ]
        if failures:
            raise _Failure("\n".join(failures))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from replay.errors import ReplayError

        if isinstance(excinfo.value, _Failure | ReplayError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, 0, self.nodeid.partition("::")[2]  # without a line pytest cannot place a warning


def _describe(finding: Finding) -> str:
    """A finding's sentence, and what happened before and now."""
    from replay.errors import printable
    from replay.report.sentences import sentence
    from replay.report.sentences.check import after_line, before_line

    lines = [sentence(finding)]
    changes = (("before:", before_line(finding)), ("now:", after_line(finding)))
    lines += [f"  {when:7} {line}" for when, line in changes if line is not None]
    return "\n".join(printable(line) for line in lines)


class _Logs(_Test):
    """What is found of the logs and of the lock as a whole."""

    parent: _File

    def findings(self) -> Iterable[Finding]:
        from replay.report.sentences import sentences

        checked = self.parent.checked
        for text in sentences(checked.warnings):
            self.warn(PolicyWarning(text))
        return checked.findings


class _Limit(_Test):
    """One limit, of all runs or of a group's."""

    parent: _Policy

    def __init__(self, *, limit: str, group: str | None, **rest: Any) -> None:
        super().__init__(**rest)
        self.limit, self.group = limit, group

    def findings(self) -> Iterable[Finding]:
        return [finding for finding in self.parent.result.findings if self.about(finding)]

    def about(self, finding: Finding) -> bool:
        if finding.get("group") != self.group or finding.kind in _AGAINST_LOCK:
            return False
        limits = finding.get("limits") or finding.get("every") or ()
        return self.limit in (finding.get("limit"), *limits)


#: Kinds of findings on limits that the comparison with the lock makes.
_AGAINST_LOCK = ("loosened", "changed-limit")


class _Expected(_Test):
    """One run that must stop where the file says."""

    parent: _Policy

    def __init__(self, *, place: int, **rest: Any) -> None:
        super().__init__(**rest)
        self.place = place

    def findings(self) -> Iterable[Finding]:
        return [
            finding
            for finding in self.parent.result.findings
            if finding.kind == "expect" and finding["row"] == self.place
        ]


class _Locked(_Test):
    """The stops beside those of the lock, and whatever else is found of the policy."""

    parent: _Policy

    def findings(self) -> Iterable[Finding]:
        return [
            finding
            for finding in self.parent.result.findings
            if finding.kind in _AGAINST_LOCK
            or (
                finding.kind != "expect"
                and finding.get("limit") is None
                and not (finding.get("limits") or finding.get("every"))
            )
        ]

    def runtest(self) -> None:
        super().runtest()
        if self.parent.parent.checked.lock is None:
            pytest.skip("there is no lock to compare with; replay check --update makes it")
