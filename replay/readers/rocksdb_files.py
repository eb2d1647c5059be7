"""The keys and values of a RocksDB database, read from its files without the library.

A database is a folder of tables (``.sst``) and of logs (``.log``), which hold what is not in a table yet;
after a kill, that is everything. Each put and each deletion has a sequence number, and the highest of a key
counts, so the files are read in any order and the list of those in use (``MANIFEST``) is not needed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from replay.data.finding import Finding, Kind
from replay.readers.block_records import BlockRecords
from replay.readers.checksums import mask_crc
from replay.readers.snappy import decompress

__all__ = ["Contents", "read_database"]

_MAGIC = (0x88E241B785F4CFF7).to_bytes(8, "little")
_FOOTER = 53
_TRAILER = 5  # how a block is compressed, and its checksum
_LARGEST_BLOCK = 64 * 1024 * 1024
_LARGEST_TABLE = 2 * 1024**3
_U32, _U64, _BATCH = Struct("<I"), Struct("<Q"), Struct("<QI")
_CRC32C = 1
_DELETE, _PUT, _SINGLE_DELETE, _RANGE_DELETE = 0, 1, 7, 15
#: Operations of a log with the id of a column family in front, by the operation without one.
_OF_FAMILY = {4: _DELETE, 5: _PUT, 8: _SINGLE_DELETE, 14: _RANGE_DELETE}
_INDEX_IN_PARTS = 2
#: How a block may be compressed.
_PLAIN, _SNAPPY, _ZLIB = 0, 1, 2


class Contents(NamedTuple):
    """The keys of a database with their values, the files that were read, and what could not be read."""

    values: dict[bytes, bytes]
    files: list[Path]
    findings: list[Finding]


class _Entry(NamedTuple):
    key: bytes
    sequence: int
    kind: int
    value: bytes


def read_database(folder: Path) -> Contents:
    """What a database holds. Raises OSError."""
    newest: dict[bytes, _Entry] = {}
    ranges: list[_Entry] = []
    contents = Contents({}, [], [])
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".sst", ".log") or not path.stem.isdecimal() or not path.is_file():
            continue
        contents.files.append(path)
        for entry in (_table if path.suffix == ".sst" else _log)(path, contents.findings):
            if entry.kind == _RANGE_DELETE:
                ranges.append(entry)
            elif entry.key not in newest or newest[entry.key].sequence < entry.sequence:
                newest[entry.key] = entry
    for key, entry in newest.items():
        deleted = any(one.key <= key < one.value and one.sequence > entry.sequence for one in ranges)
        if entry.kind == _PUT and not deleted:
            contents.values[key] = entry.value
    return contents


class _Reader:
    """Numbers and bytes from a place in a block. Raises ValueError beyond its end."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def varint(self) -> int:
        value = shift = 0
        while shift < 64:
            if self.at >= len(self.data):
                raise ValueError("cut off")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ValueError("a number that does not end")

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise ValueError("cut off")
        self.at += count
        return taken

    def text(self) -> bytes:
        return self.take(self.varint())

    def handle(self) -> tuple[int, int]:
        """Offset and size of a block."""
        return self.varint(), self.varint()


def _log(path: Path, findings: list[Finding]) -> Iterator[_Entry]:
    """The operations of a log."""
    records = BlockRecords(path, checksum=mask_crc)
    count = 0
    for record in records:
        try:
            entries = list(_operations(record))
        except ValueError:
            facts = {"record": count + 1, "part": "batch", "kept": count}
            findings.append(Finding(Kind.CORRUPT_RECORD, log=str(path), facts=facts))
            return
        yield from entries
        count += 1
    if records.damage is not None:
        kind = Kind.CUT_OFF if records.damage.cut_off else Kind.CORRUPT_RECORD
        findings.append(Finding(kind, log=str(path), facts={"kept": count, **records.damage.facts}))


def _operations(record: bytes) -> Iterator[_Entry]:
    if len(record) < _BATCH.size:
        raise ValueError("cut off")
    sequence, _ = _BATCH.unpack_from(record)
    reader = _Reader(record, _BATCH.size)
    while reader.at < len(record):
        (kind,) = reader.take(1)
        if kind in _OF_FAMILY:
            reader.varint()
            kind = _OF_FAMILY[kind]
        if kind not in (_PUT, _DELETE, _SINGLE_DELETE, _RANGE_DELETE):
            raise ValueError(f"operation {kind}")
        key = reader.text()
        value = reader.text() if kind in (_PUT, _RANGE_DELETE) else b""
        yield _Entry(key, sequence, kind, value)
        sequence += 1


