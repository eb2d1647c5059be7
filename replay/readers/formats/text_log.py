"""Text that a training printed on a terminal, as ``tee``, ``nohup``, Slurm and notebooks save it.

The dialects of the tools are in `replay.readers.text`, a module for each group of them. A text may hold
several trainings, one after the other: each is a run, and all of them are one group. Values are as rounded as
they were printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.info import RunInfo
from replay.data.names import infer_mode
from replay.data.run import Run
from replay.readers.assemble import assemble
from replay.readers.clocks import measures_of
from replay.readers.find import HEAD
from replay.readers.format import GZIP, Format, Loaded, UnusableLog, plain_name, unreadable
from replay.readers.interleaved import name_sets
from replay.readers.json_preamble import behind_json
from replay.readers.placeholders import drop_placeholders
from replay.readers.points import Points, round_interval
from replay.readers.text.grids import Grids
from replay.readers.text.journal import Placed, Training
from replay.readers.text.lines import Line, lines_of, message_in, read_lines
from replay.readers.text.notebook import SUFFIX, notebook_lines
from replay.readers.text.reading import DIALECTS, Text, read_text

__all__ = ["FORMAT"]

#: Endings of source code, markup and data. What they quote of a training's output is no log.
_OTHER_ENDINGS = frozenset(
    """
    .bash .bat .bib .c .cc .cfg .cjs .cmake .cpp .cs .css .csv .cu .cuh .cxx .diff .f .f90 .go .h .hpp
    .htm .html .ini .ipynb .java .jinja .jl .js .json .jsonl .jsx .kt .lock .lua .m .md .mdx .mjs
    .ndjson .org .patch .php .pl .po .pot .proto .ps1 .py .pyi .pyx .r .rb .rmd .rs .rst .scala .sh .sql
    .srt .svg .swift .tex .texi .toml .ts .tsv .tsx .vtt .xml .yaml .yml .zsh
    """.split()
)
_OTHER_NAMES = re.compile(
    r"(?:read_?me|change(?:s|log)|licen[cs]e|copy(?:ing|right)|authors|notice|metadata|pkg-info|makefile"
    r"|dockerfile|requirements)\b",
    re.IGNORECASE,
)
#: The head of the table in the card of a model that transformers trained, with its columns in any order.
_CARD = re.compile(
    r"^(?=\|)(?=[^\n]*\| ?\**Validation Loss\** ?\|)(?=[^\n]*\| ?\**(?:Epoch|Step)\** ?\|)"
    r"(?=[^\n]*\| ?\**(?:Train(?:ing)? Loss|Step)\** ?\|)[^\n]{1,600}\n\|[-:| ]{3,600}$",
    re.MULTILINE,
)
#: A block that a document quotes.
_FENCED = re.compile(
    r"^\s{0,8}(?:```|~~~)[^\n]{0,80}\n(?:[^\n]{0,2000}\n){0,80}?\s{0,8}(?:```|~~~)\s*$", re.MULTILINE
)
#: Words without which no text is searched beyond its head.
_WORDS = re.compile(r"loss|epoch|it/s\]|logloss|auc|accuracy|\bstep", re.IGNORECASE)
#: Names of files that may have them further below.
_NAMES = re.compile(r"train|fine[-_]?tun", re.IGNORECASE)
_SEARCHED = 16 * 1024 * 1024
_BOMS = (b"\xff\xfe", b"\xfe\xff")


def _sniff(path: Path, head: bytes) -> bool:
    name = plain_name(path)
    if name.suffix.lower() == SUFFIX:
        try:
            return head.lstrip()[:1] == b"{" and _is_evident(read_text(notebook_lines(path, [])))
        except OSError:
            return False
    text = _decode(head)
    if text is None and message_in(head.partition(b"\n")[0].decode("utf-8-sig", "replace")) is not None:
        try:
            return _is_evident(read_text(_first(read_lines(path, [])), whole=False))
        except OSError:
            return False
    if text is None:
        return False
    if name.suffix.lower() == ".md":
        return _CARD.search(text) is not None
    if name.suffix.lower() in _OTHER_ENDINGS or _OTHER_NAMES.match(name.name):
        return False
    found = read_text(_lines(_FENCED.sub("", text)), whole=len(head) < HEAD)
    if _is_evident(found):
        return True
    if len(head) < HEAD:
        return False
    try:
        if _WORDS.search(text) is None and not (_NAMES.search(name.name) and _has_words(path)):
            return False
        return _is_evident(read_text(_first(read_lines(path, [])), whole=False))
    except OSError:
        return False


def _decode(head: bytes) -> str | None:
    """The head as text; None where it is binary, or JSON, which other formats read."""
    if head[:2] in _BOMS:
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
    else:
        text = head.decode("utf-8-sig", "replace")
    begin = behind_json(text.lstrip("\ufeff\0 \t\r\n"))
    if not begin or re.match(r"\{\s*[\"}]|\[\s*[\[{\"\]]|<[!?a-zA-Z]", begin):
        return None
    odd = text.count("\ufffd") + sum(
        text.count(sign) for sign in "\x01\x02\x03\x04\x05\x06\x0e\x0f\x10\x11\x12"
    )
    return None if odd > len(text) / 20 else text


def _lines(text: str) -> Iterator[Line]:
    return lines_of(re.findall(r"[^\r\n]*(?:\r\n|[\r\n])|[^\r\n]+\Z", text))


def _first(lines: Iterator[Line]) -> Iterator[Line]:
    """The lines of the part of a text that is searched."""
    read = 0
    for line in lines:
        read += len(line.text) + 1
        if read > _SEARCHED:
            return
        yield line


def _has_words(path: Path) -> bool:
    return any(_WORDS.search(line.text) is not None for line in _first(read_lines(path, [])))


def _is_evident(text: Text) -> bool:
    """Whether a text is the output of a training: metrics at two places, or words of a tool."""
    return bool(text.seen) or any(
        training.evidence() >= 2 and (training.tool != "text" or _is_own_loop(training))
        for training in text.trainings
    )


def _is_own_loop(training: Training) -> bool:
    """Whether rows without the marks of a tool are those of a training: its places go on, and its values are
    no whole numbers.
    """
    if training.placed is None:
        return False
    series = [one for name, one in training.placed.points.items() if name != "epoch"]
    back = sum(int((np.diff(one.step) < 0).sum()) for one in series)
    finite = [one.value[np.isfinite(one.value)] for one in series]
    fractions = [values for values in finite if (values != np.round(values)).sum() >= len(values) / 2]
    return back <= sum(map(len, finite)) / 4 and any(map(len, fractions))


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    """Files of one folder whose names differ in numbers only may be the processes of one training."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        groups.setdefault((path.parent, re.sub(r"\d+", "0", path.name)), []).append(path)
    return list(groups.values())


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    findings: list[Finding] = []
    texts: list[tuple[list[Path], list[Training]]] = []
    for path in files:
        try:
            ending = plain_name(path).suffix.lower()
            among = (Grids,) if ending == ".md" else DIALECTS
            more: list[Finding] = []
            lines = notebook_lines(path, more) if ending == SUFFIX else read_lines(path, more)
            text = read_text(lines, among=among)
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
            continue
        findings += more
        if text.cut_off is not None:
            facts = {"part": "line", "number": text.cut_off}
            findings.append(Finding(Kind.CUT_OFF, log=str(path), facts=facts))
        findings += [replace(finding, log=str(path)) for finding in text.findings]
        if not text.trainings:
            if not text.findings:
                nothing = Finding(Kind.NO_METRICS_IN_TEXT, log=str(path), facts={"seen": tuple(text.seen)})
                findings.append(nothing)
            continue
        if texts and len(text.trainings) == 1 and _goes_on(texts[-1][1][-1], text.trainings[0]):
            texts[-1][0].append(path)
            texts[-1][1][-1] = _join(texts[-1][1][-1], text.trainings[0])
        else:
            texts.append(([path], text.trainings))
    runs: list[Run] = []
    for sources, trainings in texts:
        name = run_id if len(texts) == 1 else f"{run_id}/{sources[-1].name}"
        runs += _runs(name, sources, trainings)
    if not runs:
        nothing = Finding(Kind.NO_VALUES, log=str(files[0]), facts={"format": FORMAT.name})
        raise UnusableLog(*(findings or [nothing]))
    return Loaded(runs, findings)


