"""Makes the picture of replay simulate --plot, from the sample logs: python docs/images/saved.py"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
POLICIES = ("patience=1", "patience=2", "patience=3", "patience=5", "patience=10")


def main() -> None:
    """Write saved.png beside this file."""
    from replay.cli import main as replay

    words = [word for policy in POLICIES for word in ("--policy", policy)]
    plot = str(Path(__file__).with_name("saved.png"))
    with contextlib.chdir(ROOT):
        sys.argv = ["replay", "simulate", "sample_logs", *words, "--plot", plot]
        replay()


if __name__ == "__main__":
    main()
