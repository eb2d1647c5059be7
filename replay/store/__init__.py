"""Runs in Parquet files: append, deduplicate, filter, and read back bit for bit.

It needs pyarrow, and DuckDB for filters, which are imported when they are needed (the extra ``store``).
"""

from replay.store.manifest import FILE_NAME, SCHEMA, Import, Manifest, Shard, is_store
from replay.store.store import Added, Origin, Store

__all__ = [
    "FILE_NAME",
    "SCHEMA",
    "Added",
    "Import",
    "Manifest",
    "Origin",
    "Shard",
    "Store",
    "is_store",
]
