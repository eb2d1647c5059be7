"""Files that a user names: read only where they are regular files, and written whole or not at all.

A separate module so that every layer can use it without importing another layer.
"""

from __future__ import annotations

import codecs
import contextlib
import difflib
import errno
import os
import re
import stat
from pathlib import Path
from typing import Any

from replay.errors import InputError, OutputError, list_names

__all__ = [
    "FULL",
    "closest_path",
    "in_utf8",
    "is_lfs_pointer",
    "is_substituted",
    "on_disk",
    "parse_toml",
    "read_file",
    "read_toml",
    "say_missing",
    "write_file",
]

#: Error numbers of a write that the device stopped: it is full, a quota is used up, or it is broken.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_LFS_ADVICE = "is a pointer of Git LFS, not the file itself; fetch the files with git lfs pull"
#: From which ratio of equal letters on a name is taken for a misspelled one.
_ALIKE = 0.6
#: The most bytes of a file of settings; a lock of 100,000 runs and policies has less.
_MOST_BYTES = 256 * 1024 * 1024
_MOST_TOML_BYTES = 4 * 1024 * 1024
_KEY_PART = r"(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
#: Keys of more parts than this are no settings; Python's parser takes quadratic time and memory for them. The
#: pattern never goes back within a part, nor begins within one: a long word would take quadratic time.
_LONG_KEY = re.compile(rf"(?<![\w-]){_KEY_PART}(?:[ \t]*+\.[ \t]*+{_KEY_PART}){{64}}")
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def is_lfs_pointer(data: bytes) -> bool:
    """Whether a file that begins with these bytes is a pointer that Git LFS leaves in the place of a file."""
    return data.startswith(_LFS_POINTER)


def is_substituted(path: Path | str) -> bool:
    """Whether a path is what a shell puts in the place of ``<(command)``, or standard input."""
    return re.fullmatch(r"/dev/fd/\d+|/dev/stdin|/proc/(self|\d+)/fd/(pipe:\[)?\d+\]?", str(path)) is not None


def read_file(path: Path, *, pipe: bool = False) -> bytes:
    """The bytes of a regular file; with ``pipe``, also those that a shell's ``<(command)`` gives.

    Raises FileNotFoundError where there is none, and InputError for what is not a regular file (which might
    never end) and what cannot be read.
    """
    try:
        handle = _open_regular(path, pipe and is_substituted(path))
        with os.fdopen(handle, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > _MOST_BYTES:
        raise InputError(f"{path} has more than {_MOST_BYTES // 2**20} MiB, which no file of replay has")
    if is_lfs_pointer(data):
        raise InputError(f"{path} {_LFS_ADVICE}")
    return data


def _open_regular(path: Path, pipe: bool) -> int:
    _refuse_special(path, path.stat().st_mode, pipe)  # opening some devices has an effect
    # without O_NONBLOCK, a file that was swapped for a pipe would be waited on for ever
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _refuse_special(path, os.fstat(handle).st_mode, pipe)
        if pipe:
            os.set_blocking(handle, True)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _refuse_special(path: Path, mode: int, pipe: bool) -> None:
    if stat.S_ISREG(mode) or (pipe and stat.S_ISFIFO(mode)):
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "not a regular file")
    raise InputError(f"{path} is {kind}; give a regular file")


def closest_path(path: Path) -> Path | None:
    """The path that is spelled most like one that is not there, in the same folder; None where there is none.

    Where the folder is not there either, the folder is corrected.
    """
    folder = path.parent
    if not os.path.lexists(folder):
        corrected = closest_path(folder) if folder != path else None
        return (
            None if corrected is None or not os.path.lexists(corrected / path.name) else corrected / path.name
        )
    for name in difflib.get_close_matches(path.name, _names_in(folder), cutoff=_ALIKE):
        # an ending that both have says little
        if difflib.SequenceMatcher(None, path.stem, Path(name).stem).ratio() >= _ALIKE:
            return folder / name
    return None


