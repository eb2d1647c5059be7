"""Finds the files that may be logs below some paths, without being held up by anything that lies beside them.

Folders are walked in natural order (``run2`` before ``run10``). Hidden folders and those of tools are left
out, links are followed once, and whatever is not a regular file (a pipe, a socket, a device) is never opened.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from replay.data.finding import Finding, Kind
from replay.errors import InputError
from replay.files import say_missing
from replay.readers.format import Format, unreadable

__all__ = ["HEAD", "Candidate", "Walk", "may_be_log", "may_hold_logs", "natural", "read_head"]

HEAD = 64 * 1024
#: The longest first line of a text file that is looked at as a whole.
_LONGEST_LINE = 16 * 1024 * 1024
#: What `collect grid` writes beside a log for people to read.
_FILES = {"collect_console.log"}
_FOLDERS = {"node_modules", "__pycache__", "site-packages", "venv"}
#: Model weights, data and archives: never opened when they are met on the way.
_OTHERS = {
    ".7z",
    ".arrow",
    ".avi",
    ".bin",
    ".bz2",
    ".ckpt",
    ".db",
    ".dll",
    ".exe",
    ".flac",
    ".gguf",
    ".gif",
    ".ggml",
    ".gz",
    ".h5",
    ".hdf5",
    ".ico",
    ".index",
    ".jpeg",
    ".jpg",
    ".keras",
    ".lmdb",
    ".mat",
    ".mdb",
    ".mkv",
    ".model",
    ".mov",
    ".mp3",
    ".mp4",
    ".msgpack",
    ".npy",
    ".npz",
    ".o",
    ".onnx",
    ".parquet",
    ".pb",
    ".pdf",
    ".pickle",
    ".pkl",
    ".png",
    ".psd",
    ".pt",
    ".pth",
    ".pyc",
    ".rar",
    ".rdb",
    ".safetensors",
    ".so",
    ".sqlite",
    ".svg",
    ".tar",
    ".tgz",
    ".tif",
    ".tiff",
    ".tflite",
    ".ttf",
    ".wasm",
    ".wav",
    ".weights",
    ".webm",
    ".webp",
    ".whl",
    ".woff",
    ".woff2",
    ".xz",
    ".zip",
    ".zst",
}


_NUMBER = re.compile(r"(\d{1,18})")


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key by which numbers inside a text count as numbers."""
    parts = _NUMBER.split(text)  # every other one is a number
    return tuple([(0, int(part), "") if at % 2 else (1, 0, part) for at, part in enumerate(parts) if part])


def may_be_log(name: str, endings: frozenset[str]) -> bool:
    """Whether a file of this name is opened when it is met on the way; ``endings`` are opened in any case."""
    # an event file of TF 1 ends in the name of its host, which may look like anything
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 - called for every file
    return name not in _FILES and (ending not in _OTHERS or ending in endings or "tfevents" in name)


def may_hold_logs(name: str, hidden: frozenset[str]) -> bool:
    """Whether a folder of this name is looked into; those of ``hidden`` are, although they are hidden."""
    return name not in _FOLDERS and (not name.startswith(".") or name in hidden)


def read_head(file: BinaryIO) -> bytes:
    """The first 64 KiB of a file; of a text file with a longer first line, this line and 64 KiB more."""
    head = file.read(HEAD)
    if head.startswith(codecs.BOM_UTF8):  # as editors on Windows write it
        head = head.removeprefix(codecs.BOM_UTF8) + file.read(len(codecs.BOM_UTF8))
    if len(head) < HEAD or b"\n" in head or b"\0" in head:
        return head
    head += file.readline(_LONGEST_LINE)
    return head + file.read(HEAD) if head.endswith(b"\n") else head


@dataclass(frozen=True)
class Candidate:
    """A file that may be a log, or a folder that a format has recognised.

    ``root`` is the path it was found under, ``head`` the first 64 KiB of a file, ``named`` whether the user
    named it, and ``format`` that of a folder.
    """

    path: Path
    root: Path
    head: bytes
    named: bool
    format: Format | None = None


