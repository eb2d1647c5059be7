"""Makes the picture of replay watch, from the beginnings of sample logs: python docs/images/watch.py"""

from __future__ import annotations

import io
import json
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
#: Sample logs, and how many evals of each there are so far.
RUNS = {
    "minilm-films-r4-lr1e-3-constant-s0": 14,
    "minilm-films-r16-lr3e-4-cosine-s0": 13,
    "minilm-rt-r8-lr1e-3-constant-s0": 9,
    "smollm2-xsum-r8-lr2e-4-constant-s0": 7,
}
WIDTH = 80


def main() -> None:
    """Write watch.svg beside this file."""
    from rich.console import Console
    from rich.text import Text

    from replay.cli.watching import Watch
    from replay.engine.question import Question
    from replay.engine.scoring import parse_policies
    from replay.report.render import render
    from replay.report.watch import build

    specs = ["patience=3", "transformers:patience=5"]
    with tempfile.TemporaryDirectory() as folder:
        for name, evals in RUNS.items():
            begin(ROOT / "sample_logs" / name, Path(folder) / name.partition("-lr")[0], evals)
        watch = Watch([Path(folder)], list(zip(specs, parse_policies(specs), strict=True)), Question())
        document = build(watch.update(first=True), width=WIDTH)
    text = render(document, "table", verbose=False, width=WIDTH, color=True)
    command = "$ replay watch logs/ --policy patience=3 --policy transformers:patience=5"
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False, color_system="truecolor")
    console.print(Text.from_ansi(f"{command}\n{text}"))
    picture = console.export_svg(title="replay watch", unique_id="watch")
    picture = re.sub(r"@font-face *{.*?}", "", picture, flags=re.DOTALL)  # they are on a server elsewhere
    lines = (line.rstrip() for line in picture.splitlines())
    Path(__file__).with_name("watch.svg").write_text("\n".join(lines) + "\n", encoding="utf-8")


def begin(source: Path, target: Path, evals: int) -> None:
    """Write the beginning of an eval log, up to an eval."""
    kept, count = list[str](), 0
    for line in (source / "eval_log.jsonl").read_text(encoding="utf-8").splitlines(keepends=True):
        count += json.loads(line).get("kind") == "eval"
        if count > evals:
            break
        kept.append(line)
    target.mkdir()
    (target / "eval_log.jsonl").write_text("".join(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
