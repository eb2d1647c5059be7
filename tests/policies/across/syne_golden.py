"""Writes where the real Syne Tune stops the runs of the parity tests, for machines that do not have it.

Run with Syne Tune installed: python -m tests.policies.across.syne_golden
"""

import hashlib
import json
import warnings
from pathlib import Path

from tests.policies.across.parity import describe_case, draw_case, real_stops

FILE = Path(__file__).with_name("syne_tune.json")
CASES = 400


def digest(case):
    """A few letters that change when a case changes."""
    return hashlib.sha256(repr(describe_case(case)).encode()).hexdigest()[:8]


def main():
    import syne_tune

    cases = {}
    warnings.simplefilter("ignore")
    for name in ("syne-asha", "syne-median"):
        drawn = [draw_case(name, seed) for seed in range(CASES)]
        cases[name] = [[digest(case), real_stops(case, seed)] for seed, case in enumerate(drawn)]
    parts = [
        f"  {json.dumps(name)}: [\n" + ",\n".join(f"   {json.dumps(row)}" for row in rows) + "\n  ]"
        for name, rows in cases.items()
    ]
    head = f'{{\n "version": {json.dumps(syne_tune.__version__)},\n "cases": {{\n'
    text = head + ",\n".join(parts) + "\n }\n}\n"
    FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
