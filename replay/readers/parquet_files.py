"""Reads Parquet files with pyarrow, which is imported when there is one to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.readers.format import UnusableLog

__all__ = ["is_parquet_of", "parquet_rows"]

_MAGIC = b"PAR1"
#: Files with more data than this, uncompressed, are no logs of metrics.
_LARGEST = 4 * 1024**3


def is_parquet_of(path: Path, columns: Sequence[str]) -> bool:
    """Whether the end of a Parquet file, which holds its schema, names all these columns."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            size = file.tell()
            file.seek(max(size - 256 * 1024, 0))
            footer = file.read()
    except OSError:
        return False
    return all(name.encode() in footer for name in columns)


def parquet_rows(path: Path, findings: list[Finding]) -> Iterator[dict[str, Any]]:
    """The rows of a file by column, without the cells that hold no value. Raises UnusableLog where the file
    or pyarrow is not usable, OSError where the file cannot be read.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        facts = {"package": "pyarrow", "what": "Parquet files"}
        raise UnusableLog(Finding(Kind.MISSING_PACKAGE, log=str(path), facts=facts)) from None
    count = 0
    try:
        with path.open("rb") as raw, parquet.ParquetFile(raw) as file:
            groups = range(file.metadata.num_row_groups)
            if sum(file.metadata.row_group(group).total_byte_size for group in groups) > _LARGEST:
                raise UnusableLog(Finding(Kind.UNREADABLE_TABLE, log=str(path), facts={"error": "too large"}))
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    yield {name: value for name, value in row.items() if value is not None}
                    count += 1
    except (pyarrow.ArrowException, ValueError, OSError, MemoryError) as error:
        text = str(error).split("\n", 1)[0] or type(error).__name__
        finding = Finding(Kind.UNREADABLE_TABLE, log=str(path), facts={"error": text, "rows": count})
        if not count:
            raise UnusableLog(finding) from None
        findings.append(finding)
