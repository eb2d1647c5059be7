"""Floating-point operations of a training of collect, measured once for each shape of a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from collect.operations import Counter

if TYPE_CHECKING:
    from collect.eval_log import EvalLog

__all__ = ["Meter"]


class Meter:
    """Adds the operations of each forward or training pass to a counter of the log.

    A shape's first pass is measured, and later passes of that shape count the same.
    """

    def __init__(self, log: EvalLog) -> None:
        self._log = log
        self._known: dict[tuple[Any, ...], float] = {}

    @contextlib.contextmanager
    def measure(self, counter: str, inputs: Mapping[str, Any], kind: str = "") -> Iterator[None]:
        """Count what runs inside under ``counter``; ``inputs`` is the batch, whose shape decides, for passes
        of one ``kind``.
        """
        key = (
            counter,
            kind,
            *(tuple(inputs[name].shape) for name in ("input_ids", "labels") if name in inputs),
        )
        if key in self._known:
            yield
        else:
            with Counter() as counted:
                yield
            self._known[key] = counted.total
        self._log.count(**{counter: self._known[key]})

    @contextlib.contextmanager
    def counted(self, counter: str) -> Iterator[None]:
        """Count what runs inside under ``counter``, each time anew: where no shape says how much it is."""
        with Counter() as counted:
            yield
        self._log.count(**{counter: counted.total})
