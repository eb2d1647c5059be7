"""The progress of epochs as Keras and Lightning draw it, and other loops with a progress bar.

A bar is drawn many times, with the values of the epoch so far: only its last state counts, and only where the
epoch is complete.
"""

from __future__ import annotations

import re

from replay.readers.series_names import is_held_out
from replay.readers.text.journal import Journal, Training, place_by_epoch, place_rows
from replay.readers.text.lines import Bar, Number, bars

__all__ = ["Keras", "Lightning", "RichLightning"]


class Keras:
    """Keras: ``Epoch 3/10``, then ``50/50 ━━━━ 1s 5ms/step - loss: 0.41 - val_loss: 0.39``."""

    specific = True
    _EPOCH = re.compile(r"(?:^|\s)Epoch (\d{1,9})/(\d{1,9})(?=\s|$)")
    _STATE = re.compile(r"\s{0,8}(?:(\d{1,12})/(\d{1,12}|Unknown)\s|- \d{1,9}(?:\.\d{1,9})?m?s - )")
    _FIELD = re.compile(r" - ([A-Za-z_][\w/@.-]{0,80}): (" + Number + r")(?=\s|$)")
    _STOPPED = re.compile(r"Epoch 0{0,6}\d{1,9}: early stopping")

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("keras")
        self._epoch: float | None = None
        self._planned = 0.0
        self._state: dict[str, float] = {}
        self._order = 0
        self._closed = False
        self._headless: tuple[int, dict[str, float]] | None = None

    def take(self, text: str, order: int) -> bool:
        """Take the head of an epoch, or the state of its bar."""
        taken = False
        rest = text
        if "Epoch " in text:
            match = self._EPOCH.search(text)
            behind = "" if match is None else text[match.end() :]
            if match is not None and not self._is_own(behind):
                return False
            if match is not None:
                taken = True
                self._close()
                epoch = float(match[1])
                if self._headless is not None and self._epoch is None and epoch > 1:
                    self._journal.add(self._headless[0], None, epoch - 1, self._headless[1])
                if epoch == 1 and self._epoch is not None:
                    self._journal.begin()
                self._epoch, self._planned = epoch, float(match[2])
                self._closed = False
                rest = behind
                if " - " not in rest:
                    return False  # the head of an epoch is that of other loops as well
            elif self._STOPPED.search(text):
                if self._state or self._journal.current is not None:
                    self._close()
                    if self._journal.current is not None:
                        self._journal.current.facts["stopped_by"] = "early stopping"
                return True
        if self._epoch is None:
            self._note_headless(rest, order)
        if self._epoch is None or " - " not in rest or ": " not in rest:
            return taken
        state = self._STATE.match(rest)
        if state is None and not taken:
            return False
        values = {name: float(value) for name, value in self._FIELD.findall(rest)}
        if not values:
            return taken
        if state is not None and state[1] is not None and state[2] not in (state[1], "Unknown"):
            if self._state:
                self._closed = True  # another bar: an evaluation after the epoch
            return True
        if not self._closed and (not self._state or not self._has_eval() or len(values) >= len(self._state)):
            self._state, self._order = values, order
        return True

    def _note_headless(self, text: str, order: int) -> None:
        """Remember the last state of a bar before the first head: the text begins within an epoch."""
        state = self._STATE.match(text) if " - " in text else None
        if state is not None and (state[1] is None or state[1] == state[2]):
            values = {name: float(value) for name, value in self._FIELD.findall(text)}
            if any(map(is_held_out, values)):
                self._headless = (order, values)

    def _is_own(self, behind: str) -> bool:
        """Whether what stands behind ``Epoch 3/10`` may be of Keras: nothing, or the values of the epoch."""
        if not behind.strip():
            return True
        if "|" in behind or behind.count(": ") != len(self._FIELD.findall(behind)):
            return False
        return self._STATE.match(behind) is not None or self._FIELD.match(behind) is not None

    def _has_eval(self) -> bool:
        return any(is_held_out(name) for name in self._state)

    def _close(self) -> None:
        """The epoch is over: its last state is its row."""
        if self._epoch is not None and self._state:
            training = self._journal.add(self._order, None, self._epoch, self._state)
            training.facts["planned_epochs"] = training.facts["planned_steps"] = self._planned
            if not self.seen:
                self.seen.append("Keras")
        self._state = {}

    def finish(self) -> list[Training]:
        """The trainings."""
        self._close()
        for training in self._journal:
            place_by_epoch(training)
        return self._journal.trainings


