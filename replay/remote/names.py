"""Which files of a listing can be logs, by their names and by what lies beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import PurePosixPath

from replay.readers.find import may_be_log, may_hold_logs
from replay.readers.format import Format
from replay.readers.step_signals import FILE_NAME

__all__ = ["Decision", "Names"]

#: Endings of texts that are never logs.
_NO_LOGS = frozenset(
    ".cfg .css .gitattributes .gitignore .htm .html .ini .ipynb .jinja .js .lock .md .py .rst .sh .tex .toml"
    " .ts .xml .yaml .yml".split()
)
#: Files of a model or a tokenizer, which stand beside the logs of a training in most repositories of models.
_OF_A_MODEL = frozenset(
    "adapter_config.json added_tokens.json chat_template.json config.json generation_config.json merges.txt"
    " modules.json preprocessor_config.json processor_config.json quantization_config.json"
    " sentence_bert_config.json special_tokens_map.json tokenizer.json tokenizer_config.json vocab.json"
    " vocab.txt".split()
)
_INDEX = re.compile(r".*\.(safetensors|bin)\.index\.json")
#: What a reader looks for beside a log, and beside what.
_COMPANIONS: Mapping[str, Collection[str]] = {
    "config.json": ("run.json", "metrics.json"),
    "run.json": ("metrics.json", "config.json"),
    "task.json": ("metrics.jsonl",),
    "params.json": ("result.json", "progress.csv"),
    "error.txt": ("result.json", "progress.csv"),
    "params.yaml": ("metrics.json", "plots"),
}


class Decision(Enum):
    """What is done with a file: it is left where it is, looked into, or fetched without a look."""

    LEAVE = auto()
    LOOK = auto()
    FETCH = auto()


@dataclass
class Names:
    """The names below one remote folder: ``folders`` holds the names in each, by its path.

    ``formats`` are those whose logs are looked for. ``tables`` are endings of files that are fetched in any
    case, since the user has named the columns of a table.
    """

    formats: Collection[Format]
    tables: frozenset[str] = frozenset()
    folders: dict[PurePosixPath, set[str]] = field(default_factory=dict)

    @cached_property
    def endings(self) -> frozenset[str]:
        """The endings of archives and databases that a format reads."""
        return self.tables.union(*(format.endings for format in self.formats))

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The names of hidden folders that a format reads."""
        return frozenset().union(*(format.hidden_folders for format in self.formats))

    @cached_property
    def _patterns(self) -> tuple[tuple[str, ...], ...]:
        """The patterns of names that say enough: whole names, and those with a folder before them."""
        every = [pattern for format in self.formats for pattern in format.files.split(", ")]
        parts = [tuple(pattern.split("/")) for pattern in every]
        shorter = [pattern[1:] for pattern in parts if len(pattern) > 2]
        wildcards = re.compile(r"[*?<\[]")
        return tuple(
            pattern
            for pattern in (*parts, *shorter)
            if len(pattern) > 1 or not wildcards.search(pattern[0]) or "tfevents" in pattern[0]
        )

    def enters(self, name: str) -> bool:
        """Whether a folder of this name is looked into."""
        return may_hold_logs(name, self.hidden)

    def add(self, path: PurePosixPath) -> None:
        """Note a file."""
        for child in (path, *path.parents):
            if child != child.parent:
                self.folders.setdefault(child.parent, set()).add(child.name)

    def decide(self, path: PurePosixPath, is_log_folder: Callable[[PurePosixPath], bool]) -> Decision:
        """What is done with a file; ``is_log_folder`` says whether a format reads a folder as a whole."""
        name, ending = path.name, path.suffix.lower()
        beside = self.folders.get(path.parent, set())
        companion = (
            name in (FILE_NAME, "meta.yaml")
            or (name == "config.yaml" and path.parent.name == "files")
            or not beside.isdisjoint(_COMPANIONS.get(name, ()))
            or (name.endswith(("-wal", "-journal")) and name.rpartition("-")[0] in beside)
        )
        if companion:
            return Decision.FETCH
        if not may_be_log(name, self.endings) or name.startswith("."):
            return Decision.LEAVE
        if ending in self.tables or any(self._fits(path, pattern) for pattern in self._patterns):
            return Decision.FETCH
        if any(is_log_folder(folder) for folder in path.parents if folder != folder.parent):
            return Decision.FETCH
        if ending in _NO_LOGS or name in _OF_A_MODEL or _INDEX.fullmatch(name):
            return Decision.LEAVE
        return Decision.LOOK

    @staticmethod
    def _fits(path: PurePosixPath, pattern: tuple[str, ...]) -> bool:
        parts = path.parts[-len(pattern) :]
        return len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern))
