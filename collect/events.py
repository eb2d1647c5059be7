"""TensorBoard events of a run, under the tags of transformers' own callback.

torch's writer puts the machine's name into the file's name, and keeps values back in a queue; this one does
neither.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from transformers.integrations.integration_utils import TensorBoardCallback

from collect.disk import named

__all__ = ["EventFile", "Events"]


class EventFile:
    """An event file of scalars, with the methods that the callback calls; each value is with the system when
    written.
    """

    def __init__(self, folder: Path, name: str) -> None:
        second = int(time.time())
        while (path := folder / f"events.out.tfevents.{second}.{name}").exists():  # resumed within a second
            second += 1
        self._path = path
        self._records: Any = None

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        if self._records is None:
            self._records = RecordWriter(self._path.open("xb"))
            self._add(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._add(
            Event(
                wall_time=time.time(),
                step=step,
                summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]),
            )
        )

    def _add(self, event: Any) -> None:
        with named(self._path):
            self._records.write(event.SerializeToString())
            self._records.flush()

    def add_text(self, *args: Any) -> None:
        """Texts are left out: they hold the paths of the machine, and the log's header says what matters."""

    def flush(self) -> None:
        if self._records is not None:
            self._records.flush()

    def close(self) -> None:
        if (records := self._records) is not None:
            self._records = None
            with named(self._path):
                records.close()


class Events(TensorBoardCallback):  # type: ignore[misc, unused-ignore]
    """transformers' callback, writing to an `EventFile`."""

    def __init__(self, file: EventFile) -> None:
        super().__init__(tb_writer=file)  # type: ignore[no-untyped-call]