class Lightning:
    """Lightning: ``Epoch 3: 100%|████| 50/50 [00:05<00:00, 9.1it/s, v_num=0, val_loss=0.39]``; and loops that
    call their bar ``Epoch 3/10``.

    Lightning counts epochs from 0. It shows the values of the last validation until the next one, so that an
    epoch has an eval only where its last state follows a validation. A validation within an epoch is an eval
    at the part of the epoch that the bar shows.
    """

    specific = True
    _EPOCH = re.compile(r"(?:^|\s)[Ee]poch:?\s?\[?(\d{1,9})(?:\s?/\s?(\d{1,9})\]?)?\]?$")
    _FIELD = re.compile(
        r"(?:^|[\s,\[{'\"])([A-Za-z_][\w/@.-]{0,80})['\"]?[=:]\s?['\"]?(" + Number + r")(?=[,\]\s}'\"]|$)"
    )
    _VALIDATION = re.compile(r"Validat(?:ion|ing)")
    _STOPPED = "Signaling Trainer to stop"

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("lightning")
        self._epoch: float | None = None
        self._planned: float | None = None
        self._state: dict[str, float] = {}
        self._order = 0
        self._whole = False
        self._validates = False  # whether validations draw bars of their own in this text
        self._validated = False
        self._shown: dict[str, float] = {}  # the evals of the epoch before
        self._within = False  # whether a validation has ended whose values no bar showed yet

    def take(self, text: str, order: int) -> bool:
        """Take the progress bar of an epoch or of a validation."""
        if "%|" not in text:
            if self._STOPPED in text and self._journal.current is not None:
                self._journal.current.facts["stopped_by"] = "EarlyStopping"
                return True
            return False
        taken = False
        for bar in bars(text) if "poch" in text or "Validat" in text else ():
            if self._VALIDATION.search(bar.before):
                self._validates = self._validated = True
                self._within = bar.done == bar.total
                taken = self._epoch is not None
                continue
            match = self._EPOCH.search(bar.before)
            if match is not None:
                self._take_bar(bar, float(match[1]), match[2], order)
                taken = True
        return taken

    def _take_bar(self, bar: Bar, epoch: float, planned: str | None, order: int) -> None:
        if epoch != self._epoch:
            self._close()
            if self._epoch is not None and epoch < self._epoch and epoch <= 1:
                self._journal.begin()
                self._shown = {}
            self._epoch = epoch
            self._validated = self._within = False
        elif 1 <= bar.done < bar.total and self._whole:
            self._close()  # the same epoch begins again: a training of one epoch, and another one
            self._journal.begin()
            self._shown = {}
        self._planned = None if planned is None else float(planned)
        values = {
            name: float(value)
            for name, value in self._FIELD.findall(bar.behind)
            if name not in ("v_num", "refresh_rate", "loss_step")
        }
        if bar.done == bar.total:
            self._whole, self._within = True, False
        elif self._within and bar.done and not self._whole:
            self._add_within(values, epoch - 1 + bar.done / bar.total, order)
        if values:
            self._state, self._order = values, order

    def _add_within(self, values: dict[str, float], place: float, order: int) -> None:
        """Add the values of a validation within an epoch, once the bar of the epoch shows them."""
        evals = {name: value for name, value in values.items() if is_held_out(name)}
        if evals:
            self._journal.add(order, None, place, values)
            self._within = self._validated = False
            self._shown = evals

    def _close(self) -> None:
        """The epoch is over: its last state is its row, without the evals that are those of an epoch
        before.
        """
        if self._epoch is not None and self._state and self._whole:
            evals = {name: value for name, value in self._state.items() if is_held_out(name)}
            stale = not self._validated if self._validates else evals == self._shown
            if self._state:
                training = self._journal.add(self._order, None, self._epoch, self._state, stale)
                if self._planned is not None:
                    training.facts["planned_epochs"] = training.facts["planned_steps"] = self._planned
            self._shown = evals
        self._state, self._whole = {}, False

    def finish(self) -> list[Training]:
        """The trainings."""
        self._close()
        for training in self._journal:
            _drop_stale(training)
            # a place within the first epoch that is counted as 0 lies before it
            zero_based = min(row.epoch or 0.0 for row in training.rows) <= 0
            training.placed = place_rows(
                training,
                [(row.epoch or 0.0, row) for row in training.rows],
                by_epoch=True,
                zero_based=zero_based,
            )
        return self._journal.trainings


