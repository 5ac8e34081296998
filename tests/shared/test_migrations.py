"""Migrations: in order, once, whole or not at all, also when two processes migrate at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from shared.errors import Unavailable
from shared.migrations import MigrationError, migrate, pending, read, require_current
from shared.postgres import Database, execute, fetch_all


@dataclass(frozen=True)
class Step:
    text: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Each file notes that it ran."""
    (tmp_path / "0001_steps.sql").write_text(
        "CREATE TABLE steps (n serial, text text); INSERT INTO steps (text) VALUES ('1')"
    )
    (tmp_path / "0002_second.sql").write_text("INSERT INTO steps (text) VALUES ('2, 100 %, %(not)s a parameter')")
    (tmp_path / "0010_tenth.sql").write_text("-- Zürich\nINSERT INTO steps (text) VALUES ('10')", encoding="utf-8")
    return tmp_path


def steps(db: Database) -> list[str]:
    with db.transaction() as conn:
        return [step.text.split(",")[0] for step in fetch_all(conn, Step, "SELECT text FROM steps ORDER BY n")]


def test_all_are_applied_in_order_and_once(db: Database, folder: Path) -> None:
    assert pending(db, folder) == ["0001_steps.sql", "0002_second.sql", "0010_tenth.sql"]
    assert migrate(db, folder) == ["0001_steps.sql", "0002_second.sql", "0010_tenth.sql"]
    assert migrate(db, folder) == []
    assert steps(db) == ["1", "2", "10"] and pending(db, folder) == []


def test_a_new_file_is_applied_on_what_is_there(db: Database, folder: Path) -> None:
    migrate(db, folder)
    (folder / "0011_more.sql").write_text("INSERT INTO steps (text) VALUES ('11')")
    assert pending(db, folder) == ["0011_more.sql"]
    assert migrate(db, folder) == ["0011_more.sql"]
    assert steps(db) == ["1", "2", "10", "11"]


def test_a_process_is_not_ready_before_its_schema_is_and_does_not_mind_a_newer_one(db: Database, folder: Path) -> None:
    with pytest.raises(Unavailable, match=r"0001_steps\.sql, 0002_second\.sql, 0010_tenth\.sql"):
        require_current(db, folder)
    migrate(db, folder)
    require_current(db, folder)
    (folder / "0010_tenth.sql").unlink()  # yesterday's code does not know today's migration
    require_current(db, folder)


def test_processes_that_migrate_at_the_same_time_take_turns(make_db: Callable[..., Database], folder: Path) -> None:
    (folder / "0011_slow.sql").write_text("SELECT pg_sleep(0.3); INSERT INTO steps (text) VALUES ('11')")
    databases = [make_db(1) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda db: migrate(db, folder), databases))
    assert sorted(name for names in applied for name in names) == sorted(path.name for path in folder.iterdir())
    assert steps(databases[0]) == ["1", "2", "10", "11"]


def test_a_file_that_changed_after_it_was_applied_is_refused_by_name(db: Database, folder: Path) -> None:
    migrate(db, folder)
    (folder / "0002_second.sql").write_text("INSERT INTO steps (text) VALUES ('other')")
    (folder / "0011_more.sql").write_text("INSERT INTO steps (text) VALUES ('11')")
    with pytest.raises(MigrationError, match=r"0002_second\.sql was applied before and has changed"):
        migrate(db, folder)
    assert steps(db) == ["1", "2", "10"]


def test_a_file_that_fails_leaves_nothing_and_those_before_it_stay(db: Database, folder: Path) -> None:
    (folder / "0011_wrong.sql").write_text("INSERT INTO steps (text) VALUES ('11'); CREATE TABLE half (); SELECT 1 / 0")
    with pytest.raises(psycopg2.errors.DivisionByZero):
        migrate(db, folder)
    assert steps(db) == ["1", "2", "10"] and pending(db, folder) == ["0011_wrong.sql"]
    with db.transaction() as conn, pytest.raises(psycopg2.errors.UndefinedTable):
        execute(conn, "SELECT FROM half")


@pytest.mark.parametrize("name", ["1_short.sql", "0003-dashes.sql", "0003_Upper.sql", "notes.sql"])
def test_a_misnamed_file_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).touch()
    with pytest.raises(MigrationError, match=name):
        read(folder)


def test_two_files_with_one_number_are_refused(folder: Path) -> None:
    (folder / "0002_other.sql").touch()
    with pytest.raises(MigrationError, match="same number"):
        read(folder)