def _table(path: Path, findings: list[Finding]) -> Iterator[_Entry]:
    """The entries of a table, without those of damaged blocks."""
    count = 0
    try:
        if path.stat().st_size > _LARGEST_TABLE:
            raise ValueError(f"tables of more than {_LARGEST_TABLE:,} bytes are not read")
        table = _Table(path.read_bytes())
        for offset, size in table.data_blocks():
            for key, value in _entries(table.block(offset, size)):
                entry = _internal(key, value)
                count += 1
                yield entry
        if table.deleted_ranges is not None:
            for key, value in _entries(table.block(*table.deleted_ranges)):
                yield _internal(key, value)
    except ValueError as error:
        facts = {"table": path.name, "error": str(error), "rows": count}
        findings.append(Finding(Kind.DAMAGED_TABLE, log=str(path), facts=facts))


def _internal(key: bytes, value: bytes) -> _Entry:
    """An entry by the key that tables store: the user's key, the sequence number and the operation."""
    if len(key) < 8:
        raise ValueError("a key without a sequence number")
    (packed,) = _U64.unpack(key[-8:])
    return _Entry(key[:-8], packed >> 8, packed & 0xFF, value)


class _Table:
    """The blocks of a table. Raises ValueError for what is damaged, or written in a way that is not read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        footer = data[-_FOOTER:]
        if len(footer) < _FOOTER or not footer.endswith(_MAGIC):
            raise ValueError(
                "it does not end as a table does, so it is cut off or written by another version"
            )
        self.checksum = footer[0]
        reader = _Reader(footer, 1)
        meta, self.index = reader.handle(), reader.handle()
        blocks = dict(_entries(self.block(*meta)))
        properties = {}
        if b"rocksdb.properties" in blocks:
            properties = dict(_entries(self.block(*_Reader(blocks[b"rocksdb.properties"]).handle())))
        self.delta = properties.get(b"rocksdb.index.value.is.delta.encoded", b"\0") != b"\0"
        kind = properties.get(b"rocksdb.block.based.table.index.type", b"")[:1]
        self.levels = 2 if kind == bytes([_INDEX_IN_PARTS]) else 1
        deleted = blocks.get(b"rocksdb.range_del")
        self.deleted_ranges = None if deleted is None else _Reader(deleted).handle()

    def block(self, offset: int, size: int) -> bytes:
        """A block, decompressed and verified."""
        stored = self.data[offset : offset + size + _TRAILER]
        if len(stored) < size + _TRAILER:
            raise ValueError("a block beyond the end of the file")
        data, kind = stored[:size], stored[size]
        if self.checksum == _CRC32C and mask_crc(stored[: size + 1]) != _U32.unpack(stored[size + 1 :])[0]:
            raise ValueError(f"the block at byte {offset:,} does not match its checksum")
        if kind == _PLAIN:
            return data
        if kind == _SNAPPY:
            return decompress(data, _LARGEST_BLOCK)
        if kind == _ZLIB:
            reader = _Reader(data)
            reader.varint()
            try:
                return zlib.decompressobj(-15).decompress(data[reader.at :], _LARGEST_BLOCK)
            except zlib.error as error:
                raise ValueError(str(error)) from None
        raise ValueError(f"it is compressed by a method that is not read ({kind})")

    def data_blocks(self) -> Iterator[tuple[int, int]]:
        """Offset and size of each block of entries."""
        handles = [self.index]
        for _ in range(self.levels):
            handles = [handle for block in handles for handle in self._handles(self.block(*block))]
        yield from handles

    def _handles(self, block: bytes) -> Iterator[tuple[int, int]]:
        """The blocks that a block of the index names."""
        reader = _Reader(block[: _end_of_entries(block)])
        offset = size = 0
        while reader.at < len(reader.data):
            shared, rest = reader.varint(), reader.varint()
            if not self.delta:
                reader.varint()
            reader.take(rest)
            if not self.delta or not shared:
                offset, size = reader.handle()
            else:  # the block follows the one before, and its size is stated as a difference
                change = reader.varint()
                offset += size + _TRAILER
                size += change >> 1 ^ -(change & 1)
            yield offset, size


def _end_of_entries(block: bytes) -> int:
    """Where the entries of a block end and the places at which keys are stored whole begin."""
    if len(block) < 4:
        raise ValueError("cut off")
    count: int = _U32.unpack(block[-4:])[0]
    end = len(block) - 4 - 4 * count
    if end < 0:
        raise ValueError("a block of a kind that is not read")
    return end


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key shares its beginning with the one before."""
    reader = _Reader(block[: _end_of_entries(block)])
    key = b""
    while reader.at < len(reader.data):
        shared, rest, length = reader.varint(), reader.varint(), reader.varint()
        if shared > len(key):
            raise ValueError("a key that shares more than there is")
        key = key[:shared] + reader.take(rest)
        yield key, reader.take(length)
