"""From the lines of a text to its trainings: every line is offered to the dialects, and the first that knows
it takes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from replay.data.finding import Finding
from replay.readers.text.boosting import CatBoost, LightGBM, XGBoost
from replay.readers.text.counted import Counted
from replay.readers.text.dicts import TrainerDicts, flat_dict
from replay.readers.text.epochs import Epochs
from replay.readers.text.eval_bars import EvalBars
from replay.readers.text.finetuning import MLX, LitGPT, NanoGPT, Torchtune
from replay.readers.text.grids import Grids
from replay.readers.text.harness import Harness
from replay.readers.text.improvements import Improvements
from replay.readers.text.journal import Dialect, Training
from replay.readers.text.lines import Line, bars
from replay.readers.text.pretraining import CLU, MACE, Composer, Flower, NeMo, StableBaselines, Verl
from replay.readers.text.progress import Keras, Lightning, RichLightning
from replay.readers.text.result_blocks import ResultBlocks
from replay.readers.text.sentence_evaluators import SentenceEvaluators
from replay.readers.text.set_dicts import SetDicts
from replay.readers.text.set_tables import SetTables
from replay.readers.text.tables import Estimator, Fairseq, MMEngine, OpenNMT, SpaCy
from replay.readers.text.translation import JoeyNMT, Marian
from replay.readers.text.vision import AllenNLP, Detectron2
from replay.readers.text.yolo import Darknet, Yolo

__all__ = ["DIALECTS", "Text", "read_text"]

#: The dialects. A line goes to the first that takes it.
DIALECTS: tuple[type[Dialect], ...] = (
    MLX,
    Torchtune,
    LitGPT,
    NanoGPT,
    LightGBM,
    XGBoost,
    CatBoost,
    SpaCy,
    Fairseq,
    OpenNMT,
    MMEngine,
    Estimator,
    Marian,
    JoeyNMT,
    Yolo,
    Darknet,
    Verl,
    NeMo,
    StableBaselines,
    Flower,
    Detectron2,
    AllenNLP,
    Composer,
    CLU,
    MACE,
    Harness,
    ResultBlocks,
    TrainerDicts,
    Improvements,
    Lightning,
    RichLightning,
    Keras,
    SetTables,
    Grids,
    EvalBars,
    SentenceEvaluators,
    Counted,
    Epochs,
    SetDicts,
)
#: Those that read progress bars.
_OF_BARS = (Torchtune, TrainerDicts, Lightning, Yolo, EvalBars)
#: Lines by which it is decided which number at their begin is that of a process.
_FIRST = 5000


@dataclass
class Text:
    """What a text holds: its trainings in the order of their lines, what was seen that is no row, and the
    number of its last line where that is cut off.
    """

    trainings: list[Training] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    cut_off: int | None = None
    #: What no training holds, although the text has a part of it.
    findings: list[Finding] = field(default_factory=list)


def read_text(
    lines: Iterable[Line], *, whole: bool = True, among: Sequence[type[Dialect]] = DIALECTS
) -> Text:
    """What the lines hold, as some of the dialects read them. Of a part of a text (not ``whole``), an
    incomplete last line says nothing.
    """
    dialects = [dialect() for dialect in among]
    loops = [dialect for dialect in dialects if isinstance(dialect, Epochs)]
    cut_off = None
    order = -1
    for line in _of_one_process(iter(lines)):
        if "%|" not in line.text or not line.text.endswith("]"):
            order += 1  # a bar may be drawn any number of times between two lines
        if not line.complete and not _is_closed(line.text):
            cut_off = line.number if whole and any(sign.isdigit() for sign in line.text) else None
            continue
        text = line.text
        if "%|" in text:
            taken = [dialect.take(text, order) for dialect in dialects if isinstance(dialect, _OF_BARS)]
            if any(taken):
                # loops with a bar print what they measured in lines below it
                before = text.partition("%|")[0].rstrip("0123456789 ") or ":"
                for loop in loops:
                    loop.take(before, order)
                continue
            text = _behind_bars(text)
            if not text:
                continue
        if "': {" in text:
            text = flat_dict(text)
        for dialect in dialects:
            if dialect.take(text, order):
                break
    found = [(dialect, dialect.finish()) for dialect in dialects]
    for repeating in (Improvements, EvalBars, Counted, SetDicts, Harness):  # what lines say counts first
        others = [(dialect, trainings) for dialect, trainings in found if not isinstance(dialect, repeating)]
        if any(training.has_evals() for _, trainings in others for training in trainings):
            found = others
    seen = list(dict.fromkeys(chain.from_iterable(dialect.seen for dialect in dialects)))
    chosen = _choose([(dialect.specific, trainings) for dialect, trainings in found])
    findings = []
    if not any(training.has_evals() for training in chosen):
        findings = [
            one for dialect in dialects if isinstance(dialect, Improvements) for one in dialect.findings
        ]
        findings += [one for loop in loops for one in loop.findings]
    return Text(chosen, seen, cut_off, findings)


def _behind_bars(text: str) -> str:
    """What a line shows behind its progress bars."""
    end = 0
    if not text.endswith("]"):
        for bar in bars(text):
            end = bar.end
        return text[end:].lstrip()
    return ""


def _of_one_process(lines: Iterator[Line]) -> Iterator[Line]:
    """The lines without those of further processes, which log the same again."""
    first = list(islice(lines, _FIRST))
    ranks = Counter(line.rank for line in first if line.rank is not None)
    # numbers that come once each count the lines
    kept = min(ranks) if ranks and max(ranks.values()) > 1 else None
    for line in chain(first, lines):
        if line.rank is None or kept is None or line.rank == kept:
            yield line


def _is_closed(text: str) -> bool:
    """Whether a line without an end is complete all the same: a dict, or a progress bar."""
    if text.endswith("}"):
        return True
    return text.endswith("]") and any(bar.end == len(text) for bar in bars(text))


def _choose(found: list[tuple[bool, list[Training]]]) -> list[Training]:
    """The trainings that count. What a loop prints beside the lines of a tool is the same training."""
    specific = [training for is_specific, trainings in found if is_specific for training in trainings]
    general = [training for is_specific, trainings in found if not is_specific for training in trainings]
    with_evals = [training for training in specific if training.has_evals()] or [
        training for training in general if training.has_evals()
    ]
    chosen = with_evals or specific or general
    if with_evals and with_evals[0] in specific:
        chosen = with_evals + [
            training
            for training in specific
            if not training.has_evals() and not any(_overlap(training, other) for other in with_evals)
        ]
    return sorted(
        (
            training
            for training in _of_more_than_one_place(chosen)
            if training.rows and training.placed is not None
        ),
        key=lambda training: training.first_line,
    )


def _of_more_than_one_place(trainings: list[Training]) -> list[Training]:
    """The trainings without the single figures that another tool prints beside them, as the evaluation at the
    end of a notebook.
    """
    tools = {training.tool for training in trainings if training.evidence() > 1}
    return [
        training for training in trainings if not tools or training.tool in tools or training.evidence() > 1
    ]


def _overlap(one: Training, other: Training) -> bool:
    return one.first_line <= other.last_line and other.first_line <= one.last_line
