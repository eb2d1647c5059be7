"""Reads SQLite databases without changing them, whatever they hold.

A database that is opened in the usual way is changed: the write-ahead log (``X-wal``) beside it is merged
and deleted, an interrupted transaction is rolled back. So a database with such a file beside it is copied
into a temporary folder, and the copy is read. Any other is opened in place and read-only (``immutable``),
which takes no lock and creates no file.

A schema is untrusted. Only columns of plain tables are read, one table at a time in the order of its rows. No
view, trigger, function or virtual table is evaluated, and a query that takes more work than a file of its
size can need is ended.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.readers.format import UnusableLog

__all__ = ["LARGEST_COPY", "MAGIC", "Database", "open_database", "sources_of", "table_names"]

MAGIC = b"SQLite format 3\0"
#: Databases that have to be copied are read up to this size.
LARGEST_COPY = 2 * 1024**3
_LONGEST_CELL = 64 * 1024 * 1024
_CREATE = re.compile(rb"CREATE TABLE (?:IF NOT EXISTS )?[\"'`\[]?(\w{1,64})", re.IGNORECASE)
_SUPER_JOURNAL = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
_READ = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ}
#: SQLite's message may quote bytes of a damaged schema that are not text, which Python does not decode.
_ERRORS = (sqlite3.Error, UnicodeError)
_INSTRUCTIONS = 100_000  # between two looks at the work done


def table_names(path: Path, head: bytes) -> frozenset[str]:
    """Names of the tables of a database, empty where the file is not one.

    Where the schema cannot be read, they are the names that the texts of the schema hold in the first part of
    the file, or of the write-ahead log, which has them as long as nobody has merged it.
    """
    if not head.startswith(MAGIC):
        return frozenset()
    names = set[str]()
    with suppress(sqlite3.Error, OSError, ValueError), closing(_connect(path, "immutable=1")) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 10000")
        names = {str(name) for (name,) in rows}
    if not names:
        names = _mentioned(head)
        with suppress(OSError):
            wal = _beside(path, "-wal")
            if wal is not None:
                with wal.open("rb") as file:
                    names |= _mentioned(file.read(4 * 1024 * 1024))
    return frozenset(names)


def _mentioned(data: bytes) -> set[str]:
    return {match[1].decode("ascii", "replace") for match in _CREATE.finditer(data)}


def sources_of(path: Path) -> tuple[Path, ...]:
    """The files that hold a database: it, and its write-ahead log where there is one."""
    wal = _beside(path, "-wal")
    return (path,) if wal is None else (path, wal)


class Database:
    """The plain tables of an open database; ``findings`` say what could not be read."""

    def __init__(self, path: Path, connection: sqlite3.Connection, size: int) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self._connection = connection
        self._allowed = 10_000_000 + 64 * size
        self._work = 0
        connection.set_progress_handler(self._interrupt, _INSTRUCTIONS)
        self._columns: dict[str, tuple[str, ...]] = {}
        tables = connection.execute(
            "SELECT name FROM sqlite_master"
            " WHERE type = 'table' AND typeof(name) = 'text' AND sql NOT LIKE 'CREATE VIRTUAL%' LIMIT 10000"
        ).fetchall()
        for (name,) in tables:
            with suppress(*_ERRORS):
                columns = connection.execute(f"PRAGMA table_info({_quoted(name)})").fetchall()
                self._columns[name] = tuple(str(column[1]) for column in columns)
        connection.set_authorizer(_authorize)

    def columns(self, table: str) -> tuple[str, ...]:
        """Names of a table's columns; empty where there is no such table."""
        return self._columns.get(table, ())

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a table in the order in which they were inserted; None for a column that it lacks.

        Of a damaged table, the rows before the damage are read.
        """
        there = self.columns(table)
        if not there:
            return
        cells = ", ".join(_quoted(name) if name in there else "NULL" for name in columns)
        self._work = 0
        count = 0
        try:
            for row in self._connection.execute(f"SELECT {cells} FROM {_quoted(table)} NOT INDEXED"):
                yield row
                count += 1
        except (*_ERRORS, OverflowError, MemoryError) as error:
            facts = {"table": table, "error": str(error) or type(error).__name__, "rows": count}
            self.findings.append(Finding(Kind.DAMAGED_TABLE, log=str(self.path), facts=facts))

    def _interrupt(self) -> bool:
        self._work += _INSTRUCTIONS
        return self._work > self._allowed


@contextmanager
def open_database(path: Path) -> Iterator[Database]:
    """A database for reading. Raises UnusableLog where it cannot be read, OSError where a file cannot."""
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        journal = _journal(path)
        beside = [other for other in (_beside(path, "-wal"), journal) if other is not None]
        size = sum(file.stat().st_size for file in (path, *beside))
        cut, shorter = _missing_end(path)
        if cut == path.stat().st_size > 0:
            facts: dict[str, Any] = {"error": "it ends in its first page"}
            raise UnusableLog(Finding(Kind.UNREADABLE_DATABASE, log=str(path), facts=facts))
        mode, target = "immutable=1", path
        if beside or cut:
            if size > LARGEST_COPY:
                facts = {"size": size, "largest": LARGEST_COPY, "beside": beside[0].name if beside else None}
                raise UnusableLog(Finding(Kind.LARGE_DATABASE, log=str(path), facts=facts))
            mode, target = "mode=rw", Path(folder) / "copy"
            shutil.copyfile(path, target)
            if cut:  # SQLite would take what is missing of the page for zeros, and read wrong values
                os.truncate(target, target.stat().st_size - cut)
            for other in beside:
                shutil.copyfile(other, target.with_name(target.name + other.name.removeprefix(path.name)))
        try:
            with closing(_connect(target, mode)) as connection:
                if shorter:  # otherwise nothing of such a file is read
                    connection.execute("PRAGMA writable_schema = ON")
                yield Database(path, connection, size)
        except _ERRORS as error:
            raise UnusableLog(
                Finding(Kind.UNREADABLE_DATABASE, log=str(path), facts={"error": str(error)})
            ) from None


def _missing_end(path: Path) -> tuple[int, bool]:
    """How many bytes follow the last whole page of a database (0 where it is not cut off in a page), and
    whether it has fewer pages than its header says.
    """
    with path.open("rb") as file:
        head = file.read(100)
    page = int.from_bytes(head[16:18], "big") if len(head) == 100 else 0
    page = 65536 if page == 1 else page
    if page < 512 or page.bit_count() != 1:
        return 0, False
    size = path.stat().st_size
    return size % page, size // page < int.from_bytes(head[28:32], "big")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    access = "mode=ro&immutable=1" if mode == "immutable=1" else mode
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?{access}", uri=True, timeout=0, cached_statements=0
    )
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_CELL)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def _authorize(action: int, *_: str | None) -> int:
    """Allows reading columns, and nothing else: no function, no attached file, no change."""
    return sqlite3.SQLITE_OK if action in _READ else sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _beside(path: Path, ending: str) -> Path | None:
    """The file beside a database with this ending, where there is one that holds anything."""
    other = path.with_name(path.name + ending)
    with suppress(OSError):
        status = other.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size:
            return other
    return None


def _journal(path: Path) -> Path | None:
    """The rollback journal of an interrupted transaction. One that names a further file is not used, since
    rolling it back may delete that file.
    """
    journal = _beside(path, "-journal")
    if journal is None:
        return None
    with journal.open("rb") as file:
        file.seek(-min(8, journal.stat().st_size), 2)
        return None if file.read() == _SUPER_JOURNAL else journal
