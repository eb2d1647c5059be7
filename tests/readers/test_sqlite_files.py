"""Databases are read as they are, are never changed, and hostile ones do no harm."""

import sqlite3
from contextlib import closing

import pytest

from replay.readers import UnusableLog, sqlite_files
from replay.readers.sqlite_files import open_database, sources_of, table_names
from replay.report.sentences import sentence, sentences


def make(path, *statements, close=True):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    if close:
        connection.close()
    return connection


def head(path):
    return path.read_bytes()[:65536]


def snapshot(folder):
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()
    }


def values(path, table="points", columns=("x",)):
    with open_database(path) as database:
        return list(database.rows(table, columns)), sentences(database.findings)


TABLE = "CREATE TABLE points (x REAL, y TEXT)"


def test_rows_in_the_order_in_which_they_were_written(tmp_path):
    path = tmp_path / "a.db"
    make(
        path,
        "CREATE TABLE points (x REAL, y TEXT, PRIMARY KEY (y, x))",
        "INSERT INTO points VALUES (3, 'c'), (1, 'a'), (2, 'b')",
    )
    assert values(path, columns=("x", "y", "z")) == ([(3, "c", None), (1, "a", None), (2, "b", None)], [])
    assert values(path, "absent") == ([], [])
    assert table_names(path, head(path)) == {"points"}


def test_the_write_ahead_log_is_read_and_stays(tmp_path):
    path = tmp_path / "a.db"
    writer = make(path, "PRAGMA journal_mode = WAL", TABLE, "INSERT INTO points VALUES (1, '')", close=False)
    before = snapshot(tmp_path)
    assert "a.db-wal" in before
    assert table_names(path, head(path)) == {"points"}
    assert values(path) == ([(1.0,)], [])
    assert sources_of(path) == (path, tmp_path / "a.db-wal")
    assert snapshot(tmp_path) == before
    # as after a kill: the process is gone, its files are there
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("a.db", "a.db-wal"):
        (killed / name).write_bytes(before[name][0])
    writer.close()
    before = snapshot(killed)
    assert values(killed / "a.db") == ([(1.0,)], [])
    assert snapshot(killed) == before


def test_nothing_is_written_beside_a_database_without_a_log(tmp_path):
    path = tmp_path / "a.db"
    make(path, "PRAGMA journal_mode = WAL", TABLE, "INSERT INTO points VALUES (1, '')")
    before = snapshot(tmp_path)
    assert values(path) == ([(1.0,)], [])
    assert snapshot(tmp_path) == before
    assert list(before) == ["a.db"]


def test_an_interrupted_transaction_does_not_count(tmp_path):
    path = tmp_path / "a.db"
    make(path, TABLE, "INSERT INTO points VALUES (1, '')")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("BEGIN")
    writer.execute("UPDATE points SET x = 2")
    writer.execute("CREATE TABLE large (x)")
    writer.executemany("INSERT INTO large VALUES (?)", [("x" * 5000,) for _ in range(50)])
    journal = (tmp_path / "a.db-journal").read_bytes()
    data = path.read_bytes()
    writer.close()
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "a.db").write_bytes(data)
    (killed / "a.db-journal").write_bytes(journal)
    before = snapshot(killed)
    assert values(killed / "a.db") == ([(1.0,)], [])
    assert snapshot(killed) == before


def test_a_journal_that_names_another_file_deletes_nothing(tmp_path):
    path = tmp_path / "a.db"
    make(path, TABLE, "INSERT INTO points VALUES (1, '')")
    (tmp_path / "a.db-journal").write_bytes(bytes(1000) + bytes.fromhex("d9d505f920a163d7"))
    before = snapshot(tmp_path)
    assert values(path) == ([(1.0,)], [])
    assert snapshot(tmp_path) == before


def test_a_database_that_another_process_has_locked(tmp_path):
    path = tmp_path / "a.db"
    make(path, TABLE, "INSERT INTO points VALUES (1, '')")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert values(path) == ([(1.0,)], [])


