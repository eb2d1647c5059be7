"""How much is listed and fetched of one URL, so that a wrong URL does not fill the disk."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """The most that is taken of one URL, in files and bytes."""

    #: Names that are listed.
    names: int = 200_000
    #: Folders below each other.
    depth: int = 32
    #: Files that are fetched.
    files: int = 50_000
    #: Bytes of one file.
    file_bytes: int = 1 << 30
    #: Bytes of one file of which only the ending says that it may be a log, as of a table or a database.
    table_bytes: int = 1 << 26
    #: Bytes of all files.
    total_bytes: int = 1 << 33
    #: Runs of an experiment of an MLflow server.
    runs: int = 20_000
    #: Requests at once.
    requests: int = 8
