"""Writes the files of an Aim repository: keys and values in logs of RocksDB."""

import struct

from replay.readers.checksums import mask_crc
from tests.readers.blocks import framed, varint

PUT, DELETE, RANGE_DELETE = 1, 0, 15
NAME = "5f0c4a7e91b2d3c6e8f00112"


def key(*parts):
    """A path: text parts, and integers of 8 bytes; each ends in 0xFE."""
    out = b""
    for part in parts:
        data = part.encode() if isinstance(part, str) else b"\xfe" + struct.pack(">q", part)
        out += data + b"\xfe"
    return out


def value(item):
    """A value behind its type."""
    if item is None:
        return b"\0"
    if isinstance(item, bool):
        return bytes([1, item])
    if isinstance(item, int):
        return b"\2" + struct.pack("<q", item)
    if isinstance(item, float):
        return b"\3" + struct.pack("<d", item)
    if isinstance(item, str):
        return b"\4" + item.encode()
    return b"\7"  # a dict: its entries have keys of their own


def batch(sequence, *operations):
    """One record of a log: (tag, key[, value]) each."""
    out = struct.pack("<QI", sequence, len(operations))
    for tag, *texts in operations:
        out += bytes([tag]) + b"".join(varint(len(text)) + text for text in texts)
    return out


def log(batches):
    """The file that holds batches of operations, numbered from 1."""
    records, sequence = [], 1
    for operations in batches:
        records.append(batch(sequence, *operations))
        sequence += len(operations)
    return framed(records, checksum=mask_crc)


def repository(points, contexts, *, name=NAME, settings=None, ended=True):
    """The files of a run by their path below ``.aim``.

    ``points`` are (context id, metric, step, value, time, epoch) in the order in which they were tracked.
    """
    run = ("seqs", "v2", "chunks", name)
    values = []
    for context, metric, step, number, wall, epoch in points:
        place = hash_of(step)
        columns = {"val": number, "step": step, "epoch": epoch, "time": wall}
        values.append(
            [
                (PUT, key(*run, context, metric, column, place), value(item))
                for column, item in columns.items()
                if item is not None
            ]
        )
    about = [[(PUT, key("meta", "chunks", name), value({}))]]
    for number, context in contexts.items():
        about.append([(PUT, key("meta", "chunks", name, "contexts", number), value({}))])
        about += [
            [(PUT, key("meta", "chunks", name, "contexts", number, word), value(item))]
            for word, item in context.items()
        ]
    for word, item in (settings or {}).items():
        about.append([(PUT, key("meta", "chunks", name, "attrs", "hparams", word), value(item))])
    about.append([(PUT, key("meta", "chunks", name, "end_time"), value(1700001000.0 if ended else None))])
    return {
        "VERSION": b"4\n",
        f"seqs/chunks/{name}/000005.log": log(values),
        f"meta/chunks/{name}/000005.log": log(about),
    }


def hash_of(step):
    """Any number that does not keep the order of the steps."""
    return (int(2 * step) * 0x9E3779B97F4A7C15 + 0xFE) % 2**64 - 2**63
