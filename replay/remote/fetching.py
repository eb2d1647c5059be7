"""Copies those files of a listing that can be logs into a folder, several at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, BinaryIO

from replay.data.finding import Finding, Kind
from replay.readers import sniff
from replay.readers.find import HEAD
from replay.readers.sqlite_files import MAGIC
from replay.remote.failures import Incomplete, reason
from replay.remote.limits import Limits
from replay.remote.listing import Entry, Listing
from replay.remote.names import Decision, Names

__all__ = ["Counting", "Fetch"]

#: Shows how many of some items are done, as click.progressbar does; of an iterator, only that it goes on.
Counting = Callable[[Iterable[Any]], AbstractContextManager[Iterable[Any]]]

_CHUNK = 1 << 20
#: Endings of files that cannot be recognised by their beginning.
_WHOLE = (MAGIC, b"PAR1")


class _OverLimit(Exception):
    """A file, or all files together, are larger than the limit."""

    def __init__(self, part: str, limit: int) -> None:
        super().__init__(part)
        self.part, self.limit = part, limit


class Fetch:
    """Copies the files of one listing below ``folder``; ``findings`` say what was left out, ``copied`` how
    many files were kept.
    """

    def __init__(self, listing: Listing, system: Any, names: Names, folder: Path, limits: Limits) -> None:
        self._listing, self._system, self._names = listing, system, names
        self._folder, self._limits = folder, limits
        self._bytes, self._lock = 0, Lock()
        self._over: dict[tuple[str, int], list[str]] = {}
        self._log_folders: dict[PurePosixPath, bool] = {}
        self.findings: list[Finding] = []
        self.copied = 0

    def run(self, counting: Counting) -> None:
        """Copy the files that are logs."""
        for entry in self._listing.entries:
            self._names.add(entry.path)
        wanted = self._wanted()
        with counting(wanted) as counted, ThreadPoolExecutor(self._limits.requests) as pool:
            try:
                done = pool.map(self._try, wanted)
                for _, copied in zip(counted, done, strict=True):
                    self.copied += copied
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self.findings.sort(key=lambda finding: finding.log or "")
        for (part, limit), logs in self._over.items():
            facts = {"part": part, "limit": limit, "left": len(logs), "names": tuple(sorted(logs)[:3])}
            self.findings.append(Finding(Kind.REMOTE_LIMIT, log=str(self._listing.url), facts=facts))

    def _wanted(self) -> list[tuple[Entry, Decision]]:
        """The files to look into or to copy: those that are certainly logs come first, up to the limit."""
        if self._listing.is_file:
            return [(entry, Decision.FETCH) for entry in self._listing.entries]
        decided = [(entry, self._names.decide(entry.path, self._is_log)) for entry in self._listing.entries]
        wanted = [one for one in decided if one[1] is not Decision.LEAVE]
        wanted.sort(key=lambda one: one[1] is Decision.LOOK)
        for entry, _ in wanted[self._limits.files :]:
            self._note_over("files", self._limits.files, entry)
        return wanted[: self._limits.files]

    def _is_log(self, folder: PurePosixPath) -> bool:
        """Whether a format reads a folder as a whole, by the names in it."""
        if folder not in self._log_folders:
            path, names = self._folder / folder, frozenset(self._names.folders.get(folder, ()))
            self._log_folders[folder] = any(
                _recognises(format.sniff_folder, path, names)
                for format in self._names.formats
                if format.sniff_folder is not None
            )
        return self._log_folders[folder]

    def _note_over(self, part: str, limit: int, entry: Entry) -> None:
        with self._lock:
            self._over.setdefault((part, limit), []).append(str(entry.path))

    def _name(self, entry: Entry) -> str:
        url = str(self._listing.url)
        return url if self._listing.is_file else f"{url}/{entry.path}"

    def _try(self, wanted: tuple[Entry, Decision]) -> bool:
        """Copy one file if it is a log; whatever goes wrong costs only this file."""
        entry, decision = wanted
        target = self._folder / entry.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            kept = self._copy(entry, decision, target)
        except _OverLimit as error:
            kept = False
            self._note_over(error.part, error.limit, entry)
        except Exception as error:
            kept = False
            facts = {"error": reason(error), "entry": "file"}
            self.findings.append(Finding(Kind.UNREADABLE, log=self._name(entry), facts=facts))
        if not kept:
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)
        return kept

    def _copy(self, entry: Entry, decision: Decision, target: Path) -> bool:
        limits, whole = self._limits, decision is Decision.FETCH
        known = target.suffix.lower() in self._names.endings
        part = "table_bytes" if known and not self._listing.is_file else "file_bytes"
        most: int = getattr(limits, part)
        if entry.size is not None and entry.size > most and (whole or known):
            raise _OverLimit(part, most)
        with self._system.open(entry.remote, "rb", block_size=HEAD, **_uncached(entry)) as remote:
            size = entry.size if entry.size is not None else getattr(remote, "size", None)
            with _created(target) as file:
                got = self._pour(remote, file, HEAD)
                if got < HEAD:
                    return _complete(got, size)
                file.flush()
                if not whole and not _recognised(target, known):
                    return False
                if size is not None and size > most:
                    raise _OverLimit(part, most)
                if size is None:
                    self._pour(remote, file, most - got + 1)
                    if file.tell() > most:
                        raise _OverLimit(part, most)
                    return True
        self._add(size - got)
        self._system.get_file(entry.remote, str(target))
        return _complete(target.stat().st_size, size)

    def _pour(self, remote: Any, file: BinaryIO, most: int) -> int:
        """Copy at most so many bytes; returns how many there were."""
        got = 0
        while got < most and (data := remote.read(min(_CHUNK, most - got))):
            self._add(len(data))
            file.write(data)
            got += len(data)
        return got

    def _add(self, size: int) -> None:
        with self._lock:
            if self._bytes + size > self._limits.total_bytes:
                raise _OverLimit("total_bytes", self._limits.total_bytes)
            self._bytes += size


def _uncached(entry: Entry) -> dict[str, Any]:
    """Options of opening a file by which little more than its beginning is asked for."""
    return {"cache_type": "readahead"} if entry.size != 0 else {}


def _complete(got: int, size: int | None) -> bool:
    if size is not None and got < size:
        raise Incomplete(got, size)
    return True


def _created(target: Path) -> BinaryIO:
    """A new file that only this user can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(target, flags, 0o600), "wb")


def _recognised(target: Path, known: bool) -> bool:
    """Whether a file whose beginning was copied is a log, as far as its beginning says."""
    with target.open("rb") as file:
        if known and file.read(16).startswith(_WHOLE):
            return True
    try:
        return sniff(target) is not None
    except OSError:
        return False


def _recognises(
    sniff_folder: Callable[[Path, frozenset[str]], bool], path: Path, names: frozenset[str]
) -> bool:
    try:
        return sniff_folder(path, names)
    except Exception:
        return False