@dataclass
class Walk:
    """One walk over the given paths; counts the files looked at and collects what could not be read.

    ``recognise`` gets a folder and the names of its entries, and returns the format that reads it as a whole;
    then nothing below it is looked at. Files with one of the ``endings`` are opened although most of them are
    no logs, and folders of ``hidden`` names are entered. ``opened`` counts those that were looked into, and
    ``unopened_tables`` are the Parquet files that were met and not opened. Iterating raises InputError where
    a given path does not exist.
    """

    roots: Sequence[Path]
    recognise: Callable[[Path, frozenset[str]], Format | None] = lambda path, names: None
    endings: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    files: int = 0
    opened: int = 0
    unopened_tables: list[Path] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def __iter__(self) -> Iterator[Candidate]:
        for root in self.roots:
            try:
                status = root.stat()
            except (OSError, ValueError) as error:
                raise InputError(_missing(root, error)) from None
            if stat.S_ISDIR(status.st_mode):
                yield from self._folder(root, root)
            elif not stat.S_ISREG(status.st_mode):
                self.files += 1
                self.opened += 1
                self.findings.append(Finding(Kind.NOT_A_FILE, log=str(root)))
            elif self._first(status):
                candidate = self._open(root, root, named=True)
                if candidate is not None:
                    yield candidate

    def _first(self, status: os.stat_result) -> bool:
        key = (status.st_dev, status.st_ino)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _folder(self, folder: Path, root: Path) -> Iterator[Candidate]:
        """Everything below a folder: its files, then its folders. Links come last, so that a file keeps its
        own path.
        """
        pending, links = [folder], list[Path]()
        while pending or links:
            if not pending:
                link = links.pop(0)
                status = self._status(link)
                if status is not None and stat.S_ISDIR(status.st_mode):
                    pending.append(link)
                elif status is not None:
                    yield from self._file(link, root, status)
                continue
            here = pending.pop()
            try:
                if not self._first(here.stat()):
                    continue
                with os.scandir(here) as entries:
                    listed = list(entries)
                if len(listed) > 1:
                    listed.sort(key=lambda entry: (natural(entry.name), entry.name))
            except OSError as error:
                self.findings.append(unreadable(here, error, "folder"))
                continue
            format = self.recognise(here, frozenset(entry.name for entry in listed))
            if format is not None:
                self.files += 1
                self.opened += 1
                yield Candidate(here, root, b"", named=here == root, format=format)
                continue
            folders = []
            for entry in listed:
                path = Path(entry.path)
                if entry.name in _FILES or not may_hold_logs(entry.name, self.hidden):
                    continue
                if entry.is_symlink():
                    links.append(path)
                elif entry.is_dir():
                    folders.append(path)
                elif (status := self._status(path)) is not None:
                    yield from self._file(path, root, status)
            pending.extend(reversed(folders))

    def _status(self, path: Path) -> os.stat_result | None:
        try:
            return path.stat()
        except OSError as error:
            if error.errno == errno.ELOOP:
                self.findings.append(Finding(Kind.LINK_LOOP, log=str(path)))
            elif error.errno != errno.ENOENT:  # a dangling link hides nothing
                self.findings.append(unreadable(path, error))
            return None

    def _file(self, path: Path, root: Path, status: os.stat_result) -> Iterator[Candidate]:
        if not stat.S_ISREG(status.st_mode):
            return
        self.files += 1
        opened = may_be_log(path.name, self.endings)
        if not opened and path.suffix.lower() == ".parquet":
            self.unopened_tables.append(path)
            self.opened += 1  # it is named with its columns
        if opened and self._first(status):
            candidate = self._open(path, root, named=False)
            if candidate is not None:
                yield candidate

    def _open(self, path: Path, root: Path, *, named: bool) -> Candidate | None:
        self.files += named
        self.opened += 1
        try:
            # without O_NONBLOCK, a file that was swapped for a pipe would be waited on for ever
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            try:
                head = os.read(handle, HEAD)
                if len(head) < HEAD and not os.read(handle, 1) and not head.startswith(codecs.BOM_UTF8):
                    return Candidate(path, root, head, named)  # the whole file
                os.lseek(handle, 0, os.SEEK_SET)
                with os.fdopen(handle, "rb", closefd=False) as file:
                    return Candidate(path, root, read_head(file), named)
            finally:
                os.close(handle)
        except OSError as error:
            self.findings.append(unreadable(path, error, "file"))
            return None


def _missing(root: Path, error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return f"{root}: not a path ({error})"
    if error.errno not in (errno.ENOENT, errno.ENOTDIR):
        return f"{root}: {error.strerror or error}"
    text = f"{root}: no such file or folder"
    if not os.path.lexists(root.parent):
        text += f", and {root.parent} does not exist either"
    return text + say_missing(root)
