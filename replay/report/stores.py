"""What ``replay inspect`` shows of a store beside its runs: its size, its schema version and its imports."""

from __future__ import annotations

from typing import Any

from replay.report.document import Block, Paragraph, Table
from replay.store import SCHEMA, Manifest

__all__ = ["store_blocks", "store_data"]

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def store_blocks(store: Manifest) -> list[Block]:
    """A sentence on the store, and its imports: the last ones in the brief form, all in the long one."""
    size = sum(shard.bytes for shard in store.shards)
    text = (
        f"Store {store.path.parent}: {_count(store.runs, 'run')} with {_count(store.evals, 'eval')} in"
        f" {_count(len(store.shards), 'file')} of {_size(size)}, schema version {store.schema}."
    )
    lines = [text]
    if store.schema < SCHEMA:
        lines.append(f"The next import writes the store in schema version {SCHEMA}.")
    blocks: list[Block] = [Paragraph(lines, hanging=2)]
    head = ["import", "time", "runs", "duplicates", "renamed", "problems", "from"]
    rows = [
        [
            str(one.number),
            one.time,
            str(one.runs),
            str(one.duplicates),
            str(one.renamed),
            str(one.findings),
            _paths(one.paths),
        ]
        for one in store.imports
    ]
    return [*blocks, Table(head, rows, (1, 6), detail="verbose")]


def store_data(store: Manifest) -> dict[str, Any]:
    """The same as data."""
    return {
        "path": str(store.path.parent),
        "schema": store.schema,
        "runs": store.runs,
        "evals": store.evals,
        "bytes": sum(shard.bytes for shard in store.shards),
        "files": [vars(shard) for shard in store.shards],
        "imports": [{**vars(one), "paths": list(one.paths)} for one in store.imports],
    }


def _paths(paths: tuple[str, ...]) -> str:
    return ", ".join(paths[:2]) + (f" and {len(paths) - 2} more" if len(paths) > 2 else "")


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _size(count: int) -> str:
    """A number of bytes in the largest unit of which there is one."""
    size, unit = float(count), 0
    while size >= 1024 and unit + 1 < len(_UNITS):
        size, unit = size / 1024, unit + 1
    return f"{size:,.0f} {_UNITS[unit]}" if unit == 0 else f"{size:,.1f} {_UNITS[unit]}"
