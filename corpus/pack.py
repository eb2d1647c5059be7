"""Packs finished runs of ``collect grid`` into the corpus: one folder per run with ``eval_log.jsonl.gz``.

    collect grid corpus/grids/minilm-sms.toml --out trained
    python corpus/pack.py trained corpus/runs

A run that is not finished is skipped. The same logs give the same bytes. ``--step-signals NAME`` also copies
what each step did to each module, for the runs of these names.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
from pathlib import Path

LOG, STEP_SIGNALS = "eval_log.jsonl", "step_signals.bin"


def is_finished(log: bytes) -> bool:
    """Whether the last line of an eval log says that the training came to its end."""
    lines = log.splitlines()
    return bool(lines) and json.loads(lines[-1]).get("kind") == "end"


def pack(trained: Path, corpus: Path, step_signals: frozenset[str] = frozenset()) -> tuple[int, list[str]]:
    """Pack every finished run below ``trained``; return how many, and the names of the unfinished ones."""
    packed, unfinished = 0, []
    for path in sorted(trained.glob(f"*/{LOG}")):
        name, log = path.parent.name, path.read_bytes()
        if not is_finished(log):
            unfinished.append(name)
            continue
        folder = corpus / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{LOG}.gz").write_bytes(gzip.compress(log, compresslevel=9, mtime=0))
        if name in step_signals:
            shutil.copyfile(path.with_name(STEP_SIGNALS), folder / STEP_SIGNALS)
        packed += 1
    return packed, unfinished


def main() -> None:
    """Parse the command line and pack."""
    parser = argparse.ArgumentParser(description="Pack finished runs into the corpus.")
    parser.add_argument("trained", type=Path, help="the folder that collect grid wrote")
    parser.add_argument("corpus", type=Path, help="where the packed runs go")
    parser.add_argument("--step-signals", action="append", default=[], metavar="NAME")
    arguments = parser.parse_args()
    packed, unfinished = pack(arguments.trained, arguments.corpus, frozenset(arguments.step_signals))
    print(f"{packed} runs packed" + (f"; not finished: {', '.join(unfinished)}" if unfinished else ""))


if __name__ == "__main__":
    main()
