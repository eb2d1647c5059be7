"""Ways to damage a log: bytes that go wrong on a disk, and values that nobody expects in an intact file.

`damage` changes the content of one file. What lies in a container (a record with a checksum, an archive, a
database) is taken out, damaged and packed again, since a reader that checks the checksum would otherwise
never see it.
"""

import gzip
import io
import random
import re
import sqlite3
import struct
import zipfile
import zlib
from contextlib import closing

from replay.readers.checksums import mask_crc

_SIZES = [0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
_JUNK = [
    b"\0",
    b"\0" * 8,
    b"\xff" * 8,
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\x1b[2J",
    b"\r",
    b"\n",
    b"\n\n",
    b",",
    b"\t",
    b'"',
    b"{",
    b"}",
    b"[" * 50,
    b"]",
    b"<b>",
    b"=1+1",
    b"%s%n",
]
_VALUES = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"nan",
    b"null",
    b"true",
    b'"NaN"',
    b'"1"',
    b'""',
    b"[]",
    b"{}",
    b"[1, 2]",
    b'{"a": 1}',
    b"0",
    b"-0.0",
    b"-1",
    b"0.5",
    b"1e308",
    b"1e999",
    b"5e-324",
    b"1" + b"0" * 30,
    b"1" + b"0" * 400,
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\\u202e"',
    b"[" * 3000 + b"]" * 3000,
]
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9/]*")
_SQL_VALUES = [
    None,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    1.5,
    float("inf"),
    "",
    "NaN",
    "text",
    "\0",
    "\ud7ff\uffff",
    b"",
    b"\xff\xfe\0{",
    '{"a": [1, {"b": NaN}]}',
    "[" * 3000,
    "../../etc/passwd",
]


