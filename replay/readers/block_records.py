"""LevelDB's log framing: how the files of W&B and SwanLab, and the logs of LevelDB and RocksDB, are cut into
records.

A file is a sequence of blocks of 32 KiB. A fragment is the checksum of its type and data (4 bytes), the
length of the data (2 bytes), its type (1 byte) and the data. It lies in one block; a record that does not fit
is cut into a first, middle and last fragment. Fewer than 7 bytes at the end of a block are padding. The first
fragment that is cut off or does not match its checksum ends the file: neither it nor anything after it is
read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from typing import Any
from zlib import crc32

from replay.data.finding import Finding, Kind
from replay.readers.records import Damage

__all__ = ["BLOCK", "BlockRecords", "take_records"]

BLOCK = 32 * 1024
_FRAGMENT = Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
#: No record that is read here is longer; of a longer one, the fragments are checked and its data are dropped.
_LONGEST = 64 * 1024 * 1024


class BlockRecords:
    """Iterates over the good records of a file. After that, ``damage`` says what ended them, or is None where
    the whole file is good.

    ``begin`` is the size of the file's own header, which counts as a part of the first block. ``checksum`` is
    computed over the type and the data of a fragment.
    """

    def __init__(self, path: Path, *, begin: int = 0, checksum: Callable[[bytes], int] = crc32) -> None:
        self.path = path
        self.begin = begin
        self.checksum = checksum
        self.damage: Damage | None = None

    def __iter__(self) -> Iterator[bytes]:
        parts: list[bytes] = []
        size = begun_at = 0  # of the record that has begun
        for offset, kind, data in self._fragments():
            if kind in (_FULL, _FIRST):
                if size:
                    self.damage = _damage(begun_at, "order")
                    return
                begun_at = offset
            elif not size or kind not in (_MIDDLE, _LAST):
                self.damage = _damage(offset, "order")
                return
            size += len(data) + 1
            if size <= _LONGEST:
                parts.append(data)
            if kind in (_FULL, _LAST):
                if size <= _LONGEST:
                    yield b"".join(parts)
                parts, size = [], 0
        if size and self.damage is None:
            self.damage = Damage(begun_at, True, {"byte": self.path.stat().st_size, "zeros": False})

    def _fragments(self) -> Iterator[tuple[int, int, bytes]]:
        """Offset, type and data of each good fragment."""
        with self.path.open("rb") as file:
            at, start = self.begin, 0
            while block := file.read(BLOCK):
                while at + _FRAGMENT.size <= len(block):
                    checksum, length, kind = _FRAGMENT.unpack_from(block, at)
                    if not (checksum or length or kind):
                        rest = block[at:] + file.read(BLOCK)
                        if rest.strip(b"\0"):
                            self.damage = _damage(start + at, "data")
                        else:
                            self.damage = Damage(start + at, True, {"byte": start + at, "zeros": True})
                        return
                    end = at + _FRAGMENT.size + length
                    if end > len(block):
                        if len(block) < BLOCK:
                            facts = {"byte": start + len(block), "zeros": False}
                            self.damage = Damage(start + at, True, facts)
                        else:
                            self.damage = _damage(start + at, "length")
                        return
                    if self.checksum(block[at + 6 : end]) != checksum:
                        self.damage = _damage(start + at, "data")
                        return
                    yield start + at, kind, block[at + _FRAGMENT.size : end]
                    at = end
                if len(block) < BLOCK and at < len(block):
                    facts = {"byte": start + len(block), "zeros": not block[at:].strip(b"\0")}
                    self.damage = Damage(start + at, True, facts)
                    return
                start, at = start + len(block), 0


def take_records(records: BlockRecords, take: Callable[[bytes], None], findings: list[Finding]) -> int:
    """Give each good record to ``take``, and return how many were taken. The first record that it cannot take
    (it raises ValueError or RecursionError) ends the file, as damage does.
    """
    count = 0
    for data in records:
        try:
            take(data)
        except (ValueError, RecursionError):
            facts = {"part": "event", "record": count + 1, "kept": count}
            findings.append(Finding(Kind.CORRUPT_RECORD, log=str(records.path), facts=facts))
            return count
        count += 1
    findings += _find_damage(records, count)
    return count


def _find_damage(records: BlockRecords, kept: int) -> list[Finding]:
    """The finding that says where the good records of a file end, if it is not the end of the file; ``kept``
    is their number.
    """
    damage = records.damage
    if damage is None:
        return []
    kind = Kind.CUT_OFF if damage.cut_off else Kind.CORRUPT_RECORD
    return [Finding(kind, log=str(records.path), facts={"kept": kept, **damage.facts})]


def _damage(offset: int, part: str) -> Damage:
    facts: dict[str, Any] = {"byte": offset, "part": "data" if part == "order" else part}
    return Damage(offset, False, facts)
