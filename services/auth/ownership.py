"""Whose the tables are: a role that only `migrate` has the password of. The service's own role reads and writes rows.

So whoever takes the service over can neither change nor shorten the audit log, nor its rules.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from psycopg2.extensions import parse_dsn
from psycopg2.sql import SQL, Composable, Identifier
from pydantic import BaseModel, Field, SecretStr, TypeAdapter, field_validator

from shared import migrations
from shared.postgres import Connection, Database, execute, fetch_all, fetch_one
from shared.settings import PostgresUrl

log = logging.getLogger(__name__)

APPEND_ONLY = "audit_log"
# Neither its number nor its time is the service's to say.
WRITTEN = ("actor", "action", "subject", "address", "session_id", "client", "details")
READ_ONLY = frozenset({APPEND_ONLY, "audit_retention", "schema_migrations"})


class OwnerSettings(BaseModel):
    """What only `migrate` reads."""

    migrate_database_url: SecretStr = Field(
        SecretStr(""), description="the same database as the role that owns its tables; only `migrate` is given it"
    )
    audit_kept_s: int = Field(
        34_560_000, ge=86_400, description="how long the audit log keeps a row; counts from the next `migrate` on"
    )

    @field_validator("migrate_database_url")
    @classmethod
    def _is_a_url_if_given(cls, value: SecretStr) -> SecretStr:
        return TypeAdapter[SecretStr](PostgresUrl).validate_python(value) if value.get_secret_value() else value


@dataclass(frozen=True)
class _Thing:
    kind: str
    name: str


def role_of(url: SecretStr) -> str:
    """The role that a database URL logs in as."""
    return str(parse_dsn(url.get_secret_value()).get("user", ""))


def migrate(db: Database, settings: "OwnerSettings", database_url: SecretStr, folder: Path) -> None:
    """Bring the schema up to date as the role that owns it, and give the service's role what it needs of it.

    Without an owner of its own (MIGRATE_DATABASE_URL) the service's role is the owner, and the log is as safe as that.
    """
    role, owning = role_of(database_url), role_of(settings.migrate_database_url)
    if owning in ("", role):
        migrations.migrate(db, folder)
        if _owns(db):
            keep_audit_for(db, settings.audit_kept_s)
            log.warning("The service's role owns its tables: who takes it over can change the audit log.")
        return
    owner = Database(settings.migrate_database_url.get_secret_value(), size=1, application_name="auth-migrate")
    try:
        take_over(owner, role)
        migrations.migrate(owner, folder)
        keep_audit_for(owner, settings.audit_kept_s)
        hand_out(owner, role)
    finally:
        owner.close()


def take_over(owner: Database, role: str) -> None:
    """Make the owner's what the service's role made in the days when it ran the migrations itself.

    One thing a transaction, and the role can use it on: what runs meanwhile hardly waits, and cannot wait in a circle.
    """
    for thing in _things_of(owner, role):
        with owner.transaction() as conn:
            _run(conn, "ALTER {kind} {name} OWNER TO CURRENT_USER", kind=SQL(thing.kind), name=_named(thing))
            if thing.kind == "TABLE":
                _grant_table(conn, thing.name, role)
                log.info("taken over", extra={"table": thing.name})


def hand_out(owner: Database, role: str) -> None:
    """Let the service's role work with every table, and only add to the log and read it."""
    with owner.transaction() as conn:
        execute(conn, "SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": migrations.LOCK})
        found = fetch_one(conn, _Thing, "SELECT 'DATABASE' AS kind, current_database()::text AS name")
        database = found.name if found else ""
        _run(conn, "GRANT CONNECT ON DATABASE {name} TO {role}", name=database, role=role)
        _run(conn, "GRANT USAGE ON SCHEMA public TO {role}", role=role)
        # PostgreSQL lets everybody make temporary tables, and run any function: also one that changes the log, as a
        # trigger of such a table.
        _run(conn, "REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC, {role}", name=database, role=role)
        _run(conn, "REVOKE ALL ON FUNCTION audit_log_forget() FROM PUBLIC, {role}", role=role)
        tables = "SELECT 'TABLE' AS kind, tablename::text AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 2"
        for thing in fetch_all(conn, _Thing, tables):
            _grant_table(conn, thing.name, role)


def keep_audit_for(owner: Database, kept_s: int) -> None:
    """Say how old rows of the log must be to be deleted."""
    with owner.transaction() as conn:
        sql = "UPDATE audit_retention SET kept = make_interval(secs => %(kept_s)s)"
        execute(conn, sql, {"kept_s": kept_s})


def _owns(db: Database) -> bool:
    """True if this connection may change the rules of the log."""
    sql = """
        SELECT 'TABLE' AS kind, relname::text AS name FROM pg_class
        WHERE oid = 'audit_retention'::regclass AND pg_has_role(relowner, 'USAGE')
    """
    with db.transaction() as conn:
        return fetch_one(conn, _Thing, sql) is not None


def _things_of(owner: Database, role: str) -> list[_Thing]:
    """Tables (with what belongs to them) and functions. Those of an extension are the extension's."""
    sql = """
        SELECT 'TABLE' AS kind, c.oid::regclass::text AS name FROM pg_class c
        WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND c.relowner = to_regrole(%(role)s)
        UNION ALL
        SELECT 'FUNCTION', p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = to_regrole(%(role)s)
    """
    with owner.transaction() as conn:
        return fetch_all(conn, _Thing, sql, {"role": f'"{role}"'})


def _named(thing: _Thing) -> Composable:
    return SQL(thing.name)  # from the catalogue, which has quoted it where it must be


def _grant_table(conn: Connection, table: str, role: str) -> None:
    """Set this table's rights anew."""
    name = Identifier(table)
    _run(conn, "REVOKE ALL ON {name} FROM {role}", name=name, role=role)
    rights = "SELECT" if table in READ_ONLY else "SELECT, INSERT, UPDATE, DELETE"
    _run(conn, f"GRANT {rights} ON {{name}} TO {{role}}", name=name, role=role)
    if table == APPEND_ONLY:
        columns = SQL(", ").join(map(Identifier, _written(conn)))
        _run(conn, "GRANT INSERT ({columns}) ON {name} TO {role}", columns=columns, name=name, role=role)


def _written(conn: Connection) -> list[str]:
    """What the service writes of the log, as far as it is there: one that is taken over may lack the newest columns."""
    sql = """
        SELECT 'COLUMN' AS kind, attname::text AS name FROM pg_attribute
        WHERE attrelid = to_regclass(%(log)s) AND attname = ANY(%(written)s) AND NOT attisdropped ORDER BY attnum
    """
    return [column.name for column in fetch_all(conn, _Thing, sql, {"log": APPEND_ONLY, "written": list(WRITTEN)})]


def _run(conn: Connection, sql: str, **parts: Composable | str) -> None:
    named = {key: Identifier(part) if isinstance(part, str) else part for key, part in parts.items()}
    execute(conn, SQL(sql).format(**named).as_string(conn))