def _goes_on(before: Training, after: Training) -> bool:
    """Whether a text begins in the middle of the training that the text before it tells of."""
    one, other = before.placed, after.placed
    if one is None or other is None or before.tool != after.tool or one.by_epoch != other.by_epoch:
        return False
    common = one.points.keys() & other.points.keys()
    if not common:
        return False
    name = max(common, key=lambda name: len(other.points[name].step))
    steps, then = one.points[name].step, other.points[name].step
    gaps = np.diff(then) if len(then) > 1 else np.diff(steps)
    gap = float(np.median(gaps)) if len(gaps) else 1.0
    first = float(then[0])
    return bool(steps[0] < first <= steps.max() + 1.5 * gap and first > gap and then.max() > steps.max())


def _join(before: Training, after: Training) -> Training:
    """Two processes of one training as one."""
    one, other = before.placed, after.placed
    assert one is not None
    assert other is not None
    last = max(int(series.order[-1]) for series in one.points.values())
    points = dict(one.points)
    for name, series in other.points.items():
        moved = Points(series.order + last, series.step, series.value)
        points[name] = (
            moved
            if name not in points
            else Points(*(np.concatenate(pair) for pair in zip(points[name], moved, strict=True)))
        )
    placed = one._replace(
        points=points, held_out=one.held_out | other.held_out, starts=(*one.starts, last + 1)
    )
    facts = {**before.facts, **after.facts}
    if "train_runtime" in before.facts and "train_runtime" in after.facts:
        facts["train_runtime"] = before.facts["train_runtime"] + after.facts["train_runtime"]
    if "stopped_by" not in after.facts:
        facts.pop("stopped_by", None)
    return Training(
        before.tool,
        before.rows,
        before.held_out | after.held_out,
        facts,
        {**before.modes, **after.modes},
        placed=placed,
    )


