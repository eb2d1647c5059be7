"""Writes the runs of an MLflow experiment as MLflow's file store has them, for the reader of that store."""

from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from replay.data.finding import Finding, Kind
from replay.remote.fetching import Counting
from replay.remote.limits import Limits
from replay.remote.safe_paths import safe_name
from replay.remote.tracker import Tracker, reason_of
from replay.urls import Url

__all__ = ["FetchExperiment"]

#: Metrics of the machine, which no reader takes.
_SYSTEM = "system/"
#: What a database stores for infinity.
_LARGEST = sys.float_info.max


class FetchExperiment:
    """Writes the experiment of a tracker into a folder; ``findings`` say what was left out, ``copied`` how
    many runs were written.
    """

    def __init__(self, url: Url, tracker: Tracker, folder: Path, limits: Limits) -> None:
        self._url, self._tracker, self._folder, self._limits = url, tracker, folder, limits
        self._bytes, self._lock = 0, Lock()
        self._unsafe: list[str] = []
        self._over: list[str] = []
        self.findings: list[Finding] = []
        self.copied = 0

    def run(self, counting: Counting) -> None:
        """Write all runs. Raises RemoteError where they cannot be listed."""
        limits, experiment = self._limits, self._tracker.experiment
        facts = {"experiment_id": experiment.experiment_id, "name": experiment.name}
        _write(self._folder / "meta.yaml", _yaml(facts))
        with counting(iter(())):
            runs, more = self._tracker.runs(limits.runs)
        if more:
            self._note(Kind.REMOTE_LIMIT, part="runs", limit=limits.runs, left=None)
        with counting(runs) as counted, ThreadPoolExecutor(limits.requests) as pool:
            try:
                for _, _ in zip(counted, pool.map(self._write_run, runs), strict=True):
                    self.copied += 1
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if self._unsafe:
            names = tuple(sorted(self._unsafe))
            self._note(Kind.UNSAFE_NAME, names=names[:20], count=len(names))
        if self._over:
            names = tuple(sorted(self._over))
            limit = {"part": "total_bytes", "limit": limits.total_bytes}
            self._note(Kind.REMOTE_LIMIT, **limit, left=len(names), names=names[:3])
        self.findings.sort(key=lambda finding: finding.log or "")

    def _note(self, kind: Kind, **facts: Any) -> None:
        self.findings.append(Finding(kind, log=str(self._url), facts=facts))

    def _write_run(self, run: Any) -> None:
        info = run.info
        if not safe_name(info.run_id):
            self._unsafe.append(str(info.run_id))
            return
        home = self._folder / info.run_id
        facts = {name: getattr(info, name, None) for name in ("run_id", "run_name", "status", "start_time")}
        facts["run_name"] = run.data.tags.get("mlflow.runName") or facts["run_name"]
        _write(home / "meta.yaml", _yaml({**facts, "lifecycle_stage": info.lifecycle_stage}))
        (home / "metrics").mkdir()
        if info.lifecycle_stage == "deleted":
            return
        for key, value in sorted(run.data.params.items()):
            if self._is_name(home, "params", key):
                self._add(home, "params", key, str(value))
        for key in sorted(run.data.metrics):
            if not key.startswith(_SYSTEM) and self._is_name(home, "metrics", key):
                self._write_metric(home, key)

    def _is_name(self, home: Path, kind: str, key: str) -> bool:
        """Whether the name of a metric or a parameter can be that of a file; others are noted."""
        if all(map(safe_name, key.split("/"))):
            return True
        self._unsafe.append(f"{home.name}/{kind}/{key}")
        return False

    def _write_metric(self, home: Path, key: str) -> None:
        """Write one metric; whatever goes wrong costs only this one."""
        try:
            values = self._tracker.history(home.name, key)
        except Exception as error:
            log = f"{self._url}/{home.name}/metrics/{key}"
            facts = {"error": reason_of(error), "entry": "file"}
            self.findings.append(Finding(Kind.UNREADABLE, log=log, facts=facts))
            return
        self._add(home, "metrics", key, "".join(map(_line, values)))

    def _add(self, home: Path, kind: str, key: str, text: str) -> None:
        """Write the file of a metric or a parameter."""
        with self._lock:
            if self._bytes + len(text) > self._limits.total_bytes:
                self._over.append(f"{home.name}/{kind}/{key}")
                return
            self._bytes += len(text)
        try:
            _write(home / kind / key, text)
        except (FileExistsError, NotADirectoryError):  # a metric "a" beside "a/b", which no folder can hold
            self._unsafe.append(f"{home.name}/{kind}/{key}")


def _line(value: Any) -> str:
    """A value as a line of a metric file: its time, the value and its step."""
    number = float(value.value)
    if abs(number) >= _LARGEST:
        number = math.copysign(math.inf, number)
    return f"{int(value.timestamp)} {number!r} {int(value.step)}\n"


def _yaml(facts: dict[str, Any]) -> str:
    return "".join(f"{name}: {_scalar(value)}\n" for name, value in facts.items())


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    text = " ".join(str(value).splitlines())
    return "'" + text.replace("'", "''") + "'"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", errors="surrogatepass", newline="") as file:
        file.write(text)
