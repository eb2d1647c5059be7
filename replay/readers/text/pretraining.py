"""Lines of tools for large models: MosaicML's Composer and llm-foundry, verl, and the writers of CLU, which
T5X and other JAX trainers use; NeMo, Flower, Stable-Baselines3, MACE.
"""

from __future__ import annotations

import re

from replay.readers.series_names import is_held_out, is_metric
from replay.readers.text.journal import ByStep, Journal, Training, place_by_epoch, place_rows
from replay.readers.text.lines import Number, without_logger

__all__ = ["CLU", "MACE", "Composer", "Flower", "NeMo", "StableBaselines", "Verl"]

#: How numpy shows a number inside of a text.
_SHOWN = r"(?:np\.)?(?:float\d{1,3}|int\d{1,3})\(([^()]{1,40})\)"


class Composer(ByStep):
    """Composer: ``[batch=10/500]:`` or ``[epoch=1][batch=10/100]:``, then a value per line (``Train
    loss/train/total: 5.1``); an evaluation ends with ``[Eval batch=20/20] Eval on eval data:``.

    Where epochs are printed, batches count within them.
    """

    _AT = re.compile(r"\[(?:epoch=(\d{1,9})(?:/\d{1,9})?\]\[)?batch=(\d{1,12})(?:/(\d{1,12}))?\]:?\s{0,4}")
    _EVAL = re.compile(r"\[Eval (?:batch|iter)=(\d{1,12})(?:/(\d{1,12}))?\]")
    _VALUE = re.compile(r"\s{0,12}(Train|Eval) ([\w/@.-]{1,120}): (" + Number + r")$")

    def __init__(self) -> None:
        super().__init__()
        self._at: tuple[float | None, float] | None = None

    def take(self, text: str, order: int) -> bool:
        """Take a place, or a value of it."""
        if "batch=" in text:
            match = self._AT.search(text)
            if match is None:
                return self._EVAL.search(text) is not None
            self.seen[:] = ["Composer"]
            self._at = (None if match[1] is None else float(match[1]), float(match[2]))
            self._total = float(match[3] or 0)
            text = text[match.end() :]
            if not text:
                return True
        if self._at is None or ": " not in text or (match := self._VALUE.match(text)) is None:
            return False
        name = f"eval/{match[2]}" if match[1] == "Eval" and not is_held_out(match[2]) else match[2]
        if name.startswith("time/"):
            return True
        epoch, batch = self._at
        training = self._journal.add(order, batch, epoch, {name: float(match[3])}, self._total)
        if epoch is None and self._total:
            training.facts["planned_steps"] = self._total
        return True

    def finish(self) -> list[Training]:
        """The trainings."""
        if not any(row.epoch is not None for training in self._journal for row in training.rows):
            return super().finish()
        for training in self._journal:
            longest = max(max(row.step or 0.0, row.beside) for row in training.rows)
            first = min(row.epoch or 0.0 for row in training.rows)
            rows = [((row.epoch or 0.0) - first + (row.step or 0.0) / longest, row) for row in training.rows]
            training.placed = place_rows(training, rows, by_epoch=True)
        return self._journal.trainings


class Verl(ByStep):
    """verl: ``step:10 - critic/score/mean:0.3 - val-core/gsm8k/acc/mean@1:0.54 - …`` in one line."""

    _STEP = re.compile(r"(?:^|\s)step:(\d{1,12}) - (?=[\w/@.() -]{1,200}:)")
    _VALUE = re.compile(r"(\S.{0,200}?):(?:" + _SHOWN + "|(" + Number + r"))")

    def take(self, text: str, order: int) -> bool:
        """Take the values of a step."""
        if "step:" not in text or (match := self._STEP.search(text)) is None:
            return False
        values: dict[str, float] = {}
        for part in text[match.end() :].split(" - "):
            pair = self._VALUE.fullmatch(part.strip())
            if pair is None:
                continue
            try:
                values[pair[1]] = float(pair[2] or pair[3])
            except ValueError:
                continue
        kept = {name: value for name, value in values.items() if not name.startswith("training/")}
        if not any(map(is_metric, kept)):
            return False
        self._journal.add(order, float(match[1]), None, kept)
        return True


