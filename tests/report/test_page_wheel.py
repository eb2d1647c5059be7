"""The page of `replay report` from an installed wheel: the built script and style are in it."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.readme import ROOT
from tests.report.test_page import data_of

pytestmark = pytest.mark.slow


def test_a_wheel_writes_the_page(tmp_path):
    source, place = tmp_path / "source", tmp_path / "place"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("replay", "collect"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(place), str(wheel)], check=True)
    shutil.rmtree(source)
    own = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}

    def python(*words):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=own | {"PYTHONPATH": str(place)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(place) in python("-c", "import replay; print(replay.__file__)")
    python("-m", "replay", "report", str(ROOT / "sample_logs"), "--out", "page.html")
    text = (tmp_path / "page.html").read_text()
    assets = ROOT / "replay" / "report" / "page" / "assets"
    for name in ("page.js", "page.css"):
        assert (assets / name).read_text() in text
    data = data_of(tmp_path / "page.html")
    assert data["answer"]["policy"] in text
    assert len(data["runs"]) >= 10
