"""transformers' ``trainer_state.json``: the Trainer's state with its ``log_history``, of every version.

Rows of ``log_history`` are train entries (``loss``), evals (``eval_…``, ``test_…``; one row per eval set, so
several rows may share a step) and one summary at the end of training (``train_runtime``). Older files lack
``stateful_callbacks``, ``save_steps`` and ``best_global_step``. The file is JSON with the words NaN and
Infinity. A script that saves ``trainer.state.log_history`` writes the list alone, which is read as well.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding, Kind
from replay.data.info import RunInfo
from replay.data.run import Column, Run
from replay.data.types import Mode
from replay.readers.assemble import assemble
from replay.readers.eval_sets import names_by_set
from replay.readers.flatten import cells_of, flat_rows, rows_by_names
from replay.readers.format import GZIP, Format, Loaded, UnusableLog, plain_name
from replay.readers.interleaved import name_sets
from replay.readers.json_parser import parse_json
from replay.readers.partial_json import parse_partly
from replay.readers.placeholders import drop_placeholders
from replay.readers.points import PointsBuilder, RowBlock, number, round_interval
from replay.readers.series_names import chosen_modes, is_bookkeeping, is_held_out
from replay.readers.shared_arrays import shared
from replay.readers.text_files import read_whole

__all__ = ["FORMAT", "runs_of"]

_RUNTIME = re.compile(r"(?:eval|test)_(?:.*_)?runtime")
_TOKENS = ("num_input_tokens_seen", "num_tokens")
_HYPERPARAMETERS = (
    "train_batch_size",
    "num_train_epochs",
    "max_steps",
    "eval_steps",
    "logging_steps",
    "save_steps",
    "trial_name",
    "trial_params",
)
_FIELDS = {
    "max_steps": "planned_steps",
    "global_step": "trained_steps",
    "total_flos": "total_flos",
    "num_train_epochs": "planned_epochs",
}
_TOTALS = ("trained_steps", "trained_tokens", "total_flos", "train_runtime")
_LOGGED = frozenset({"loss", "learning_rate", "grad_norm"})
_SENTINEL = 10**9  # num_train_epochs is sys.maxsize where the data set has no length
#: A comma behind the last element, which JSON does not allow.
_TRAILING_COMMA = re.compile(r",\s*[\]}]")


def _sniff(path: Path, head: bytes) -> bool:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"["):
        return _begins_history(text)
    if not text.startswith(b"{"):
        return False
    if plain_name(path).name == "trainer_state.json":
        return True
    first = text.split(b"\n", 1)[0].rstrip()
    if first.endswith(b"}") and b'"log_history"' not in first and len(first) > 2:
        return False  # JSONL whose last line happens to hold a log_history
    return b'"log_history"' in text


def _begins_history(text: bytes) -> bool:
    """Whether the first object of a list is a row that a Trainer logs."""
    try:
        first, _ = json.JSONDecoder().raw_decode(text[1:].decode("utf-8", "replace").lstrip())
    except (ValueError, RecursionError):
        return False
    if not isinstance(first, dict) or not {"step", "epoch"} <= first.keys():
        return False
    return any(name in _LOGGED or str(name).startswith(("eval_", "test_", "train_")) for name in first)


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (path,) = files
    text, more = read_whole(path)
    state, findings, is_whole = _parse(text, path)
    findings = more + findings
    history = state.get("log_history")
    if not isinstance(history, list):
        raise UnusableLog(*(findings or [_no_history(path)]))
    runs = runs_of(state, run_id, path)
    if not runs:
        raise UnusableLog(*(findings or [_no_history(path, empty=True)]))
    if findings:
        # a header counts what was trained, of which the part that could be read may lack the evals
        unknown: dict[str, Any] = {} if is_whole else dict.fromkeys(_TOTALS)
        runs = [run.replace(info=run.info.replace(complete=False, eval_hint=None, **unknown)) for run in runs]
    return Loaded(runs, findings)


def _no_history(path: Path, **facts: Any) -> Finding:
    return Finding(Kind.NO_HISTORY, log=str(path), facts=facts)


def runs_of(state: Mapping[str, Any], run_id: str, path: Path | None = None) -> list[Run]:
    """The runs that a Trainer's state holds, none where nothing was logged; ``path`` is the file that it was
    read from.
    """
    points, held_out, summary = _points(state["log_history"], state)
    if not held_out and not points.row:
        return []
    facts = _facts(state, summary)
    series = points.points()
    more = [] if path is None else points.findings(path)
    evals = len(series["eval runtime"].step) if "eval runtime" in series else 0
    # the Trainer logs the duration of each eval; rows of a script may be there without one
    series, filled = (series, []) if evals else drop_placeholders(series, held_out)
    series, interleaved = name_sets(series, held_out)
    held_out |= {name for finding in interleaved for name in finding["names"]}
    facts |= {
        "format": FORMAT.name,
        "sources": () if path is None else (path,),
        "findings": [*filled, *interleaved, *more],
    }
    runs = assemble(
        run_id,
        series,
        held_out=held_out,
        epoch="epoch",
        counters={**dict.fromkeys(_TOKENS, "tokens"), "total_flos": "flops", "eval runtime": "eval_seconds"},
        companions={
            "loss": "train_loss",
            "learning_rate": "learning_rate",
            "grad_norm": "grad_norm",
            "saved": "saved",
        },
        info=RunInfo.of(facts),
        hint=lambda steps: {**_hint(steps), "evals": evals},
    )
    return [_complete(run, state, path) if len(run) else run for run in runs]


def _hint(steps: float) -> dict[str, Any]:
    return {"tool": "transformers", "every": round_interval(steps)}


def _complete(run: Run, state: Mapping[str, Any], path: Path | None) -> Run:
    """The run with its monitor and the checkpoints saved, where the state says which they are."""
    saved = None if path is None else _saved(path, state, run.steps.tolist())
    columns = None if saved is None else {**run.columns, "saved": run.columns["step"]._replace(values=saved)}
    stated = _monitor_of(run.columns, state)
    info = run.info.replace(**stated) if stated else None
    return run if info is None and columns is None else run.replace(info=info, columns=columns)


def _parse(text: str, path: Path) -> tuple[dict[str, Any], list[Finding], bool]:
    """The state, what is wrong with it, and whether its history is whole. Of a file that is cut off or broken
    in the middle, the part before that counts.
    """
    try:
        state = parse_json(text)
    except RecursionError:
        raise UnusableLog(_no_history(path, nested=True)) from None
    except ValueError:
        if _TRAILING_COMMA.search(text) is not None:  # the slow parser, which such a comma does not stop
            parsed = parse_partly(text)
            if parsed.broken is None and isinstance(parsed.value, dict | list):
                return _state_of(parsed.value, path), [], True
        state, at, is_whole = _salvage(text)
        rest = text[at:].lstrip(" \t\r\n,")
        history = state.get("log_history")
        facts: dict[str, Any] = {"kept": len(history) if isinstance(history, list) else 0}
        broken = re.search(r"\b(?:np|numpy|torch)\.\w+\(|\b(?:tensor|array)\(", rest.split("}", 1)[0])
        if broken:
            broken_by = Finding(Kind.PYTHON_TEXT, log=str(path), facts={**facts, "text": broken[0]})
            return state, [broken_by], is_whole
        whole = rest.rstrip().endswith(("}", "]")) and rest.count("{") < rest.count("}")
        kind = Kind.INVALID_JSON if whole else Kind.CUT_OFF
        return state, [Finding(kind, log=str(path), facts={**facts, "character": at})], is_whole
    return _state_of(state, path), [], True


def _state_of(document: Any, path: Path) -> dict[str, Any]:
    """The state that a document is, which may be the history alone."""
    if isinstance(document, list) and any(isinstance(row, dict) for row in document):
        return {"log_history": document}
    if not isinstance(document, dict):
        raise UnusableLog(_no_history(path, type=type(document).__name__))
    return document


def _salvage(text: str) -> tuple[dict[str, Any], int, bool]:
    """The complete top-level entries of broken JSON, ``log_history`` entry by entry, where it broke, and
    whether it broke behind the history.
    """
    decoder = json.JSONDecoder()
    space = re.compile(r"[ \t\r\n]*")
    state: dict[str, Any] = {}
    ended = False

    def skip(at: int) -> int:
        blanks = space.match(text, at)
        return blanks.end() if blanks else at

    def entries(at: int) -> tuple[int, bool]:
        """Take the objects of the list that begins before ``at``: where they end, and whether the list ends
        there.
        """
        found = state["log_history"] = list[Any]()
        at = skip(at)
        while text[at : at + 1] == "{":
            try:
                entry, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError):
                break
            found.append(entry)
            at = skip(end)
            if text[at : at + 1] == ",":
                at = skip(at + 1)
        return at, text[at : at + 1] == "]"

    at = skip(1 if text.startswith("\ufeff") else 0)
    if text[at : at + 1] == "[":
        return state, *entries(at + 1)
    if text[at : at + 1] != "{":
        return state, at, False
    at = skip(at + 1)
    try:
        while text[at : at + 1] == '"':
            key, end = decoder.raw_decode(text, at)
            end = skip(end)
            if text[end : end + 1] != ":":
                return state, at, ended
            end = skip(end + 1)
            if key == "log_history" and text[end : end + 1] == "[":
                at, ended = entries(end + 1)
                if not ended:
                    return state, at, False
                at = skip(at + 1)
            else:
                state[key], end = decoder.raw_decode(text, end)
                at = skip(end)
            if text[at : at + 1] != ",":
                return state, at, ended
            at = skip(at + 1)
    except (ValueError, RecursionError):
        pass
    return state, at, ended


def _points(
    history: Sequence[Any], state: Mapping[str, Any]
) -> tuple[PointsBuilder, set[str], dict[str, float]]:
    """The points of all rows, the names of the held-out metrics, and the summary at the end of training."""
    points = PointsBuilder()
    rows = flat_rows(history)
    names = tuple(map(tuple, rows))
    if by_set := names_by_set(names):
        rows = [
            {by_set.get(shape, {}).get(name, name): value for name, value in row.items()}
            for shape, row in zip(names, rows, strict=True)
        ]
        names = tuple(map(tuple, rows))
    placed = _place_alike(names) if sum(map(len, names)) <= _MOST_ALIKE else None
    if placed is None:
        placed = _place(names, rows, state)
    summary = _summary([rows[at] for at in placed.summaries])
    runtimes: list[tuple[Sequence[int], RowBlock]] = []
    for shape, places, order, stated in placed.shapes:
        alike = [rows[at] for at in places]
        steps = np.array(list(map(_STEP, alike)), dtype=np.float64) if stated is None else stated
        cells = cells_of(alike, (*shape.kept, *shape.runtimes))
        if shape.is_added:
            points.add_rows(RowBlock(shape.kept, order, steps, cells[: len(shape.kept)]))
        if shape.runtimes:
            points.begin_parts("eval runtime")
            runtimes.append((places, RowBlock(shape.runtimes, order, steps, cells[len(shape.kept) :])))
    points.add_all_parts("eval runtime", runtimes)
    points.count_rows(placed.added)
    return points, set(placed.held_out), summary


class _ShapedRows(NamedTuple):
    """Rows with the same names that have a step: their places in the history and in the arrival order, and
    their steps, None where each row names its own as ``step``.
    """

    shape: _Shape
    places: tuple[int, ...]
    order: npt.NDArray[np.int64]
    steps: npt.NDArray[np.float64] | None


class _PlacedRows(NamedTuple):
    """All rows by their names, the places of the summaries, and how many rows count."""

    shapes: tuple[_ShapedRows, ...]
    summaries: tuple[int, ...]
    held_out: frozenset[str]
    added: int


_STEP = itemgetter("step")
#: Histories up to so many values are often of the same rows as others: those of the runs of a sweep.
_MOST_ALIKE = 20_000


@lru_cache(64)
def _place_alike(names: tuple[tuple[str, ...], ...]) -> _PlacedRows | None:
    """The places of rows with these names; None where a row does not name its ``step``."""
    if not all("step" in row or "train_runtime" in row for row in names):
        return None
    return _place(names, (), {})


def _place(
    names: Sequence[tuple[str, ...]], rows: Sequence[Mapping[str, float]], state: Mapping[str, Any]
) -> _PlacedRows:
    shaped: list[tuple[_Shape, list[int], npt.NDArray[np.float64] | None]] = []
    summaries: list[int] = []
    for shape_names, places in rows_by_names(names).items():
        if "train_runtime" in shape_names:
            summaries += places
        elif "step" in shape_names:
            shaped.append((_shape(shape_names), places, None))
        else:
            known = [(at, step) for at in places if (step := _step(rows[at], state)) is not None]
            if known:
                steps = np.array([step for _, step in known])
                shaped.append((_shape(shape_names), [at for at, _ in known], steps))
    shaped.sort(key=lambda one: one[1][0])
    counted = np.zeros(len(names), dtype=np.int64)
    for shape, places, _ in shaped:
        if shape.is_added:
            counted[places] = 1
    order = np.cumsum(counted)
    return _PlacedRows(
        tuple(
            _ShapedRows(shape, tuple(places), shared(order[places]), steps) for shape, places, steps in shaped
        ),
        tuple(sorted(summaries)),
        frozenset().union(*(shape.held_out for shape, _, _ in shaped)),
        int(order[-1]) if len(order) else 0,
    )


def _summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The summary at the end of training. A training that was resumed after its end has two; the operations
    are cumulative.
    """
    summary: dict[str, float] = {}
    for values in rows:
        summary["train_runtime"] = summary.get("train_runtime", 0.0) + float(values["train_runtime"])
        if "total_flos" in values:
            summary["total_flos"] = float(values["total_flos"])
    return summary


