from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from intelligence.database import Database
from intelligence.errors import StorageError

TABLE = "CREATE TABLE a (x); INSERT INTO a VALUES (1);"


def values(database: Database) -> list[int]:
    with database.read() as db:
        return [row["x"] for row in db.execute("SELECT x FROM a ORDER BY x")]


def test_read_of_a_missing_file_is_empty_and_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "data" / "x.db"
    with closing(Database(path, ["CREATE TABLE a (x);"])) as database:
        assert values(database) == []
        assert not path.parent.exists()
        with database.transaction() as db:
            db.execute("INSERT INTO a VALUES (2)")
        assert values(database) == [2]


def test_read_creates_the_file_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "data" / "x.db"
    with closing(Database(path, [TABLE])) as database, database.read(create=True) as db:
        assert db.execute("SELECT x FROM a").fetchone()["x"] == 1
    assert path.exists()


def test_transaction_is_undone_when_the_block_raises(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "x.db", [TABLE])) as database:
        with pytest.raises(KeyError), database.transaction() as db:
            db.execute("INSERT INTO a VALUES (2)")
            raise KeyError
        assert values(database) == [1]


def test_database_is_opened_again_after_close(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db", [TABLE])
    for _ in range(2):
        with database.transaction() as db:
            db.execute("INSERT INTO a VALUES (2)")
        database.close()
    assert values(database) == [1, 2, 2]
    database.close()


def test_failed_migration_leaves_the_old_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(Database(path, [TABLE])) as database, database.transaction():
        pass
    failing = Database(path, [TABLE, "CREATE TABLE b (y); INSERT INTO a VALUES (2); INSERT INTO nowhere VALUES (3);"])
    with pytest.raises(StorageError, match=r"x\.db"), failing.read():
        pass
    with closing(Database(path, [TABLE])) as database, database.read() as db:
        assert [row[0] for row in db.execute("SELECT x FROM a")] == [1]
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 1
    with closing(Database(path, [TABLE, "CREATE TABLE b (y);"])) as database, database.read() as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 2
    with closing(sqlite3.connect(f"{path}.v1.backup")) as backup:
        assert backup.execute("SELECT x FROM a").fetchall() == [(1,)]


@pytest.mark.parametrize(("content", "kept"), [(b"no database at all" * 100, True), (b"", False)])
def test_file_that_is_no_database_is_set_aside(tmp_path: Path, content: bytes, kept: bool) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with closing(Database(path, [TABLE])) as database:
        assert values(database) == [1]
    assert [each.read_bytes() for each in tmp_path.glob("x.db.damaged-*")] == [content] * kept


def test_threads_and_objects_share_one_file(tmp_path: Path) -> None:
    def add(database: Database) -> None:
        for _ in range(20):
            with database.transaction() as db:
                (most,) = db.execute("SELECT max(x) FROM a").fetchone()
                db.execute("INSERT INTO a VALUES (?)", (most + 1,))

    first, second = (Database(tmp_path / "x.db", [TABLE]) for _ in range(2))
    threads = [threading.Thread(target=add, args=(database,)) for database in (first, first, second, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(first) == list(range(1, 82))
    first.close()
    second.close()


def test_processes_migrate_one_file_and_keep_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    old, new = ("CREATE TABLE t (a)",), ("CREATE TABLE t (a)", "ALTER TABLE t ADD COLUMN b")
    database = Database(path, old)
    with database.transaction() as db:
        db.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(1000)])
    database.close()
    code = f"""
from intelligence.database import Database
with Database({str(path)!r}, {new!r}).transaction() as db:
    db.execute("UPDATE t SET b = coalesce(b, 0) + 1 WHERE a = 0")
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate()[1].decode() for process in processes] == [""] * 4
    with Database(path, new).read() as db:
        assert db.execute("SELECT b FROM t WHERE a = 0").fetchone()[0] == 4
    with Database(f"{path}.v1.backup", old).read() as db:
        assert [row[1] for row in db.execute("PRAGMA table_info(t)")] == ["a"]
        assert db.execute("SELECT count(*) FROM t").fetchone()[0] == 1000


def test_full_disk_is_named(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", (TABLE,))
    assert values_after(database, 5) == [1, 5]
    with pytest.raises(StorageError, match="is full; free some space"), database.transaction() as db:
        db.execute("PRAGMA max_page_count = 1")
        db.executemany("INSERT INTO a VALUES (?)", [("x" * 4000,) for _ in range(100)])
    assert values(database) == [1, 5]


def values_after(database: Database, value: int) -> list[int]:
    with database.transaction() as db:
        db.execute("INSERT INTO a VALUES (?)", (value,))
    return values(database)


def test_new_file_waits_for_the_process_that_made_it(tmp_path: Path) -> None:
    """Rows are being written in the journal that a new file has, before any process could set another."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as first:
        first.executescript(f"{TABLE} PRAGMA user_version = 1;")
        first.execute("BEGIN IMMEDIATE")
        first.execute("INSERT INTO a VALUES (2)")
        threading.Timer(0.3, lambda: first.execute("COMMIT")).start()
        with closing(Database(path, [TABLE], cache=True)) as database:
            with database.transaction() as db:
                db.execute("INSERT INTO a VALUES (3)")
            assert database.problem is None
            assert values(database) == [1, 2, 3]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM a").fetchone() == (3,)
