"""Applies `migrations/`: numbered JSON files of MongoDB commands, forward only, each recorded with its checksum.

MongoDB changes its schema outside of transactions, so a file that was interrupted runs again from its beginning, and
two processes may run one file at once: every command must be one that can be repeated (createIndexes, collMod, …).
"""

import hashlib
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bson import json_util
from pymongo.errors import OperationFailure

from services.data.mongo import Connection, Database
from shared.errors import Unavailable

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "migrations"
NAME = re.compile(r"^\d{4}_[a-z0-9_]+\.json$")
NAMESPACE_EXISTS = 48


@dataclass(frozen=True)
class Migration:
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


class MigrationError(Exception):
    """A file that was applied before has changed, or is misnamed, or two bear one number."""


def read(folder: Path = FOLDER) -> list[Migration]:
    """The migrations in order. Raise MigrationError for a wrong name or a doubled number."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    wrong = [file.name for file in files if not NAME.match(file.name)]
    if wrong:
        raise MigrationError(f"Not named 0001_like_this.json: {', '.join(wrong)}")
    if len({file.name[:4] for file in files}) != len(files):
        raise MigrationError("Two migrations bear the same number.")
    return [Migration(file.name, file.read_text()) for file in files]


def migrate(database: Database, folder: Path = FOLDER) -> list[str]:
    """Apply what is missing; the names applied now. Raise MigrationError or Unavailable."""
    names = []
    for migration in read(folder):
        with database.connection() as conn:
            if _is_applied(conn, migration):
                continue
            for command in json_util.loads(migration.text):
                _run(conn, command)
            row = {"checksum": migration.checksum, "applied_at": datetime.now(UTC)}
            conn["schema_migrations"].update_one({"_id": migration.name}, {"$setOnInsert": row}, upsert=True)
        names.append(migration.name)
        log.info("migrated", extra={"migration": migration.name})
    return names


def pending(database: Database, folder: Path = FOLDER) -> list[str]:
    """The names of migrations that are not applied yet."""
    with database.connection() as conn:
        return [migration.name for migration in read(folder) if not _is_applied(conn, migration)]


def require_current(database: Database, folder: Path = FOLDER) -> None:
    """Raise Unavailable while a migration is missing: as a readiness check it holds a rollout until `migrate` ran."""
    if names := pending(database, folder):
        raise Unavailable(f"Migrations are missing: {', '.join(names)}.")


def _is_applied(conn: Connection, migration: Migration) -> bool:
    row = conn["schema_migrations"].find_one({"_id": migration.name})
    if row is not None and row["checksum"] != migration.checksum:
        raise MigrationError(f"{migration.name} was applied before and has changed since: add a new file.")
    return row is not None


def _run(conn: Connection, command: dict[str, object]) -> None:
    try:
        conn.database.command(command)
    except OperationFailure as error:
        if not ("create" in command and error.code == NAMESPACE_EXISTS):
            raise