class _Shape(NamedTuple):
    """What the names of a row are."""

    kept: tuple[str, ...]
    runtimes: tuple[str, ...]
    held_out: frozenset[str]
    is_added: bool


@lru_cache(1024)
def _shape(names: tuple[str, ...]) -> _Shape:
    uses = {name: _use_of(name) for name in names}
    kept = tuple(name for name, use in uses.items() if use in ("kept", "held out"))
    runtimes = tuple(name for name, use in uses.items() if use == "runtime")
    held_out = frozenset(name for name, use in uses.items() if use == "held out")
    return _Shape(kept, runtimes, held_out, bool(kept) and kept != ("epoch",))


def _use_of(name: str) -> Literal["aside", "runtime", "held out", "kept"]:
    """What a name in a row is."""
    if name in ("step", "global_step"):
        return "aside"
    if _RUNTIME.fullmatch(name):
        return "runtime"
    if name in (*_TOKENS, "epoch", "total_flos") or not (is_bookkeeping(name) or name.endswith("num_tokens")):
        return "held out" if is_held_out(name) else "kept"
    return "aside"


def _step(values: Mapping[str, float], state: Mapping[str, Any]) -> float | None:
    """The step of a row; old rows that have an epoch only are placed by the share of the whole that it is."""
    for name in ("step", "global_step"):
        if name in values:
            return values[name]
    epoch, whole, steps = values.get("epoch"), number(state.get("epoch")), number(state.get("global_step"))
    if epoch is None or not whole or not steps or not math.isfinite(epoch / whole * steps):
        return None
    return float(round(epoch / whole * steps))