class NeMo(ByStep):
    """NeMo 2: ``Training epoch 0, iteration 9/99 | lr: 0.0003 | global_step: 9 | reduced_train_loss: 10.3 |
    consumed_samples: 80 | val_loss: 9.8``.

    Steps are counted from 0. A value of a validation is shown until the next validation; it was measured
    after the step of the line before.
    """

    tool = "nemo"
    epoch = None
    _LINE = re.compile(r"Training epoch (\d{1,9}), iteration (\d{1,12})(?:/(\d{1,12}))? \| ")
    _FIELD = re.compile(r"(?:^|\| )([A-Za-z][\w/ .-]{0,80}): (" + Number + r")(?=\s*(?:\||$))")
    _VALIDATION = "Validation: iteration "

    def __init__(self) -> None:
        super().__init__()
        self._step: float | None = None
        self._shown: dict[str, float] = {}
        self._validated: bool | None = None  # since the last line; None where no line says it

    def take(self, text: str, order: int) -> bool:
        """Take the values of a step."""
        if self._VALIDATION in text:
            self._validated = True
            return self._step is not None
        if "Training epoch " not in text or (match := self._LINE.search(text)) is None:
            return False
        values = {name: float(value) for name, value in self._FIELD.findall(text, match.end() - 2)}
        step = values.pop("global_step", None)
        planned = float(match[3]) + 1 if match[3] and match[1] == "0" else None
        if step is None and match[1] == "0":
            step = float(match[2])
        if step is None:
            return False
        step += 1
        evals = {name: value for name, value in values.items() if is_held_out(name)}
        trained = {name: value for name, value in values.items() if "loss" in name and name not in evals}
        trained |= {name: value for name, value in values.items() if name in ("lr", "grad_norm")}
        is_new = evals != self._shown if self._validated is None else self._validated
        if self._step is not None and step <= self._step:
            is_new = False  # of the process before
        if evals and is_new:
            self._journal.add(order, step if self._step is None else self._step, None, evals)
        if evals and self._validated:
            self._validated = False
        self._shown = evals or self._shown
        training = self._journal.add(order, step, None, trained)
        if planned is not None and planned >= step:
            training.facts["planned_steps"] = planned
        self._step = step
        return True


class StableBaselines(ByStep):
    """Stable-Baselines3: ``Eval num_timesteps=10000, episode_reward=200.00 +/- 12.30``, and tables with a
    section ``eval/``, which count where there is no such line. Steps are those of the environment.
    """

    tool = "stable-baselines3"
    epoch = None
    _EVAL = re.compile(r"Eval num_timesteps=(\d{1,12}), (\w{1,60})=(" + Number + r") \+/- ")

    _SECTION = re.compile(r"\| ([a-z_]{1,40}/) {1,40}\| {1,40}\|")
    _ENTRY = re.compile(r"\|    (\w{1,60}) {1,40}\| (" + Number + r") {1,40}\|")

    def __init__(self) -> None:
        super().__init__()
        self._section = ""
        self._entries: dict[str, float] = {}
        self._tables = Journal(self.tool)

    def take(self, text: str, order: int) -> bool:
        """Take an evaluation, or an entry of a table."""
        if "Eval num_timesteps=" in text and (match := self._EVAL.search(text)) is not None:
            self._journal.add(order, float(match[1]), None, {f"eval_{match[2]}": float(match[3])})
            return True
        if text[:1] == "|":
            if (section := self._SECTION.fullmatch(text)) is not None:
                self._section = section[1]
            elif self._section and (entry := self._ENTRY.fullmatch(text)) is not None:
                self._entries[self._section + entry[1]] = float(entry[2])
            else:
                return False
            return True
        if self._entries and text.startswith("---"):
            self._close(order)
        return False

    def _close(self, order: int) -> None:
        entries, self._entries, self._section = self._entries, {}, ""
        step = entries.get("time/total_timesteps")
        values = {
            name: value
            for name, value in entries.items()
            if name.startswith(("eval/", "rollout/", "train/")) and not name.endswith("n_updates")
        }
        if step is not None and any(name.startswith("eval/") for name in values):
            self._tables.add(order, step, None, values)

    def finish(self) -> list[Training]:
        """The trainings."""
        if not self._journal.trainings:
            self._journal = self._tables
        return super().finish()


