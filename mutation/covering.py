"""A pytest plugin that notes which tests run which lines of the core, and how long each test takes.

    MUTATION_COVERAGE=folder pytest -p mutation.covering -n 2 tests/engine

Each process writes a JSON file of its own into the folder: ``seconds`` by test, and ``lines``, the tests by
path and line. Source: coverage.py 7.17, whose contexts are the tests.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

__all__ = ["Covering", "read_coverage"]

_FOLDER = "MUTATION_COVERAGE"


class Covering:
    """Follows the tests of one process."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.seconds: dict[str, float] = {}
        self.coverage = coverage.Coverage(
            data_file=None, config_file=False, include=[str(root / "replay" / "*")], branch=False
        )
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Take the lines that run from here on as those of this test."""
        begin = time.monotonic()
        self.coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.monotonic() - begin
            self.coverage.switch_context("")

    def pytest_sessionfinish(self) -> None:
        """Write what was seen."""
        self.coverage.stop()
        data = self.coverage.get_data()
        lines = {
            Path(path).relative_to(self.root).as_posix(): {
                str(line): [test for test in tests if test]
                for line, tests in data.contexts_by_lineno(path).items()
            }
            for path in data.measured_files()
        }
        out = self.folder / f"{os.getpid()}.json"
        out.write_text(json.dumps({"seconds": self.seconds, "lines": lines}), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Follow the tests of this process where a folder is named."""
    if _FOLDER in os.environ:
        config.pluginmanager.register(Covering(config.rootpath, Path(os.environ[_FOLDER])))


def read_coverage(folder: Path) -> tuple[dict[str, float], dict[str, dict[int, set[str]]]]:
    """What the processes have written: seconds by test, and the tests by path and line."""
    seconds: dict[str, float] = {}
    lines: dict[str, dict[int, set[str]]] = {}
    for path in sorted(folder.glob("*.json")):
        part = json.loads(path.read_text(encoding="utf-8"))
        seconds |= part["seconds"]
        for name, tests in part["lines"].items():
            own = lines.setdefault(name, {})
            for line, names in tests.items():
                own.setdefault(int(line), set()).update(names)
    return seconds, lines