def _facts(state: Mapping[str, Any], summary: Mapping[str, float]) -> dict[str, Any]:
    facts: dict[str, Any] = dict(summary)
    for key, name in _FIELDS.items():
        value = number(state.get(key))
        if value and 0 < value < math.inf and not (name == "planned_epochs" and value > _SENTINEL):
            facts[name] = value if name == "total_flos" or value != int(value) else int(value)
    tokens = number(state.get("num_input_tokens_seen"))
    if tokens and tokens > 0:
        facts["trained_tokens"] = tokens
    settings = {name: state[name] for name in _HYPERPARAMETERS if state.get(name) is not None}
    if (number(settings.get("num_train_epochs")) or 0) > _SENTINEL:
        del settings["num_train_epochs"]
    stopped_by, early = _early_stop(state)
    settings |= early
    if settings:
        facts["hyperparameters"] = settings
    if stopped_by:
        facts["stopped_by"] = stopped_by
    if _ends_before_its_epochs(state):
        facts.pop("planned_steps", None)  # the steps of what was trained, not of the plan
        facts["complete"] = False
    elif "planned_steps" in facts and "trained_steps" in facts:
        facts["complete"] = facts["trained_steps"] >= facts["planned_steps"]
    return facts


def _ends_before_its_epochs(state: Mapping[str, Any]) -> bool:
    """Whether the epochs that were trained contradict ``max_steps`` by a whole epoch or more.

    The Trainer rounds the epochs of ``max_steps`` up, so that a complete training ends in the last one. It
    takes an epoch for the whole steps in it: 5 batches of which 4 make a step are one step.
    """
    epoch, epochs = number(state.get("epoch")), number(state.get("num_train_epochs"))
    steps, done = number(state.get("max_steps")), number(state.get("global_step"))
    if epoch is None or epochs is None or steps is None or done is None or epochs > _SENTINEL:
        return False
    if not (0 < epoch < math.inf and 0 < steps <= done < math.inf) or math.ceil(epoch - 1e-6) >= epochs:
        return False
    per_epoch = max(math.floor(done / epoch * 1.01), 1)
    return steps <= (epochs - 1) * per_epoch


