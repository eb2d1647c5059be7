"""Zip archives as writers leave them, whole and cut off."""

import io
import os
import zipfile

import pytest

from replay.readers import archives
from replay.readers.archives import MemberText, is_archive, list_members, read_small

TEXT = "".join(f"line {number}: {number * 37 % 1009}\n" for number in range(400))
METHODS = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}


def put(path, *names, method=zipfile.ZIP_DEFLATED, text=TEXT):
    with zipfile.ZipFile(path, "w", compression=method) as archive:
        for name in names:
            archive.writestr(name, text)
    return path


class OneWay(io.RawIOBase):
    """A file that cannot be sought in: zipfile then writes the sizes behind the data."""

    def __init__(self, file):
        self._file = file

    def writable(self):
        return True

    def write(self, data):
        return self._file.write(data)


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_members_in_order_with_their_text(tmp_path, method):
    path = put(tmp_path / "a.zip", "first", "b/second", "third", method=method)
    assert is_archive(path.read_bytes())
    members = list_members(path)
    assert [member.name for member in members] == ["first", "b/second", "third"]
    for member in members:
        text = MemberText(path, member)
        assert "".join(text) == TEXT
        assert not text.cut
        assert read_small(path, member) == TEXT.encode()
        assert read_small(path, member, limit=10) is None


def test_sizes_behind_the_data(tmp_path):
    path = tmp_path / "a.zip"
    with path.open("wb") as file, zipfile.ZipFile(OneWay(file), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one", TEXT)
        archive.writestr("two", TEXT[::-1])
    one, two = list_members(path)
    assert (one.size, one.name, two.name) == (None, "one", "two")
    assert "".join(MemberText(path, two)) == TEXT[::-1]


def test_long_sizes(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("one", "w", force_zip64=True) as member:
            member.write(TEXT.encode())
        archive.writestr("two", TEXT)
    assert [member.name for member in list_members(path)] == ["one", "two"]


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_cut_off_at_any_byte_the_beginning_stays(tmp_path, method):
    whole = put(tmp_path / "a.zip", "one", method=method, text=TEXT[:900]).read_bytes()
    path, longest = tmp_path / "cut.zip", 0
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        for member in list_members(path):
            text = MemberText(path, member)
            got = "".join(text)
            assert TEXT[:900].startswith(got)
            assert text.cut == (got != TEXT[:900]) or len(got) == 900
            longest = max(longest, len(got))
    assert longest == 900


def test_a_bomb_is_unpacked_up_to_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_BYTES", 1 << 20)
    monkeypatch.setattr(archives, "_LONGEST_LINE", 1 << 16)
    path = put(tmp_path / "a.zip", "zeros", text="0" * (1 << 22))
    text = MemberText(path, *list_members(path))
    sizes = [len(line) for line in text]
    assert max(sizes) <= 1 << 16
    assert 1 << 20 <= sum(sizes) < (1 << 20) + (1 << 17)
    assert text.cut
    assert read_small(path, *list_members(path), limit=1 << 16) is None


def test_what_cannot_be_unpacked_is_no_member(tmp_path):
    path = tmp_path / "a.zip"
    put(path, "packed", method=zipfile.ZIP_BZIP2)
    assert list_members(path) == []
    data = bytearray(put(path, "one", "two").read_bytes())
    data[6] |= 1  # encrypted
    path.write_bytes(data)
    assert [member.name for member in list_members(path)] == ["two"]
    path.write_bytes(b"PK\3\4" + os.urandom(200))
    for member in list_members(path):
        "".join(MemberText(path, member))


def test_no_more_than_a_thousand_members_are_looked_at(tmp_path):
    path = put(tmp_path / "a.zip", *(f"image {number}" for number in range(1100)), text="x")
    assert len(list_members(path)) == 1000
