"""Metrics of several eval sets that a trainer logs under one name.

transformers writes a row per eval set, ``eval_a_loss`` and ``eval_a_runtime``. What TRL adds to the row, as
``eval_entropy``, has no set in its name: it is that of the row's set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from replay.readers.series_names import is_bookkeeping

__all__ = ["names_by_set"]

#: A trainer has a few kinds of rows for each set.
_MOST_SHAPES = 256
_RUNTIME = re.compile(r"eval_(.+)_runtime")


def names_by_set(rows: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], dict[str, str]]:
    """For rows with these names, the names with the row's set; none where there are no two sets that share a
    name.
    """
    shapes = tuple(dict.fromkeys(rows))
    return _names_by_set(shapes) if 1 < len(shapes) <= _MOST_SHAPES else {}


@lru_cache(16)
def _names_by_set(shapes: tuple[tuple[str, ...], ...]) -> dict[tuple[str, ...], dict[str, str]]:
    sets = {shape: found for shape in shapes if (found := _set_of(shape)) is not None}
    if len(set(sets.values())) < 2:
        return {}
    owners: dict[str, set[str]] = {}
    for shape, own in sets.items():
        for name in shape:
            if name.startswith("eval_") and not name.startswith(f"eval_{own}_") and _is_measured(name):
                owners.setdefault(name, set()).add(own)
    several = {name for name, of in owners.items() if len(of) > 1}
    renamed = {
        shape: {name: f"eval_{own}_{name.removeprefix('eval_')}" for name in shape if name in several}
        for shape, own in sets.items()
    }
    return {shape: names for shape, names in renamed.items() if names}


def _is_measured(name: str) -> bool:
    return not (is_bookkeeping(name) or name.endswith("num_tokens"))


def _set_of(names: Sequence[str]) -> str | None:
    """The set of a row, by the name of its runtime."""
    found = [match[1] for name in names if (match := _RUNTIME.fullmatch(name)) is not None]
    return found[0] if len(found) == 1 else None
