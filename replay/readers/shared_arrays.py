"""Arrays that many logs have in common, and what was found out about them.

The runs of a sweep log at the same steps. Their logs share the arrays of places and steps, so that what
follows from steps alone is found once, and is kept in memory once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt

__all__ = ["Known", "shared"]

#: Arrays up to this length are shared, and so many of them are known.
_LONGEST, _MOST = 2_000, 1_024
#: What was made of more arrays than a log usually has is not kept.
_MANY = 1_000

_Array = TypeVar("_Array", bound=npt.NDArray[Any])
_Made = TypeVar("_Made")


def shared(array: _Array) -> _Array:
    """An equal array that cannot be written to: the same one for all logs that have it, unless it is long."""
    if not 0 < len(array) <= _LONGEST or not array.flags.c_contiguous:
        array.flags.writeable = False
        return array
    return cast("_Array", _of_bytes(array.tobytes(), array.dtype.char))


@lru_cache(_MOST)
def _of_bytes(data: bytes, kind: str) -> npt.NDArray[Any]:
    return np.frombuffer(data, dtype=kind)


def _may_be_shared(array: npt.NDArray[Any]) -> bool:
    return len(array) <= _LONGEST and isinstance(array.base, bytes)


class Known(Generic[_Made]):
    """What was made of some shared arrays: of all, up to ``most`` that were made last."""

    def __init__(self, most: int) -> None:
        self._most = most
        # the arrays are kept, so that no others have their ids
        self._made: OrderedDict[Hashable, tuple[_Made, Sequence[npt.NDArray[Any]]]] = OrderedDict()

    def get(self, arrays: Sequence[npt.NDArray[Any]], more: Hashable, make: Callable[[], _Made]) -> _Made:
        """What ``make`` returns for the arrays, and for ``more`` that it depends on."""
        key = (*map(id, arrays), more)
        known = self._made.get(key)
        if known is not None:
            return known[0]
        made = make()
        if len(arrays) <= _MANY and all(map(_may_be_shared, arrays)):
            self._made[key] = made, arrays
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        return made