def say_missing(path: Path) -> str:
    """The end of a message on a file that is not there: the path that may be meant; empty where none is."""
    close = closest_path(path)
    if close is not None:
        return f". Did you mean {close}?"
    alike = [name for name in _names_in(path.parent) if path.suffix and name.endswith(path.suffix)]
    folder = "this folder" if path.parent == Path() else path.parent
    return f"; {folder} has {list_names(alike)}" if alike else ""


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except (OSError, ValueError):
        return []


def read_toml(path: Path, *, label: str = "not a TOML file: ") -> dict[str, Any]:
    """The document of a TOML file; raises InputError that says what is wrong with the file."""
    try:
        data = read_file(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: {error.strerror}{say_missing(path)}") from None
    return parse_toml(data, str(path), label)


def parse_toml(data: bytes, path: str, label: str = "not a TOML file: ") -> dict[str, Any]:
    """The document that these bytes are; ``path`` is its name in messages, ``label`` their beginning."""
    if data.startswith(codecs.BOM_UTF8):
        raise InputError(f"{path} begins with a byte order mark; save it as UTF-8 without one")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path} is in UTF-16; save it as UTF-8 without a byte order mark")
    if b"\0" in data[:1024]:
        raise InputError(f"{path} has zero bytes, as a binary file or one in UTF-16 has; save it as UTF-8")
    if len(data) > _MOST_TOML_BYTES:
        raise InputError(f"{path} has {len(data):,} bytes; such a file may have {_MOST_TOML_BYTES:,}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _at(line, f"{path}: line {line} is not UTF-8; save the file as UTF-8") from None
    if (key := _LONG_KEY.search(text)) is not None:
        line = text.count("\n", 0, key.start()) + 1
        raise _at(line, f"{path}: the key in line {line} has more than 64 parts")
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError | MemoryError) else error
        if isinstance(error, ValueError) and not isinstance(error, tomllib.TOMLDecodeError):
            why = "a number has more digits than any setting takes"
        named = re.search(r"\(at line (\d+), column \d+\)$", str(error))
        last = text.rstrip().count("\n") + 1  # where the parser says "at end of document"
        raise _at(int(named[1]) if named else last, f"{path}: {label}{why}") from None


def _at(line: int, text: str) -> InputError:
    """An error at a line of a file."""
    error = InputError(text)
    error.line = line
    return error


def write_file(path: Path, data: bytes, option: str = "") -> None:
    """Write a file so that at any time either the old or the new one is there, whole.

    A link stays a link, and a device or pipe is written to as it is. ``option`` names in messages the option
    that asked for the file. Raises InputError where the file cannot be written, and OutputError where the
    device is full.
    """
    target = Path(os.path.realpath(path))
    try:
        try:
            mode = target.stat().st_mode
        except FileNotFoundError:
            mode = None
        if mode is not None and not stat.S_ISREG(mode):
            with path.open("wb") as file:
                file.write(data)
            return
        try:
            _replace(target, data, mode)
        except PermissionError:
            # a folder that takes no new files may still hold one that can be written
            if mode is None or not os.access(target, os.W_OK):
                raise
            with target.open("wb") as file:
                file.write(data)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        name = f"{option} {path}".strip()
        reason = getattr(error, "strerror", None) or error
        full = isinstance(error, OSError) and error.errno in FULL
        raise (OutputError if full else InputError)(f"{name}: {reason}") from None


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    part = target.with_name(f".{target.name[:200]}.{os.urandom(4).hex()}.tmp")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            with contextlib.suppress(OSError):
                part.chmod(stat.S_IMODE(mode))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name itself must outlive a power cut
        with contextlib.suppress(OSError):
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def in_utf8(name: str) -> str:
    """A file's name, or a part of it, as a system has it whose names are UTF-8; so a lock has it everywhere.

    In the C locale, Python may hold the bytes of such a name as surrogates.
    """
    if name.isascii():
        return name
    try:
        return os.fsencode(name).decode("utf-8", "surrogateescape")
    except UnicodeError:
        return name


def on_disk(folder: Path, name: str) -> Path:
    """The file below a folder that `in_utf8` gives this name."""
    try:
        return folder / os.fsdecode(name.encode("utf-8", "surrogateescape"))
    except UnicodeError:
        return folder / name
