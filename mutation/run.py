"""Draw mutants of the core from a seed, run the tests on each, and say which no test has noticed.

    python mutation/run.py --count 300 --seed 1 --jobs 4
    python mutation/run.py --only replay/engine/stops.py --count 20 -- --ignore tests/check/test_diff.py

Each mutant is written into a copy of the repository in a temporary folder, never into the checkout. First all
tests of the core run once, to find out which of them run which line (needs coverage.py). Then each mutant
gets the tests that run its line, the shortest first; where there is none, those of its package. A test that
fails, or that does not come to an end, has caught the mutant. What is given behind ``--`` goes to pytest.
Mutants that behave like the original are listed in equivalent.txt, with the reason, and are not counted.
"""

from __future__ import annotations

import argparse
import compileall
import os
import py_compile
import queue
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mutation.covering import read_coverage  # noqa: E402
from mutation.mutants import Mutant, read  # noqa: E402

PACKAGES = ("engine", "policies", "stats", "search", "check")
#: All tests of the core, and the examples in its docstrings.
CORE = (
    *(f"replay/{package}" for package in PACKAGES),
    "tests/engine",
    "tests/stats",
    "tests/search",
    "tests/check",
    "tests/live/test_verify.py",
    "tests/policies",
)
_COPIED = ("replay", "collect", "mutation", "tests", "pyproject.toml", "conftest.py")
_LINKED = ("sample_logs", "examples", "README.md", "CONTRIBUTING.md", "docs", "benchmarks")


class Checkout:
    """A copy of the repository, that mutants are written into and tests are run in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, folder / name)
        for name in _LINKED:
            if (ROOT / name).exists():
                (folder / name).symlink_to(ROOT / name)
        # by the hash of the source, as a mutant may have the size and the time of the original
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(folder, quiet=2, invalidation_mode=mode)

    def run(self, arguments: list[str], timeout: float | None, **environment: str) -> bool:
        """Whether the tests pass; those that take longer than the timeout (in seconds) do not."""
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "--hypothesis-seed=0",
                *arguments,
            ],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(self.folder),
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            # 5: none of the tests is selected
            return process.wait(timeout) in (0, 5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return False


class Runner:
    """Runs mutants; knows which tests run which line, and how long each takes without a mutant."""

    def __init__(self, checkout: Checkout, jobs: int, arguments: list[str]) -> None:
        self.arguments = arguments
        folder = checkout.folder.with_name("coverage")
        folder.mkdir()
        covering = ["-p", "mutation.covering", "-n", str(jobs), "--dist", "loadfile"]
        if not checkout.run([*covering, *CORE, *arguments], None, MUTATION_COVERAGE=str(folder)):
            raise SystemExit("without any mutant the tests fail")
        self.seconds, self.lines = read_coverage(folder)

    def tests(self, mutant: Mutant) -> list[str]:
        """The tests that run the line of a mutant, the shortest first.

        A line that no test runs may be run as the module is imported, such as the default of a parameter, or
        by a process that a test starts. Such a mutant gets all tests of its package, and those of other
        packages that run its module.
        """
        lines = self.lines.get(mutant.path, {})
        tests = lines.get(mutant.line)
        if not tests:
            own = f"tests/{mutant.path.split('/')[1]}/"
            tests = {test for test in self.seconds if test.startswith(own)}.union(*lines.values())
        return sorted(tests, key=lambda test: (self.seconds[test], test))

    def catches(self, checkout: Checkout, mutant: Mutant) -> bool:
        """Whether a test notices a mutant."""
        tests = self.tests(mutant)
        if not tests:
            return False
        path, listed = checkout.folder / mutant.path, checkout.folder / "tests.txt"
        listed.write_text("\n".join(tests), encoding="utf-8")
        original = path.read_bytes()
        path.write_bytes(mutant.applied(original))
        timeout = 60 + 5 * sum(self.seconds[test] for test in tests)
        try:
            return not checkout.run(["-x", f"@{listed}", *self.arguments], timeout)
        finally:
            path.write_bytes(original)


def equivalent(path: Path) -> dict[str, str]:
    """The reason of each mutant that is listed as equivalent, by its key: two lines per mutant."""
    lines = [
        line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"
    ]
    return {key.strip(): reason.strip() for key, reason in zip(lines[::2], lines[1::2], strict=True)}


def draw(only: list[str], count: int, seed: int) -> list[Mutant]:
    """Mutants of the core, or of some files and folders, drawn from a seed."""
    folders = [ROOT / path for path in only] or [ROOT / "replay" / package for package in PACKAGES]
    files = [path for folder in folders for path in ([folder] if folder.is_file() else folder.rglob("*.py"))]
    mutants = [mutant for path in sorted(files) for mutant in read(path, ROOT)]
    return random.Random(seed).sample(mutants, min(count, len(mutants)))


def main(arguments: list[str]) -> int:
    """Run; the exit code is 0 where every mutant is caught or equivalent."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="what the mutants are drawn from (default 0)")
    parser.add_argument("--count", type=int, default=300, help="number of mutants (default 300)")
    parser.add_argument(
        "--only",
        metavar="PATH",
        action="append",
        default=[],
        help="a file or folder below the root, such as replay/engine (repeatable)",
    )
    parser.add_argument("--jobs", type=int, default=1, help="mutants that are tested at once (default 1)")
    parser.add_argument("--list", action="store_true", help="show the mutants and run nothing")
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    asked, to_pytest = parser.parse_args(arguments[:cut]), arguments[cut + 1 :]
    known = equivalent(Path(__file__).with_name("equivalent.txt"))
    mutants = draw(asked.only, asked.count, asked.seed)
    if asked.list:
        for mutant in mutants:
            print(f"{mutant.path}:{mutant.line}: {mutant.before} → {mutant.after}")
        return 0
    counts = {"caught": 0, "survived": 0, "equivalent": 0}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(asked.jobs) as pool:
        checkouts = [Checkout(Path(folder) / str(number)) for number in range(asked.jobs)]
        runner = Runner(checkouts[0], asked.jobs, to_pytest)
        free: queue.Queue[Checkout] = queue.Queue()
        for checkout in checkouts:
            free.put(checkout)

        def judge(mutant: Mutant) -> str:
            if mutant.key in known:
                return "equivalent"
            checkout = free.get()
            try:
                return "caught" if runner.catches(checkout, mutant) else "survived"
            finally:
                free.put(checkout)

        for mutant, result in zip(mutants, pool.map(judge, mutants), strict=True):
            counts[result] += 1
            print(f"{result:10} {mutant.path}:{mutant.line}: {mutant.before} → {mutant.after}", flush=True)
    counted = counts["caught"] + counts["survived"]
    share = counts["caught"] / counted if counted else 1.0
    print(
        f"{counts['caught']} of {counted} mutants caught ({share:.1%}), {counts['survived']} survived;"
        f" {counts['equivalent']} more are equivalent"
    )
    return 1 if counts["survived"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