@pytest.mark.parametrize(
    "schema",
    [
        (
            "CREATE VIEW points AS"
            " WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
        ),
        "CREATE TABLE points (y, x AS (length(zeroblob(900000000))))",
    ],
)
def test_a_hostile_schema_is_not_evaluated(tmp_path, schema):
    path = tmp_path / "a.db"
    make(path, schema)
    with sqlite3.connect(path) as connection:
        if "TABLE" in schema:
            connection.execute("INSERT INTO points (y) VALUES (1)")
    rows, _ = values(path)
    assert rows in ([], [(None,)])  # a computed column does not count as one


def test_a_table_named_to_break_a_query(tmp_path):
    path = tmp_path / "a.db"
    make(path, 'CREATE TABLE "a""; DROP TABLE b; --" (x)', "CREATE TABLE b (x)")
    assert values(path, 'a"; DROP TABLE b; --') == ([], [])
    assert table_names(path, head(path)) == {'a"; DROP TABLE b; --', "b"}


def test_cut_off_anywhere_gives_rows_or_a_reason(tmp_path):
    path = tmp_path / "a.db"
    make(path, "PRAGMA page_size = 512", TABLE)
    with sqlite3.connect(path) as connection:
        connection.executemany("INSERT INTO points VALUES (?, ?)", [(n, "y" * 40) for n in range(60)])
    connection.close()
    whole = path.read_bytes()
    reasons = set()
    for size in range(1, len(whole), 37):
        path.write_bytes(whole[:size])
        try:
            rows, said = values(path)
        except UnusableLog as error:
            reasons.add(sentence(error.finding).removeprefix(f"{path}: "))
            continue
        assert rows == [(float(n),) for n in range(len(rows))]
        assert said or len(rows) in (0, 60)
    assert "the SQLite database cannot be read (database disk image is malformed); it is left out" in reasons


def test_a_file_that_only_begins_like_a_database(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xab" * 5000)
    with pytest.raises(UnusableLog) as caught:
        values(path)
    assert sentence(caught.value.finding) == (
        f"{path}: the SQLite database cannot be read (file is not a database); it is left out"
    )
    assert table_names(path, head(path)) == set()
    assert table_names(path, b"something else") == set()


def test_a_damaged_schema_that_is_not_text(tmp_path):
    path = tmp_path / "a.db"
    make(path, TABLE, "INSERT INTO points VALUES (1, '')")
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE points", b"CREATE TAB\xf4E points"))
    with pytest.raises(UnusableLog) as caught:
        values(path)
    assert "the SQLite database cannot be read" in sentence(caught.value.finding)


def test_a_database_that_is_too_large_to_copy(tmp_path, monkeypatch):
    path = tmp_path / "a.db"
    writer = make(path, "PRAGMA journal_mode = WAL", TABLE, "INSERT INTO points VALUES (1, '')", close=False)
    monkeypatch.setattr(sqlite_files, "LARGEST_COPY", 1000)
    with pytest.raises(UnusableLog) as caught:
        values(path)
    assert "a.db-wal lies beside it, so it has to be copied" in sentence(caught.value.finding)
    writer.close()
    assert values(path) == ([(1.0,)], [])


def test_the_schema_is_only_in_the_write_ahead_log(tmp_path):
    path = tmp_path / "a.db"
    writer = make(path, "PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0", TABLE, close=False)
    copy = tmp_path / "b.db"
    copy.write_bytes(path.read_bytes())
    (tmp_path / "b.db-wal").write_bytes((tmp_path / "a.db-wal").read_bytes())
    writer.close()
    assert table_names(copy, head(copy)) == {"points"}


def test_a_damaged_schema_whose_table_name_is_no_text(tmp_path):
    path = tmp_path / "damaged.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE kept (step)")
        connection.execute("CREATE TABLE lost (step)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET name = CAST(name AS BLOB) WHERE name = 'lost'")
        connection.commit()
    with open_database(path) as database:
        assert database.columns("kept") == ("step",)
        assert database.columns("lost") == ()
