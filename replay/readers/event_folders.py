"""Which TensorBoard event files belong to one run, by their folders, and how the run names their tags."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from replay.readers.event_files import read_events

__all__ = ["group_events", "home_of", "tag_names"]

_TRAIN_FOLDERS = {"train", "training", "learn"}
_HELD_OUT_FOLDERS = {"validation", "val", "valid", "eval", "evaluation", "test", "dev"}
_HPARAMS_FOLDER = re.compile(r"\d{9,}(\.\d+)?")  # add_hparams names its folder by the time


def _split(folder: str) -> str | None:
    """``train`` or ``held-out`` where a folder's name is that of a split (``test``, ``test_1``,
    ``eval_squad``).
    """
    name = folder.lower()
    if name in _TRAIN_FOLDERS:
        return "train"
    plain = re.sub(r"_?\d+$", "", name)
    return "held-out" if plain in _HELD_OUT_FOLDERS or re.fullmatch(r"(eval|validation)_\w+", name) else None


def group_events(paths: Sequence[Path]) -> list[list[Path]]:
    """The files of each run: those of a folder, and of the sub-folders that belong to it."""
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    groups: dict[Path, list[Path]] = {}
    for folder, files in folders.items():
        home = _home_of_series(folder, folders) or folder
        while _belongs_to_parent(home, folders):
            home = home.parent
        groups.setdefault(home, []).extend(files)
    return list(groups.values())


def _belongs_to_parent(folder: Path, folders: Mapping[Path, Sequence[Path]]) -> bool:
    parent = folder.parent
    if folder not in folders or parent == folder:
        return False
    split = _split(folder.name)
    if split is not None:
        if parent in folders:
            return True
        others = {_split(other.name) for other in folders if other.parent == parent and other != folder}
        return bool(others - {split, None}) or (
            folder.name.lower() in ("validation", "valid", "val") and not others
        )
    if parent not in folders:
        return False
    return (
        bool(_HPARAMS_FOLDER.fullmatch(folder.name))
        or _series_folder(folder.name, folders[folder]) is not None
    )


def _series_folder(name: str, files: Sequence[Path]) -> str | None:
    """The key of a folder that ``SummaryWriter.add_scalars`` made for one series of a tag: named by the tag
    and the key.
    """
    if "_" not in name:
        return None
    tag = _only_tag(files)
    begin = "" if tag is None else tag.replace("/", "_") + "_"
    return name.removeprefix(begin) if begin and name.startswith(begin) and name != begin else None


def _home_of_series(folder: Path, folders: Mapping[Path, Sequence[Path]]) -> Path | None:
    """The folder of the run for which tensorboardX's ``add_scalars`` made this one, which holds a series of a
    tag: below a folder for the tag, which holds no other events.
    """
    if folder.parent in folders or not any(above in folders for above in folder.parent.parents):
        return None
    tag = _only_tag(folders[folder])
    if tag is None:
        return None
    parts = tuple(part for part in tag.split("/") if part)
    if folder.parent.parts[-len(parts) :] != parts:
        return None
    home = folder.parents[len(parts)]
    return home if home in folders else None


def _only_tag(files: Sequence[Path]) -> str | None:
    """The tag of the first scalars in the files of a folder, where it is one."""
    for path in files:
        try:
            tags = read_events(path, limit=16).scalars
        except OSError:
            continue
        if tags:
            return next(iter(tags)) if len(tags) == 1 else None
    return None


def home_of(files: Sequence[Path]) -> Path:
    """The folder of the run: the innermost that holds all files, one above where that is a split's."""
    parents = {file.parent for file in files}
    if len(parents) == 1:
        (only,) = parents
        return only.parent if only.name.lower() in ("validation", "valid", "val") else only
    shortest = min(parents, key=lambda folder: len(folder.parts))
    return (
        shortest
        if all(shortest == folder or shortest in folder.parents for folder in parents)
        else shortest.parent
    )


def tag_names(path: Path, home: Path) -> Callable[[str], str] | None:
    """How the tags of an event file are named in the run whose folder is ``home``; None where its scalars are
    not curves (those of add_hparams).
    """
    folder = path.parent
    if folder == home:
        return lambda tag: tag
    below = folder.relative_to(home)
    if _HPARAMS_FOLDER.fullmatch(folder.name):
        return None
    of_tag = below.parent.as_posix()
    if of_tag != ".":
        return lambda tag: f"{tag}/{below.name}" if tag.strip("/") == of_tag else f"{below.as_posix()}/{tag}"
    key = _series_folder(folder.name, [path]) if _split(folder.name) is None else None
    if key is not None:
        return lambda tag: f"{tag}/{key}"
    return lambda tag: f"{below.as_posix()}/{tag}"