def _runs(name: str, sources: Sequence[Path], trainings: Sequence[Training]) -> list[Run]:
    """The runs of one text, numbered where there are several."""
    runs: list[Run] = []
    for training in trainings:
        if training.placed is not None:
            runs += _assembled(name, sources, training, training.placed)
    if len(runs) < 2:
        return [run.replace(id=name) for run in runs]
    numbered = []
    for number, run in enumerate(runs, 1):
        note = Finding(Kind.RESTART, Severity.NOTE, facts={"number": number, "of": len(runs)})
        others = [finding for finding in run.info.findings if finding.kind is not Kind.RESTART]
        info = run.info.replace(group=name, findings=(note, *others))
        numbered.append(run.replace(id=f"{name}#{number}", info=info))
    return numbered


def _assembled(name: str, sources: Sequence[Path], training: Training, placed: Placed) -> list[Run]:
    points, filled = drop_placeholders(placed.points, placed.held_out)
    evaluated = placed.held_out & points.keys()  # the train losses of one epoch may rise and fall alike
    points, interleaved = name_sets(points, evaluated) if evaluated else (points, [])
    held_out = placed.held_out | {name for finding in interleaved for name in finding["names"]}
    placed = placed._replace(points=points, held_out=held_out & points.keys())
    counters, companions = measures_of(placed.points, placed.held_out)
    if "eval runtime" in placed.points:
        counters["eval runtime"] = "eval_seconds"
    facts: dict[str, Any] = {
        **training.facts,
        "format": FORMAT.name,
        "sources": tuple(sources),
        "step_unit": "epoch" if placed.by_epoch else "step",
        "modes": training.modes,
        "findings": [*training.facts.get("findings", ()), *filled, *interleaved],
    }
    runs = assemble(
        name,
        placed.points,
        held_out=placed.held_out,
        epoch=placed.epoch,
        counters=counters,
        companions=companions,
        starts=placed.starts,
        zero_based=placed.zero_based,
        info=RunInfo.of({key: value for key, value in facts.items() if not key.startswith("_")}),
        hint=lambda steps: {"tool": training.tool, "every": round_interval(steps)},
    )
    return [_with_ties(run) for run in runs]


