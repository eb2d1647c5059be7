"""The copies of what URLs name, read as if they lay there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from replay import readers
from replay.data.finding import Finding
from replay.data.run import Run
from replay.data.step_signals import StepSignals, StepSignalsSource
from replay.errors import InputError
from replay.readers.registry import registry
from replay.remote.failures import RemoteError
from replay.remote.fetching import Counting, Fetch
from replay.remote.filesystems import file_system, limited_time, quiet_libraries
from replay.remote.limits import Limits
from replay.remote.listing import list_files
from replay.remote.names import Names
from replay.remote.safe_paths import as_name
from replay.urls import Copies, Url

__all__ = ["Mirror"]

#: Endings of tables that are read where the user names their columns.
_TABLES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".parquet"})
#: What is counted while a server is asked what it has, which takes a number of requests that is not known.
_UNCOUNTED = iter(())


@dataclass(frozen=True)
class _KeptSignals:
    """Step signals in a copy, which stays as long as they may be asked for."""

    source: StepSignalsSource
    copies: Copies

    @property
    def path(self) -> Path:
        """The copy."""
        return self.source.path

    def read(self) -> StepSignals:
        """Read them. Raises InputError or OSError."""
        return self.source.read()


class Mirror:
    """A private folder with the copies of some URLs."""

    def __init__(self, limits: Limits | None = None, *, tables: bool = False) -> None:
        self._limits = limits or Limits()
        self._tables = _TABLES if tables else frozenset[str]()
        self._copies = Copies()
        self._findings: list[Finding] = []
        self._without: list[str] = []
        self._count = 0

    def fetch(self, url: Url, counting: Counting) -> Path:
        """Copy what can be a log below a URL; returns the path of the copy. Raises RemoteError."""
        home = self._copies.folder / str(self._count)
        self._count += 1
        with quiet_libraries():
            if url.scheme == "mlflow":
                return self._fetch_experiment(url, home, counting)
            system, path = file_system(url)
            with limited_time(url.scheme):
                return self._fetch_files(url, system, path, home, counting)

    def _fetch_experiment(self, url: Url, home: Path, counting: Counting) -> Path:
        from replay.remote.experiment import FetchExperiment
        from replay.remote.tracker import Tracker

        with counting(_UNCOUNTED):
            tracker = Tracker(url)
        folder = home / as_name(tracker.experiment.name, "experiment")
        folder.mkdir(parents=True)
        self._copies.add(folder, str(url))
        fetch = FetchExperiment(url, tracker, folder, self._limits)
        with tracker.settings():
            fetch.run(counting)
        self._findings += fetch.findings
        if not fetch.copied:
            raise RemoteError(f"{url}: the experiment has no runs")
        return folder

    def _fetch_files(self, url: Url, system: Any, path: str, home: Path, counting: Counting) -> Path:
        names = Names(registry().formats, self._tables)
        with counting(_UNCOUNTED):
            listing = list_files(url, system, path, names, self._limits)
        shown = str(url)
        above = shown.rpartition("/")[0] if listing.is_file else shown
        parts = [unquote(part) for part in above.partition("://")[2].split("/") if part]
        folder = home / as_name(parts[-1] if parts else url.scheme, "logs")
        folder.mkdir(parents=True)
        if listing.is_file:
            self._copies.add(folder / listing.entries[0].path, shown)
        self._copies.add(folder, above)
        fetch = Fetch(listing, system, names, folder, self._limits)
        fetch.run(counting)
        self._findings += [*listing.findings, *fetch.findings]
        if listing.is_file and fetch.copied:
            return folder / listing.entries[0].path
        if not fetch.copied:
            self._without.append(f"{shown} ({len(listing.entries)} files listed)")
        return folder

    def read(
        self, paths: Sequence[Path], progress: Callable[[Sequence[Any]], Any], columns: Any
    ) -> readers.ReadResult:
        """What `replay.readers.read` makes of the copies, with URLs in the place of their paths."""
        try:
            result = readers.read(paths, progress, columns)
        except readers.NothingFound as error:
            findings = [*self._findings, *map(self._of_finding, error.findings)]
            text = self._copies.shown(str(error))
            if self._without:
                text += f"; nothing below {', '.join(self._without[:3])} is a log by its name and content"
            hint = "" if self._without else error.hint  # it speaks of the copies
            raise readers.NothingFound(text, findings, hint) from None
        except InputError as error:
            raise InputError(self._copies.shown(str(error))) from None
        result.runs = [self._of_run(run) for run in result.runs]
        result.findings = [*self._findings, *map(self._of_finding, result.findings)]
        result.duplicates = [(self._copies.shown(log), run) for log, run in result.duplicates]
        result.shown = self._copies.shown  # keeps the copies as long as the result
        return result

    def _of_run(self, run: Run) -> Run:
        info = run.info
        signals = info.step_signals
        return run.replace(
            id=self._copies.shown(run.id),
            info=info.replace(
                sources=tuple(map(self._copies.shown, info.sources)),
                group=self._translate(info.group),
                findings=tuple(map(self._of_finding, info.findings)),
                extra=self._translate(dict(info.extra)),
                step_signals=None if signals is None else _KeptSignals(signals, self._copies),
            ),
        )

    def _of_finding(self, finding: Finding) -> Finding:
        return replace(
            finding,
            log=self._translate(finding.log),
            runs=self._translate(finding.runs),
            facts=self._translate(finding.facts),
        )

    def _translate(self, value: Any) -> Any:
        """A value of a finding or a log, with URLs in the place of paths of copies."""
        if isinstance(value, str):
            return self._copies.shown(value)
        if isinstance(value, Path):
            text = self._copies.shown(str(value))
            return value if text == str(value) else text
        if isinstance(value, Finding):
            return self._of_finding(value)
        if isinstance(value, Mapping):
            return {key: self._translate(item) for key, item in value.items()}
        if type(value) in (tuple, list):
            return type(value)(map(self._translate, value))
        return value
