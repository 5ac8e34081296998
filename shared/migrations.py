"""Forward-only migrations: numbered SQL files, each applied once and in order, under a lock, with its checksum kept."""

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from shared.errors import Unavailable
from shared.postgres import Connection, Database, execute, fetch_all

log = logging.getLogger(__name__)

NAME = re.compile(r"^\d{4}_[a-z0-9_]+\.sql$")
LOCK = 0x6761746568  # any fixed number: two migrating processes take turns


@dataclass(frozen=True)
class Migration:
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True)
class Applied:
    name: str
    checksum: str


class MigrationError(Exception):
    """A file that was applied before has changed, or two files bear one number."""


def read(folder: Path) -> list[Migration]:
    """The migrations of a folder in order. Raise MigrationError for a wrong or doubled number."""
    files = sorted(folder.glob("*.sql"))
    wrong = [file.name for file in files if not NAME.match(file.name)]
    if wrong:
        raise MigrationError(f"Not named 0001_like_this.sql: {', '.join(wrong)}")
    numbers = [file.name[:4] for file in files]
    if len(set(numbers)) != len(numbers):
        raise MigrationError("Two migrations bear the same number.")
    return [Migration(file.name, file.read_text(encoding="utf-8")) for file in files]


def migrate(database: Database, folder: Path) -> list[str]:
    """Apply what is missing, each file in a transaction of its own; the names applied now."""
    with database.transaction() as conn:
        execute(conn, "SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
        if not _is_there(conn):  # whoever may not make tables may still find that none is missing
            execute(
                conn,
                """
                CREATE TABLE schema_migrations (
                    name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
                )
                """,
            )
    names = []
    for migration in read(folder):
        with database.transaction() as conn:
            execute(conn, "SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
            if _apply(conn, migration):
                names.append(migration.name)
                log.info("migrated", extra={"migration": migration.name})
    return names


def pending(database: Database, folder: Path) -> list[str]:
    """The names of migrations that are not applied yet."""
    with database.transaction() as conn:
        known = {row.name for row in _applied(conn)}
    return [migration.name for migration in read(folder) if migration.name not in known]


def require_current(database: Database, folder: Path) -> None:
    """Raise Unavailable while a migration is missing: as a readiness check it holds a rollout until `migrate` ran."""
    if names := pending(database, folder):
        raise Unavailable(f"Migrations are missing: {', '.join(names)}.")


def _apply(conn: Connection, migration: Migration) -> bool:
    for applied in _applied(conn):
        if applied.name == migration.name:
            if applied.checksum != migration.checksum:
                raise MigrationError(f"{migration.name} was applied before and has changed since: add a new file.")
            return False
    execute(conn, migration.sql)
    execute(
        conn,
        "INSERT INTO schema_migrations (name, checksum) VALUES (%(name)s, %(checksum)s)",
        {"name": migration.name, "checksum": migration.checksum},
    )
    return True


def _applied(conn: Connection) -> list[Applied]:
    if not _is_there(conn):
        return []
    return fetch_all(conn, Applied, "SELECT name, checksum FROM schema_migrations")


def _is_there(conn: Connection) -> bool:
    exists = "SELECT to_regclass('schema_migrations')::text AS name, '' AS checksum"
    return any(row.name is not None for row in fetch_all(conn, Applied, exists))
