"""The files of one run, and the ids of runs: as short as they can be, and different from each other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from replay.data.run import Run
from replay.errors import printable
from replay.files import in_utf8
from replay.readers.format import Format

__all__ = ["Group", "named_runs", "relative_name"]


class Group(NamedTuple):
    """What one call of a format reads: files of one run below a root, or one folder as a whole.

    ``rank`` is the place of the format in the table.
    """

    format: Format
    rank: int
    root: Path
    files: list[Path]
    whole_folder: bool = False

    @property
    def folder(self) -> Path:
        """The folder that holds all files of the group."""
        if self.whole_folder:
            # a hidden folder goes by the name of the one that it lies in
            hidden = self.files[0].name.startswith(".") and self.files[0] != self.root
            return self.files[0].parent if hidden else self.files[0]
        if len(self.files) == 1:
            return self.files[0].parent
        return Path(os.path.commonpath([str(file.parent) for file in self.files]))

    @property
    def file(self) -> Path | None:
        """The file of a group of one file."""
        return self.files[0] if len(self.files) == 1 and not self.whole_folder else None

    @property
    def name(self) -> str:
        """The path of the file, or of the folder that holds all files."""
        return str(self.file or (self.files[0] if self.whole_folder else self.folder))


def relative_name(path: Path, root: Path) -> str:
    """A path below a root as it is shown; the name alone where it is not below."""
    below = path != root and root in path.parents
    return printable(in_utf8(str(path.relative_to(root)) if below else path.name))


def named_runs(runs: Sequence[Run], groups: Sequence[Group]) -> list[Run]:
    """The runs with the shortest ids that no other has: the folder below the root, with the file's name where
    that is needed.
    """
    level = dict.fromkeys(range(len(runs)), 0)
    tops = {root: root.resolve().name or "logs" for root in {group.root for group in groups}}
    while True:
        names = [_id(groups[number], level[number], tops) for number in range(len(runs))]
        owners: dict[str, set[int]] = {}
        for number, name in enumerate(names):
            owners.setdefault(name, set()).add(number)
        clashes = [
            number
            for numbers in owners.values()
            if len({id(groups[number].files) for number in numbers}) > 1
            for number in numbers
            if level[number] < 3
        ]
        if not clashes:
            break
        for number in clashes:
            level[number] += 1
    ids = [
        name + run.id.removeprefix(group.name) for run, group, name in zip(runs, groups, names, strict=True)
    ]
    renamed = {  # a run may be in the group of another log, which shows it as well
        group.name: name.removesuffix(run.id.removeprefix(group.name))
        for run, group, name in zip(runs, groups, ids, strict=True)
        if run.info.group == group.name
    }
    taken: dict[str, int] = {}
    named = []
    for run, name in zip(runs, ids, strict=True):
        unique = name
        while unique in taken:
            taken[name] += 1
            unique = f"{name} ({taken[name]})"
        taken[unique] = 1
        info = run.info
        if info.group in renamed:
            info = info.replace(group=renamed[info.group])
        named.append(run.replace(id=unique, info=info))
    return named


def _below(folder: Path, root: Path) -> Path | None:
    """The path of a folder from a root on; None where it is not below it."""
    try:
        return folder.relative_to(root)
    except ValueError:
        return None


def _id(group: Group, level: int, tops: Mapping[Path, str]) -> str:
    """One of four ids of the runs of a group, from short to long, without what tells them apart; ``tops`` are
    the names of the roots.
    """
    root, folder = group.root, group.folder
    file = group.file.name if group.file is not None else ""
    if level == 3:
        name = str((folder / file).resolve() if file else folder.resolve())
    elif (below := _below(folder, root)) is not None:
        if level == 0:
            name = str(below) if below.parts else tops[root]
        elif level == 1:
            name = str(below / file) if below.parts or file else tops[root]
        else:
            name = str(Path(tops[root]) / below / file)
    else:  # the root is the file itself
        name = (folder.name if root.parent.parts else file, file, str(root))[level]
    return printable(in_utf8(name))