class MACE:
    """MACE: ``Epoch 3: head: Default, loss=0.41, RMSE_E_per_atom= 5.10 meV, RMSE_F= 40.20 meV / A``, all of
    the validation set, and a line ``Initial:`` before the training. Epochs are counted from 0.
    """

    specific = True
    _LINE = re.compile(
        r"(?:^|\s)(?:Epoch (\d{1,9})|Initial): (?:head: ([\w.-]{1,80}), )?(?=loss=[^,]{1,40}, (?:RMSE|MAE)_)"
    )
    _FIELD = re.compile(r"(\w{1,60})=\s{0,12}(" + Number + r")(?=[,\s]|$)")

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("mace")

    def take(self, text: str, order: int) -> bool:
        """Take the values of an epoch."""
        if "loss=" not in text or "E_" not in text or (match := self._LINE.search(text)) is None:
            return False
        before = "valid" if match[2] in (None, "Default") else f"valid/{match[2]}"
        values = {f"{before}/{name}": float(value) for name, value in self._FIELD.findall(text, match.end())}
        place = float(match[1]) + 1 if match[1] else 0.0
        self._journal.begin_if_back(place, values)
        self._journal.add(order, None, place, values)
        return True

    def finish(self) -> list[Training]:
        """The trainings."""
        for training in self._journal:
            place_by_epoch(training)
        return self._journal.trainings


class Flower(ByStep):
    """Flower: ``fit progress: (3, 0.41, {'accuracy': 0.8}, 9.3)`` after each round, and the losses of the
    rounds at the end (``History (loss, distributed):``, ``round 3: 0.41``).
    """

    tool = "flower"
    epoch = None
    _PROGRESS = re.compile(r"fit progress: \((\d{1,9}), (" + Number + r"), \{([^{}]{0,2000})\}, ")
    _FIELD = re.compile(r"['\"]([^'\"]{1,80})['\"]: (?:np\.float\d\d\()?(" + Number + r")(?=[,)]|$)")
    _HISTORY = re.compile(r"History \((loss|metrics), (centralized|distributed)(?:, \w{1,20})?\):")
    _ROUND = re.compile(r"(?:^|\s)round (\d{1,9}): (" + Number + r")$")

    def __init__(self) -> None:
        super().__init__()
        self._listed: str | None = None

    def take(self, text: str, order: int) -> bool:
        """Take the evaluation of a round."""
        if "fit progress: (" in text and (match := self._PROGRESS.search(text)) is not None:
            values = {f"eval_{name}": float(value) for name, value in self._FIELD.findall(match[3])}
            self._journal.add(order, float(match[1]), None, {"eval_loss": float(match[2]), **values})
            return True
        if "History (" in text and (match := self._HISTORY.search(text)) is not None:
            is_new = match[2] == "distributed" or self._journal.current is None
            self._listed = f"eval_{match[2]}_loss" if match[1] == "loss" and is_new else None
            return True
        if self._listed is None or (match := self._ROUND.search(text)) is None:
            return False
        self._journal.add(order, float(match[1]), None, {self._listed: float(match[2])})
        return True


class CLU(ByStep):
    """CLU's metric writers: ``logging_writer.py:48] [100] eval/accuracy=0.8, eval/loss=1.5``, and those of
    T5X, ``[100] collection=training_eval/glue loss=1.5``, which name the set once for all values.
    """

    _STEP = re.compile(r"\[(\d{1,12})\](?: collection=([\w/.-]{1,120}))? (?=[A-Za-z])")
    _VALUE = re.compile(r"(?:^|, )([A-Za-z][\w/@. -]{0,120})=(" + Number + r")(?=, |$)")

    def take(self, text: str, order: int) -> bool:
        """Take the values of a step."""
        if "=" not in text or "] [" not in text:
            return False
        match = self._STEP.match(without_logger(text))
        if match is None:
            return False
        rest = match.string[match.end() : 8000]
        before = f"{match[2]}/" if match[2] else ""
        values = {before + name: float(value) for name, value in self._VALUE.findall(rest)}
        if not any(map(is_metric, values)):
            return False
        self._journal.add(order, float(match[1]), None, values)
        return True
