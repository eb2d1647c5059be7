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
        home = folder
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
    for path in files:
        try:
            tags = read_events(path, limit=16).scalars
        except OSError:
            continue
        if tags:
            tag, *more = tags
            begin = tag.replace("/", "_") + "_"
            return name.removeprefix(begin) if not more and name.startswith(begin) and name != begin else None
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
    key = _series_folder(folder.name, [path]) if _split(folder.name) is None else None
    if key is not None:
        return lambda tag: f"{tag}/{key}"
    return lambda tag: f"{below.as_posix()}/{tag}"
