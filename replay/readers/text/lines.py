"""The lines of a terminal's text, without what a terminal does not show as text.

A carriage return and a backspace begin a line anew, as they do where a progress bar is drawn. Colours and
cursor movements are removed, and so are the prefixes by which launchers tell their processes apart. A line
longer than `LONGEST` is read up to there, so that the memory does not depend on the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TextIO

from replay.data.finding import Finding
from replay.readers.points import open_text

__all__ = [
    "LONGEST",
    "Bar",
    "Line",
    "Number",
    "bar_at",
    "bars",
    "lines_of",
    "message_in",
    "read_lines",
    "without_logger",
]

LONGEST = 1 << 16

#: Names of the text in a line of JSON.
_MESSAGES = ("log", "message", "msg", "textPayload")

#: A printed number. Use it inside a pattern that bounds it on both sides.
Number = r"[-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,4})?|[-+]?(?:[nN]a[nN]|inf(?:inity)?)"

_ESCAPES = re.compile(
    r"#033\[[0-9;]{0,32}m"
    r"|\x1b(?:\[[0-9;:?<=>]{0,32}[ -/]?[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|[()][0-9A-B]|.)"
)
#: `[rank0]: `, `[default1]:`, `[0]: ` of torchrun, `0: ` of srun -l, `[1,0]<stdout>:` of mpirun,
#: `(RayTrainWorker pid=7) ` of Ray
_RANK = re.compile(
    r"\s?(?:\[(?:rank|default|worker|trainer)?_?(?P<a>\d{1,5})\]:\s?|\[\d{1,5},(?P<b>\d{1,5})\]<\w{6}>:?\s?"
    r"|\(\w{1,60} pid=(?P<e>\d{1,9})(?:, ip=[\d.]{7,15})?\) "
    r"|(?P<c>\d{1,5}): (?!learn:|test:|[\d.naif-]{1,20}, [\d.naif-]{1,20} avg)"
    r"|\[?(?:rank|RANK|local_rank)[ _=:]{0,2}(?P<d>\d{1,5})\]?[:,| -]{0,3})"
)
_TQDM = re.compile(r"[^|\r]{0,400}\|\s{0,20}([\d.]{1,15}[kMGT]?)/([\d.]{1,15}[kMGT]?)\s?\[([^\]]{0,2000})\]")
#: `33% 1000/3000 [00:07<00:14, 2.86it/s]`, and `[1000/3000 00:07 < 00:14, 2.86 it/s, Epoch 1/3]` of notebooks
_PLAIN_BAR = re.compile(
    r"(?:\d{1,3}%\s{0,4})?(?<![\w.|/])(?P<open>\[\s{0,12})?(?P<done>\d{1,12})/(?P<total>\d{1,12})"
    r"\s?(?(open)|\[)(?P<time>[\d:]{4,12}) ?< ?(?P<rest>(?:[\d:]{4,12}|\?),[^\]]{0,400}\])"
)
_SIZES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


class Line(NamedTuple):
    """One line: its text, the number of the process that printed it (None where nothing tells it), whether it
    is complete, and its number in the file.
    """

    text: str
    rank: int | None
    complete: bool
    number: int


def read_lines(path: Path, findings: list[Finding]) -> Iterator[Line]:
    """The lines of a file that are not blank, and behind the last one the findings on what was not read.
    Raises OSError.
    """
    with open_text(path) as file:
        yield from lines_of(_pieces(file))
        findings += file.findings(path)


def _pieces(file: TextIO) -> Iterator[str]:
    """The text of a file, cut after each line feed and carriage return, and after `LONGEST` characters; that
    of the messages where each line is a JSON object with one.
    """
    pieces = iter(partial(file.readline, LONGEST), "")
    first = next(pieces, "")
    if message_in(first) is None:
        return chain([first] if first else [], pieces)
    messages = (message_in(piece) for piece in chain([first], pieces))
    return (text if text.endswith(("\n", "\r")) else f"{text}\n" for text in messages if text)


def message_in(line: str) -> str | None:
    """The text that a line of JSON wraps, as Docker, cloud services and loggers write it (``{"log": "epoch 3:
    …"}``); None for any other line.
    """
    if not line.startswith("{") or not any(f'"{name}"' in line for name in _MESSAGES):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    texts = (record.get(name) for name in _MESSAGES) if isinstance(record, dict) else ()
    return next((text for text in texts if isinstance(text, str)), None)


def lines_of(pieces: Iterable[str]) -> Iterator[Line]:
    """The lines of a text that was cut after its line ends; pieces without a line end continue the line that
    they are part of, and are left out but for the first.
    """
    number, going_on = 1, False
    for piece in pieces:
        skipped = going_on
        ended = piece.endswith(("\n", "\r"))
        going_on = not ended and len(piece) >= LONGEST
        here = number
        if piece.endswith("\n"):
            number += 1
        if skipped:
            continue
        text = piece
        if "\x1b" in text or "#033[" in text:  # as CloudWatch shows it
            text = _ESCAPES.sub("", text)
        if "\0" in text:
            text = text.replace("\0", "")
        if "\x08" in text:
            *drawn, text = re.split("\x08+", text)
            for part in drawn:
                if part and not part.isspace() and (line := _line(part, True, here)).text:
                    yield line
        if text and not text.isspace():
            line = _line(text, ended or going_on, here)
            if line.text:  # a launcher puts its prefix before empty lines as well
                yield line


def _line(text: str, complete: bool, number: int) -> Line:
    text = text.rstrip()
    if "<" in text and "%|" not in text and ("it/s" in text or "s/it" in text):
        text = _PLAIN_BAR.sub(_as_bar, text)
    rank = None
    if text[0] in "[0123456789 rRl(":
        match = _RANK.match(text)
        if match is not None:
            rank = int(next(part for part in match.groups() if part is not None))
            text = text[match.end() :].rstrip()
    return Line(text, rank, complete, number)


def _as_bar(match: re.Match[str]) -> str:
    """A progress bar that was printed without the bar itself, as tqdm prints it with one."""
    done, total = match["done"], match["total"]
    share = 100 * int(done) // max(int(total), 1)
    return f"{share}%|| {done}/{total} [{match['time']}<{match['rest']}"


class Bar(NamedTuple):
    """A progress bar of tqdm: what stands before it, how far it is, and what stands behind its times."""

    before: str
    done: float
    total: float
    behind: str
    end: int


def bar_at(text: str, begin: int) -> Bar | None:
    """The first progress bar of a line from a position on."""
    sign = text.find("%|", begin)
    while sign >= 0:
        match = _TQDM.match(text, sign + 2)
        if match is not None:
            done, total = _size(match[1]), _size(match[2])
            before = text[begin:sign]
            share = f"{100 * done / total:.0f}" if total > 0 else ""
            before = before.removesuffix(share) if before.endswith(share) else before.rstrip("0123456789")
            return Bar(before.strip(" :"), done, total, match[3].partition(", ")[2], match.end())
        sign = text.find("%|", sign + 2)
    return None


def bars(text: str) -> Iterator[Bar]:
    """The progress bars of a line."""
    bar = bar_at(text, 0)
    while bar is not None:
        yield bar
        bar = bar_at(text, bar.end)


def _size(text: str) -> float:
    factor = _SIZES.get(text[-1], 1.0)
    try:
        return float(text.rstrip("kMGT")) * factor
    except ValueError:
        return float("nan")


_LOGGER = re.compile(
    r"(?:"
    r"\[?(?:\d{4}[-/]\d\d[-/]\d\d|\d\d/\d\d/\d{4})[T ,]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?"
    r"|\[\d\d[/.]\d\d(?:[/.]\d\d)?[ |]\d\d:\d\d:\d\d\]|\[?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\]?"
    r"|\[?(?:DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL)\]?(?::[\w.]{1,80}:)?"
    r"|[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{1,9}\s{1,4}\d{1,9} [\w./-]{1,80}:\d{1,6}\]"
    r"|[IWEF] [\w./-]{1,80}\.(?:py|cc|cpp):\d{1,6}\]"
    r"|(?:[A-Z][a-z]{2} )?\d\d [A-Z][a-z]{2} (?:\d{4} \d\d:\d\d:\d\d|\d\d:\d\d)(?= {1,8}[A-Z])"
    r"|\[[\w.]{1,80}:\d{1,6}\]|\[PID:\d{1,9}\]|\(\w{1,60} pid=\d{1,9}(?:, ip=[\d.]{7,15})?\)"
    r"|[A-Za-z_][\w.]{0,80} ?(?:-|\|) (?=(?:DEBUG|INFO|WARN(?:ING)?|ERROR)\b)"
    r"|[A-Za-z_][\w.]{0,80} (?=INFO: )|\[[A-Za-z]\w{0,30}\] (?=\d{4}-\d\d-\d\d)"
    r"|[a-z]\w{0,40}(?:\.\w{1,40}){1,6} (?=- )|root (?=- )|[\w.]{1,80}:[\w.<>]{1,80}:\d{1,6} (?=- )"
    r")[ \t]*(?:[-|:>][ \t]+)?"
)


def without_logger(text: str) -> str:
    """The line without what a logger puts in front: time, level, name."""
    for _ in range(6):
        match = _LOGGER.match(text)
        if match is None:
            return text
        text = text[match.end() :].lstrip()
    return text
