"""Files of a revision of a git repository, read through git itself: nothing is checked out or changed."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from replay.errors import InputError, ReplayError, did_you_mean
from replay.files import is_lfs_pointer
from replay.urls import Url

__all__ = ["Revision", "remotes_of", "revision", "top_of"]

_MOST_LINKS = 8


@dataclass(frozen=True)
class Revision:
    """A commit by the name that it was given, with copies of the files that were asked for.

    ``top`` is the root of the working tree, and ``copies`` the folder that stands for it.
    """

    name: str
    commit: str
    top: Path
    copies: Path
    _asked: set[str] = field(default_factory=set)

    def get(self, path: Path) -> Path | None:
        """A copy of a file or folder of the working tree as the revision has it; None where it has none.

        Raises InputError for a path outside the repository.
        """
        inside = self._inside(path)
        copy = self.copy_of(path)
        if str(inside) not in self._asked:
            self._asked.add(str(inside))
            self._extract(str(inside), _MOST_LINKS)
        return copy if copy.exists() else None

    def require(self, path: Path) -> Path:
        """The same; raises InputError where it is not in the revision."""
        copy = self.get(path)
        if copy is None:
            raise InputError(f"{self.name} has no {self._inside(path)}; name a file that it has")
        return copy

    def get_logs(self, path: Path) -> Path:
        """A copy of logs as they are in the revision, or the logs of now under the same name where git does
        not have them.

        ``path`` is in the working tree, or among the copies.
        """
        if isinstance(path, Url):
            return path
        if path.is_relative_to(self.copies):
            path = self.top / path.relative_to(self.copies)
        try:
            copy = self.get(path)
        except InputError:
            return path  # outside the repository, where git has nothing
        if copy is None:
            copy = self.copy_of(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(path.absolute())
        return copy

    def copy_of(self, path: Path) -> Path:
        """Where the copy of a path of the working tree lies, whether or not it was asked for."""
        return self.copies / self._inside(path)

    def shown(self, text: str) -> str:
        """Text in which copies go by the name of the revision, as git writes it: ``main:policies.toml``."""
        return text.replace(f"{self.copies}{os.sep}", f"{self.name}:")

    def _inside(self, path: Path) -> PurePosixPath:
        whole = Path(os.path.abspath(path))  # noqa: PTH100
        whole = Path(os.path.realpath(whole.parent)) / whole.name
        try:
            return PurePosixPath(whole.relative_to(self.top).as_posix())
        except ValueError:
            raise InputError(f"{path} is not in the repository {self.top}, so no revision has it") from None

    def _extract(self, inside: str, links: int) -> None:
        words = [
            "ls-tree",
            "-r",
            "-z",
            "--full-tree",
            self.commit,
            *([] if inside == "." else ["--", inside]),
        ]
        entries = []
        for line in _git(self.top, *words).split(b"\0"):
            if line:
                head, _, name = line.partition(b"\t")
                mode, kind, blob = head.decode().split(" ")
                if kind == "blob":  # the commit of a submodule is not in this repository
                    entries.append((mode, blob, os.fsdecode(name)))
        for (mode, _, path), data in zip(entries, self._blobs([blob for _, blob, _ in entries]), strict=True):
            copy = self.copies / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            if mode == "120000":
                self._link(copy, path, os.fsdecode(data), links)
            elif not copy.exists():
                copy.write_bytes(self._fetched(data))

    def _link(self, copy: Path, name: str, target: str, links: int) -> None:
        """A link, with what it leads to, where that is in the repository."""
        whole = os.path.normpath(os.path.join(os.path.dirname(name), target))  # noqa: PTH118, PTH120
        if os.path.isabs(target) or whole.startswith("..") or not links or copy.is_symlink():  # noqa: PTH117
            return
        copy.symlink_to(target)
        self._extract(whole.replace(os.sep, "/"), links - 1)

    def _blobs(self, names: Sequence[str]) -> Iterator[bytes]:
        if not names:
            return
        asked = "".join(f"{name}\n" for name in names).encode()
        out = _git(self.top, "cat-file", "--batch", given=asked)
        at = 0
        for _ in names:
            end = out.index(b"\n", at)
            size = int(out[at:end].rsplit(b" ", 1)[1])
            yield out[end + 1 : end + 1 + size]
            at = end + 1 + size + 1

    def _fetched(self, data: bytes) -> bytes:
        """What a pointer of Git LFS stands for, where it has been fetched; anything else as it is."""
        if not is_lfs_pointer(data):
            return data
        digest = data.partition(b"oid sha256:")[2][:64].decode("ascii", "replace")
        folder = Path(os.fsdecode(_git(self.top, "rev-parse", "--git-common-dir").strip()))
        stored = self.top / folder / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
        try:
            return stored.read_bytes() if stat.S_ISREG(stored.stat().st_mode) else data
        except OSError:
            return data


@contextlib.contextmanager
def revision(name: str, beside: Path) -> Iterator[Revision]:
    """A revision of the repository that a path is in; its copies are there until the end of the block.

    Raises InputError where there is no such repository or revision. Errors inside the block name the revision
    instead of the copies.
    """
    folder = beside if beside.is_dir() else beside.parent
    top = _top(folder)
    commit = _find(name, top)
    with tempfile.TemporaryDirectory(prefix="replay-") as copies:
        found = Revision(name, commit, top, Path(os.path.realpath(copies)))
        with errors_shown(found.shown):
            yield found


@contextlib.contextmanager
def errors_shown(shown: Callable[[str], str]) -> Iterator[None]:
    """A block whose errors name the things that the user named, as ``shown`` writes them."""
    try:
        yield
    except ReplayError as error:
        error.args = (shown(str(error)), *error.args[1:])
        raise


def _top(folder: Path) -> Path:
    return Path(os.path.realpath(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel").rstrip(b"\n"))))


def top_of(folder: Path) -> Path | None:
    """The root of the working tree that a folder is in; None where it is in none."""
    with contextlib.suppress(InputError):
        return _top(folder)
    return None


def remotes_of(top: Path) -> list[str]:
    """The URLs of the remotes of a repository; none outside a repository."""
    with contextlib.suppress(InputError):
        lines = _git(top, "config", "--get-regexp", r"^remote\..*\.url$").decode(errors="replace")
        return [line.partition(" ")[2] for line in lines.splitlines()]
    return []


def _find(name: str, top: Path) -> str:
    """The commit that a name stands for: of this repository, or else of the branch as it was fetched."""
    for spelling in (name, f"origin/{name}"):
        with contextlib.suppress(InputError):
            words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{spelling}^{{commit}}")
            return _git(top, *words).decode().strip()
    names = _git(top, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes", "refs/tags")
    fetch = "" if name.startswith(("HEAD", "-")) else f", or fetch it: git fetch origin {name}"
    raise InputError(
        f"{name} is not a revision of the repository {top}; give a branch, tag or commit that git log"
        f" knows{fetch}{did_you_mean(name, names.decode(errors='replace').split())}"
    )


def _git(folder: Path, *words: str, given: bytes | None = None) -> bytes:
    """What git writes; raises InputError with its message where it fails."""
    command = ["git", "--literal-pathspecs", "-C", str(folder), *words]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(command, input=given or b"", capture_output=True, env=environment)
    except FileNotFoundError:
        raise InputError("git is not installed, or not in PATH; it is needed to read a revision") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        raise InputError(f"{folder}: git {words[0]} failed: {said or f'exit code {done.returncode}'}")
    return done.stdout