def damage(random: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """The content with one to three things wrong; ``others`` are contents to take pieces of."""
    for _ in range(random.choice([1, 1, 2, 3])):
        content = _once(random, content, others)
    return content


def _once(random: random.Random, content: bytes, others: list[bytes]) -> bytes:
    inside = next((change for begin, change in _CONTAINERS.items() if content.startswith(begin)), None)
    if inside is None and _frames(content):
        inside = _records
    if inside is not None and random.random() < 0.7:
        return inside(random, content, others)
    changes = [*_BYTES, *_BYTES] if inside is not None or b"\0" in content[:64] else [*_BYTES, *_TEXT, *_TEXT]
    return random.choice(changes)(random, content, others)


# ---------------------------------------------------------------- bytes


def _flip(random, content, others):
    changed = bytearray(content)
    for _ in range(random.choice([1, 1, 1, 4, 16])):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(random, content, others):
    return content[: random.randrange(len(content) + 1)]


def _zero_tail(random, content, others):
    at = random.randrange(len(content) + 1)
    return content[:at] + bytes(random.choice([len(content) - at, 1, 7, 512, 5000]))


def _span(random, content):
    at = random.randrange(len(content) + 1)
    return at, min(len(content), at + random.choice([1, 2, 4, 8, 30, 200, 2000]))


def _remove(random, content, others):
    low, high = _span(random, content)
    return content[:low] + content[high:]


def _repeat(random, content, others):
    low, high = _span(random, content)
    return content[:high] + content[low:high] * random.choice([1, 2, 30]) + content[high:]


def _insert(random, content, others):
    low, high = _span(random, content)
    junk = random.choice(_JUNK) if random.random() < 0.7 else random.randbytes(random.choice([1, 4, 40]))
    return content[:low] + junk + content[random.choice([low, high]) :]


def _overwrite_size(random, content, others):
    at = random.randrange(len(content) + 1)
    size, width = random.choice(_SIZES), random.choice([1, 2, 4, 8])
    packed = (size & (256**width - 1)).to_bytes(width, random.choice(["little", "big"]))
    return content[:at] + packed + content[at + width :]


def _splice(random, content, others):
    low, high = _span(random, content)
    other = random.choice(others)
    begin, end = _span(random, other)
    return content[:low] + other[begin:end] + content[high:]


_BYTES = [_flip, _flip, _cut, _zero_tail, _remove, _repeat, _insert, _overwrite_size, _splice]

# ---------------------------------------------------------------- text


def _replace_match(random, content, pattern, values):
    matches = list(pattern.finditer(content, 0, 200_000))
    if not matches:
        return content + random.choice(values)
    match = random.choice(matches)
    return content[: match.start()] + random.choice(values) + content[match.end() :]


def _value(random, content, others):
    return _replace_match(random, content, _NUMBER, _VALUES)


def _name(random, content, others):
    words = _WORD.findall(content[:50_000]) or [b"x"]
    names = [random.choice(words), b"", b"step", b"epoch", b"eval_loss", b"a" * 3000, random.choice(_JUNK)]
    return _replace_match(random, content, _WORD, names)


def _lines(random, content, others):
    lines = content.splitlines(keepends=True) or [b""]
    at = random.randrange(len(lines))
    change = random.randrange(5)
    if change == 0:
        lines.insert(at, random.choice(lines))
    elif change == 1:
        del lines[at]
    elif change == 2:
        random.shuffle(lines)
    elif change == 3:
        lines = lines[: at + 1] * random.choice([2, 3, 20])
    else:
        lines[at] = random.choice(_VALUES) + b"\n"
    return b"".join(lines)


def _encoding(random, content, others):
    text = content.decode("utf-8", "replace")
    return text.encode(random.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig"]))


_TEXT = [_value, _value, _value, _name, _name, _lines, _lines, _encoding]

# ---------------------------------------------------------------- containers


def _frames(content):
    """The data of the records of a TFRecord file, up to the first that is no record."""
    at, frames = 0, []
    while len(content) - at >= 16:
        (length,) = struct.unpack_from("<Q", content, at)
        if at + 16 + length > len(content) or (
            not frames and struct.unpack_from("<I", content, at + 8)[0] != mask_crc(content[at : at + 8])
        ):
            break
        frames.append(content[at + 12 : at + 12 + length])
        at += 16 + length
    return frames


def _records(random, content, others):
    frames = _frames(content)
    _some(random, frames, others)
    packed = []
    for data in frames:
        length = struct.pack("<Q", len(data))
        packed.append(length + struct.pack("<I", mask_crc(length)) + data + struct.pack("<I", mask_crc(data)))
    return b"".join(packed)


def _some(random, parts, others):
    """Damage, repeat or move some of the parts."""
    for _ in range(random.choice([1, 1, 2, 8])):
        if not parts:
            return
        at = random.randrange(len(parts))
        change = random.randrange(6)
        if change == 0:
            parts.insert(random.randrange(len(parts) + 1), parts[at])
        elif change == 1:
            del parts[at]
        else:
            parts[at] = random.choice(_BYTES)(random, parts[at], others)


_BLOCK, _KINDS = 32768, (1, 2, 3, 4)


def _framed_log(random, content, others):
    """The framing of LevelDB's logs, behind a header of 7 bytes: W&B and SwanLab."""
    at, records, part = 7, [], b""
    while at + 7 <= len(content):
        if _BLOCK - at % _BLOCK < 7:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        if kind not in _KINDS:
            break
        part += content[at + 7 : at + 7 + length]
        if kind in (1, 4):
            records.append(part)
            part = b""
        at += 7 + length
    _some(random, records, others)
    packed = bytearray(content[:7])
    for data in records:
        first = True
        while True:
            left = _BLOCK - len(packed) % _BLOCK
            if left < 7:
                packed += bytes(left)
                continue
            piece, data = data[: left - 7], data[left - 7 :]
            kind = (1 if first else 4) if not data else (2 if first else 3)
            crc = zlib.crc32(bytes([kind]) + piece)
            packed += struct.pack("<IHB", crc, len(piece), kind) + piece
            first = False
            if not data:
                break
    return bytes(packed)


def _gzip(random, content, others):
    try:
        inner = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return _flip(random, content, others)
    return gzip.compress(_once(random, inner, others), 1)


def _zip(random, content, others):
    packed = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:
        return _flip(random, content, others)
    at = random.randrange(len(members)) if members else -1
    with zipfile.ZipFile(packed, "w", random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for number, (name, inner) in enumerate(members):
            if number == at:
                change = random.randrange(8)
                if change == 0:
                    continue
                name = random.choice(["../" + name, "/" + name, "", name.upper()]) if change == 1 else name
                inner = _once(random, inner, others)
            archive.writestr(name, inner)
    return packed.getvalue()


def _sqlite(random, content, others):
    """Values, tables and columns of a database changed by SQL."""
    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
            database.deserialize(content)
            _query(random, database)
            return database.serialize()
    except (sqlite3.Error, OverflowError, UnicodeError, IndexError):  # damaged already, or without a table
        return random.choice(_BYTES)(random, content, others)


def _query(random, database):
    database.execute("PRAGMA ignore_check_constraints = 1")
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    filled = [name for name in tables if database.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()]
    table = random.choice(filled or tables)
    columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
    column = random.choice(columns)
    change = random.randrange(12)
    if change == 0:
        database.execute(f'DROP TABLE "{table}"')
    elif change == 1:
        database.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "other"')
    elif change == 2:
        database.execute(f'DELETE FROM "{table}"')
    elif change == 3:
        query = f'SELECT "{column}" FROM "{table}"'
        database.execute(f'CREATE VIEW "v{table}" AS {query}')
        database.execute(f'DROP TABLE "{table}"')
        database.execute(f'CREATE VIEW "{table}" AS SELECT * FROM "v{table}"')
    else:
        rows = [row for (row,) in database.execute(f'SELECT rowid FROM "{table}"')]
        some = random.sample(rows, min(len(rows), random.choice([1, 1, 3, 1000])))
        for row in some:
            value = random.choice(_SQL_VALUES)
            database.execute(f'UPDATE OR IGNORE "{table}" SET "{column}" = ? WHERE rowid = ?', (value, row))


_CONTAINERS = {
    b"SQLite format 3\0": _sqlite,
    b":W&B": _framed_log,
    b":SWL": _framed_log,
    b"PK\x03\x04": _zip,
    b"\x1f\x8b": _gzip,
}