def _with_ties(run: Run) -> Run:
    """The run with a note where values equal the best one before to all digits that were printed: in full,
    some of them were gains.
    """
    notes = []
    for metric in run.metrics:
        mode = run.info.modes.get(metric) or (inferred.mode if (inferred := infer_mode(metric)) else None)
        column = run.columns[metric]
        values = column.values[column.present]
        values = values[np.isfinite(values)]
        if mode is None or len(np.unique(values)) < 3:  # of two values, any may come again
            continue
        best = np.minimum.accumulate(values) if mode == "min" else np.maximum.accumulate(values)
        ties = int((values[1:] == best[:-1]).sum())
        digits = max(_digits(value) for value in values.tolist())
        if ties and digits <= 7 and (digits > 2 or mode == "min"):
            facts = {"metric": metric, "ties": ties, "evals": len(values), "digits": digits}
            notes.append(Finding(Kind.ROUNDED_VALUES, Severity.NOTE, facts=facts))
    if not notes:
        return run
    return run.replace(info=run.info.replace(findings=(*run.info.findings, *notes)))


def _digits(value: float) -> int:
    """The significant digits of a number as it is written shortest."""
    mantissa = f"{value!r}".lower().partition("e")[0].lstrip("-")
    return max(len(mantissa.replace(".", "").strip("0")), 1)


FORMAT = Format(
    name="text",
    summary=(
        "text that a training printed (tee, nohup, Slurm): transformers, TRL, axolotl, Unsloth, MLX-LM,"
        " torchtune, litgpt, nanoGPT, LightGBM, XGBoost, CatBoost, Keras, Lightning, spaCy, fairseq, OpenNMT,"
        " mmengine, Detectron2, AllenNLP, Marian, JoeyNMT, YOLO, darknet, Composer, NeMo, verl,"
        " Stable-Baselines3, Flower, Ludwig, Rasa, MACE, TensorFlow's estimators; tables of"
        " fastai, skorch, pandas, lm-evaluation-harness and model cards; outputs of Jupyter notebooks; and"
        " lines such as “epoch 3: val_loss 0.41”, also in Chinese, French, German, Japanese, Korean,"
        " Portuguese, Russian and Spanish"
    ),
    files="train*.log, slurm-*.out, nohup*.out, *stdout*.txt, *.ipynb",
    sniff=_sniff,
    endings=frozenset({GZIP}),
    load=_load,
    only_its_files=True,
    group=_group,
    limits=(
        "Values are as rounded as they were printed, so two of them may look equal; a text that prints no"
        " step is read by its epochs; a metric that is printed only where it improved is not read."
    ),
    tested_on=(
        "transformers 5.24, TRL 1.16, sentence-transformers 6.2, SetFit 1.2, Keras 3.15, Lightning 2.6.6,"
        " LightGBM 4.7, XGBoost 3.2, CatBoost 1.2.10, spaCy 3.8, fastai 2.8, flair 0.15 and mmengine 0.10.7"
        " (output of the tools); axolotl, Unsloth, MLX-LM, torchtune, litgpt, nanoGPT, fairseq,"
        " OpenNMT-py, Composer, verl, darknet, NeMo, Detectron2, AllenNLP, icefall, ESPnet,"
        " SpeechBrain, Marian, JoeyNMT, Sockeye, RecBole, nnU-Net, MONAI, PaddleOCR, gpt-neox, Megatron-LM,"
        " Ludwig, Rasa, MACE, Cellpose and lm-evaluation-harness (lines after their sources)"
    ),
)