def _drop_stale(training: Training) -> None:
    """Drop the evals of epochs without a validation, which show those of an epoch before. Where two epochs in
    a row have new ones, each epoch has a validation, and what is shown again came out the same.
    """
    evaluated = [row for row in training.rows if row.epoch is not None and any(map(is_held_out, row.values))]
    new = {row.epoch for row in evaluated if not row.beside}
    if any(row.beside is False and row.epoch is not None and row.epoch + 1 in new for row in evaluated):
        return
    rows = []
    for row in training.rows:
        values = row.values
        if row.beside:
            values = {name: value for name, value in values.items() if not is_held_out(name)}
        if values:
            rows.append(row._replace(values=values))
    training.rows = rows or training.rows


class RichLightning(Lightning):
    """Lightning with rich: ``Epoch 3/9 ━━━━ 50/50 0:00:05 • 0:00:00 9.1it/s train_loss: 0.41``, where further
    values stand in lines of their own, below the first.
    """

    _RICH = re.compile(
        r"(Epoch (\d{1,9})/(\d{1,9}|-2)|Validation)\s{1,40}[━╸╺\- ]{2,400}\s?(\d{1,12})/(\d{1,12})\s"
        r"\d{1,4}:\d\d:\d\d •(?: [-:\d]{5,12})?\s{1,40}(?:[\d.]{1,12}it/s)?(.{0,2000})$"
    )
    _BELOW = re.compile(r"\s{8,400}(?=[A-Za-z_])(.{1,2000})$")
    #: A time that was too long for its column.
    _TIME = re.compile(r"\s{8,400}[-:\d]{5,12}$")

    def __init__(self) -> None:
        super().__init__()
        #: The state that further lines may complete: its line, and what it shows.
        self._waiting: tuple[int, re.Match[str]] | None = None
        self._behind = ""

    def take(self, text: str, order: int) -> bool:
        """Take a state of a bar, or a line of values below it."""
        match = self._RICH.match(text) if " • " in text else None
        if match is not None:
            self._draw()
            self._waiting, self._behind = (order, match), match[6]
            return True
        if self._waiting is not None:
            below = self._BELOW.match(text)
            if below is not None and self._FIELD.search(below[1]) is not None:
                self._behind += f" {below[1]}"
                return True
            if self._TIME.match(text) is not None:
                return True
            self._draw()
        return "%|" not in text and super().take(text, order)

    def _draw(self) -> None:
        """Take the state whose lines are complete."""
        if self._waiting is None:
            return
        order, match = self._waiting
        self._waiting = None
        done, total = float(match[4]), float(match[5])
        if match[2] is None:
            self._validates = self._validated = True
            self._within = done == total
            return
        if self._whole and done < total and self._epoch is not None and float(match[2]) == self._epoch + 1:
            # what the next epoch shows at its begin is what the one before measured
            fields = self._FIELD.findall(self._behind)
            self._state |= {name: float(value) for name, value in fields if is_held_out(name)}
        planned = None if match[3] == "-2" else str(int(match[3]) + 1)
        self._take_bar(Bar(match[1], done, total, self._behind, 0), float(match[2]), planned, order)

    def finish(self) -> list[Training]:
        """The trainings."""
        self._draw()
        return super().finish()