def _early_stop(state: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """What ended the training before its planned steps, as far as the callbacks' states tell, and the
    early-stop settings.

    The counter is only right in files whose Trainer updated it before saving; the control's decision to stop
    is right in all.
    """
    callbacks = state.get("stateful_callbacks")
    if not isinstance(callbacks, dict):
        return None, {}
    done, planned = number(state.get("global_step")), number(state.get("max_steps"))
    short = done is not None and planned is not None and done < planned
    settings: dict[str, Any] = {}
    fired = False
    early = callbacks.get("EarlyStoppingCallback")
    for one in early if isinstance(early, list) else [early]:
        if not isinstance(one, dict):
            continue
        arguments, attributes = one.get("args"), one.get("attributes")
        if isinstance(arguments, dict):
            settings |= {name: value for name, value in arguments.items() if number(value) is not None}
            patience = number(arguments.get("early_stopping_patience"))
            counter = (
                number(attributes.get("early_stopping_patience_counter"))
                if isinstance(attributes, dict)
                else None
            )
            fired |= patience is not None and counter is not None and counter >= patience
    control = callbacks.get("TrainerControl")
    stopping = (
        isinstance(control, dict)
        and isinstance(control.get("args"), dict)
        and control["args"].get("should_training_stop") is True
    )
    if not short or not (fired or stopping):
        return None, settings
    if settings or fired:
        patience = number(settings.get("early_stopping_patience"))
        return (
            "EarlyStoppingCallback" + (f" (patience {patience:g})" if patience is not None else ""),
            settings,
        )
    return "a callback (should_training_stop)", settings


def _monitor_of(columns: Mapping[str, Column], state: Mapping[str, Any]) -> dict[str, Any]:
    """The monitor and its mode where ``best_metric`` can only be one metric's best.

    The metric is the one that has this value (at ``best_global_step``, where that is known); its mode follows
    if the value is the lowest or the highest that it had up to then, and not both.
    """
    best = number(state.get("best_metric"))
    at = number(state.get("best_global_step"))
    if best is None or not math.isfinite(best):
        return {}
    steps = columns["step"].values
    candidates: dict[str, set[Mode]] = {}
    for name, (values, present) in columns.items():
        if not is_held_out(name):
            continue
        usable = present & (values == values)
        series, at_steps = values[usable], steps[usable]
        hits = abs(series - best) <= 1e-7 * abs(best)
        if at is not None:
            hits &= at_steps == at
        if not hits.any():
            continue
        modes: set[Mode] = set()
        if (series >= best - 1e-7 * abs(best)).all():
            modes.add("min")
        if (series <= best + 1e-7 * abs(best)).all():
            modes.add("max")
        candidates[name] = modes
    if len(candidates) > 1:
        # before 4.47 the best was only updated at saves, so that it may be no metric's extreme
        candidates = {name: modes for name, modes in candidates.items() if len(modes) == 1}
    if len(candidates) != 1:
        return {}
    ((name, modes),) = candidates.items()
    if len(modes) != 1:
        return {"monitor": name}
    values, present = columns[name]
    return {"monitor": name, **chosen_modes(name, modes.pop(), values[present])}


def _saved(path: Path, state: Mapping[str, Any], steps: Sequence[float]) -> Any:
    """1 where a checkpoint of an eval's step was written, else 0, as an array; None where the file does not
    say it.

    ``save_steps`` keeps its default where another save strategy is in force, so that it needs a witness: the
    step of a checkpoint (this file's folder, the best one) that is a multiple of it, or evals that keep to
    ``eval_steps``.
    """
    every, planned, done = (
        number(state.get("save_steps")),
        number(state.get("max_steps")),
        number(state.get("global_step")),
    )
    if every is None or not every > 0 or not math.isfinite(every):
        return None
    if every < 1:
        if not planned:
            return None
        every = math.ceil(every * planned)
    folders = (
        path.parent.name,
        str(state.get("best_model_checkpoint") or "").replace("\\", "/").rstrip("/").rsplit("/", 1)[-1],
    )
    witnesses = [
        float(match[1]) for folder in folders if (match := re.fullmatch(r"checkpoint-(\d{1,15})", folder))
    ]
    last = planned if planned in witnesses else None
    if any(step % every and step not in (planned, done) for step in witnesses):
        return None
    if not any(step % every == 0 for step in witnesses):
        interval = number(state.get("eval_steps"))
        if (
            not interval
            or interval < 1
            or any(step % interval and step not in (planned, done) for step in steps)
        ):
            return None
    saved = np.array([1.0 if step > 0 and (step % every == 0 or step == last) else 0.0 for step in steps])
    return saved if saved.any() else None


FORMAT = Format(
    name="trainer-state",
    summary="trainer_state.json of transformers' Trainer (all versions), or its log_history alone",
    files="trainer_state.json, log_history.json",
    limits=(
        "the file knows neither the model nor the data; which metric chose the checkpoint, and whether higher"
        " was better, is known only where best_metric is the best value of one metric; the file of a"
        " checkpoint ends at that checkpoint"
    ),
    tested_on=(
        "transformers 5.24, TRL 1.16, sentence-transformers 6.2 and SetFit 1.2, and older files from public"
        " repositories"
    ),
    sniff=_sniff,
    endings=frozenset({GZIP}),
    load=_load,
)
