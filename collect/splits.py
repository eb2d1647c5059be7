"""Examples of one file, dealt out to the splits, with a count of all that is left out."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from collect.config import Data
from replay.errors import InputError

__all__ = ["Counts", "Example", "split", "take"]


class Example(NamedTuple):
    """One example: what goes in, and what is to come out (a label, or an answer)."""

    source: str
    target: str

    @property
    def prompt(self) -> str:
        """What no two splits may share: what goes in, or else the text itself."""
        return self.source or self.target


class _HasPrompt(Protocol):
    @property
    def prompt(self) -> str: ...


_E = TypeVar("_E", bound=_HasPrompt)


@dataclass(frozen=True)
class Counts:
    """What became of the rows of a file, or of a split of a data set on the hub.

    ``filtered`` rows are those that ``where`` leaves out, ``empty`` ones lack a value, ``duplicates`` repeat
    an example, ``separated`` ones have the prompt of an example in another split, and ``unused`` ones are
    beyond the sizes that were asked for. ``splits`` counts the examples. All of these add up to ``rows``.
    """

    origin: str
    rows: int
    filtered: int = 0
    empty: int = 0
    duplicates: int = 0
    separated: int = 0
    unused: int = 0
    splits: dict[str, int] = dataclasses.field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As plain JSON values, for the header of the log."""
        plain = dataclasses.asdict(self)
        return {"source": plain.pop("origin"), **plain}

    def __str__(self) -> str:
        left_out = [
            f"{count:,} {what}"
            for count, what in (
                (self.filtered, "filtered out by where"),
                (self.empty, "with an empty column"),
                (self.duplicates, "duplicates" if self.duplicates > 1 else "duplicate"),
                (self.separated, "with a prompt of another split"),
                (self.unused, "not needed"),
            )
            if count
        ]
        used = ", ".join(f"{count:,} {name}" for name, count in self.splits.items())
        return f"{self.origin}: {self.rows:,} rows read; {used}" + (
            f"; left out: {', '.join(left_out)}" if left_out else ""
        )


def split(
    examples: Sequence[_E], counts: Counts, data: Data
) -> tuple[tuple[list[_E], list[_E], list[_E]], Counts]:
    """(train, validation, test) of the sizes that the config asks for, and what was left out.

    Examples of one prompt stay together, unless ``data.allow_overlap`` is set. Where a held-out split has
    room for a part of them only, the others are left out of all splits. Raises InputError where there are too
    few examples.
    """
    groups: dict[Any, list[_E]] = {}
    for number, example in enumerate(examples):
        groups.setdefault(number if data.allow_overlap else example.prompt, []).append(example)
    shuffled = random.Random(data.seed).sample(list(groups.values()), len(groups))
    # held-out examples come first, so that runs with other train sizes are judged on the same ones
    validation, rest, cut = _fill(shuffled, data.validation_size or 0)
    test, rest, cut_too = _fill(rest, data.test_size or 0)
    train = [example for group in rest for example in group]
    size = len(train) if data.train_size is None else data.train_size
    complete = len(validation) == (data.validation_size or 0) and len(test) == (data.test_size or 0)
    if size < 1 or size > len(train) or not complete:
        raise InputError(
            f"{counts.origin} has {len(examples)} different examples; train"
            f" {'(the rest)' if data.train_size is None else size}, validation {data.validation_size} and"
            f" test {data.test_size or 0} do not fit into it"
            + (
                ""
                if len(groups) == len(examples)
                else f". They have {len(groups)} different prompts, and examples of one prompt stay in one"
                " split unless data.allow_overlap = true"
            )
        )
    sizes = {"train": size, "validation": len(validation), "test": len(test)}
    return (train[:size], validation, test), dataclasses.replace(
        counts,
        separated=cut + cut_too,
        unused=len(train) - size,
        splits={name: count for name, count in sizes.items() if count},
    )


def take(
    name: str, examples: Sequence[_E], counts: Counts, size: int | None, seed: int
) -> tuple[list[_E], Counts]:
    """The examples of a file that is one split: all in their order, or ``size`` of them drawn by the seed.

    Raises InputError where there are fewer.
    """
    if size is None:
        size, taken = len(examples), list(examples)
    elif size > len(examples):
        raise InputError(
            f"{counts.origin} has {len(examples)} different examples, fewer than the {size} asked for"
        )
    else:
        taken = random.Random(seed).sample(examples, len(examples))[:size]
    return taken, dataclasses.replace(counts, unused=len(examples) - size, splits={name: size})


def _fill(groups: Sequence[list[_E]], size: int) -> tuple[list[_E], list[list[_E]], int]:
    """(``size`` examples of whole groups as far as these fit, the groups that remain, how many examples were
    cut off the last group).
    """
    taken: list[_E] = []
    rest: list[list[_E]] = []
    for group in groups:
        if len(taken) + len(group) <= size:
            taken += group
        else:
            rest.append(group)
    if len(taken) == size or not rest:
        return taken, rest, 0
    room = size - len(taken)
    return taken + rest[0][:room], rest[1:], len(rest[0]) - room
