"""Who has the service has not its audit log: it may add rows and read them. Old ones go, and what names the erased."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errorcodes
import pytest
from pydantic import SecretStr

from deploy.local.postgres import Postgres
from services.auth import ownership, worker
from services.auth.config import MIGRATIONS
from shared.ids import new_id
from shared.migrations import migrate
from shared.postgres import Database
from tests.auth.conftest import Person, Service, Start, output_of

# Last migrations of the days when the service's role ran them: the first one with a log, and the one before the owner.
BEFORE_OWNER = ("0022", "0025")
YESTERDAYS_INSERT = """
    INSERT INTO audit_log (actor, action, subject, address, session_id) VALUES (NULL, 'user.read', NULL, NULL, NULL)
"""
ATTACKS = [
    "UPDATE audit_log SET action = 'nothing'",
    "UPDATE audit_log SET address = NULL",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "TRUNCATE audit_log, users CASCADE",
    "SET gatehouse.audit_rule = 'retention'; DELETE FROM audit_log",
    "SET gatehouse.audit_rule = 'erasure'; UPDATE audit_log SET details = '{}'",
    "SET session_replication_role = replica",
    "MERGE INTO audit_log USING users ON subject = users.id WHEN MATCHED THEN DELETE",
    "SELECT 1 FROM audit_log FOR UPDATE",
    "INSERT INTO audit_log (action, at) VALUES ('user.read', now() - interval '2 years')",
    "INSERT INTO audit_log (id, action) OVERRIDING SYSTEM VALUE VALUES (1, 'user.read')",
    "INSERT INTO audit_log (action) VALUES ('x') ON CONFLICT (id) DO UPDATE SET action = 'nothing'",
    "ALTER TABLE audit_log DROP COLUMN address",
    "ALTER TABLE audit_log RENAME TO elsewhere",
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "ALTER TABLE audit_log OWNER TO auth",
    "ALTER TABLE users DISABLE TRIGGER ALL",
    "ALTER DATABASE {database} OWNER TO auth",
    "DROP TABLE audit_log",
    "DROP TABLE users CASCADE",
    "DROP SCHEMA public CASCADE",
    "DROP DATABASE {database}",
    "DROP INDEX audit_log_at",
    "DROP TRIGGER audit_log_only_grows ON audit_log",
    "DROP FUNCTION audit_log_shorten",
    "CREATE OR REPLACE FUNCTION audit_log_shorten(batch integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "ALTER FUNCTION audit_log_shorten SET search_path = pg_temp",
    "CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz 'infinity' $$",
    "CREATE TEMP TABLE audit_retention AS SELECT true AS only_row, interval '0' AS kept",
    "CREATE TABLE own (id integer)",
    "CREATE SCHEMA own",
    "CREATE RULE nothing AS ON INSERT TO audit_log DO INSTEAD NOTHING",
    "CREATE TRIGGER nothing BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "UPDATE audit_retention SET kept = interval '0'",
    "DELETE FROM audit_retention",
    "INSERT INTO audit_retention VALUES (false, interval '0')",
    "DELETE FROM schema_migrations",
    "GRANT ALL ON audit_log TO auth; DELETE FROM audit_log",
    "GRANT auth_owner TO auth",
    "REASSIGN OWNED BY auth_owner TO auth",
    "SET ROLE auth_owner",
    "SET SESSION AUTHORIZATION auth_owner",
    "DO $$ BEGIN LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE; END $$",
    "COPY audit_log TO PROGRAM 'cat'",
]

# What the rule of erasure would do to rows of people who are still there.
FORGETTING = (
    "CREATE TEMPORARY TABLE own (id uuid)",
    """
    CREATE TRIGGER own AFTER DELETE ON own REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_forget()
    """,
)


def _log(service: Service) -> list[dict[str, Any]]:
    return service.rows("SELECT * FROM audit_log ORDER BY id")


def _refusals(url: str) -> Iterator[tuple[str, str | None]]:
    """Each attack, and what the database says of it."""
    conn = psycopg2.connect(url)
    conn.autocommit = True
    with conn.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        ((database,),) = cursor.fetchall()
        for attack in ATTACKS:
            try:
                cursor.execute(attack.replace("{database}", database))
                yield attack, None
            except psycopg2.Error as error:
                yield attack, error.pgcode
    conn.close()


def test_whoever_has_the_services_role_can_do_nothing_to_the_log(service: Service, root: Person) -> None:
    root.administer("GET")
    before = _log(service)
    refusals = dict(_refusals(service.parts.settings.database_url.get_secret_value()))
    assert refusals == dict.fromkeys(ATTACKS, psycopg2.errorcodes.INSUFFICIENT_PRIVILEGE)
    assert _log(service) == before and before


def _age(service: Service, days: int, times: int = 1) -> None:
    sql = """
        INSERT INTO audit_log (action, at)
        SELECT 'test.aged', now() - make_interval(days => %(days)s) FROM generate_series(1, %(times)s)
    """
    service.as_owner(sql, days=days, times=times)


def _ages(service: Service) -> list[int]:
    sql = "SELECT extract(day FROM now() - at)::integer AS age FROM audit_log WHERE action = 'test.aged' ORDER BY at"
    return [row["age"] for row in service.rows(sql)]


def test_rows_past_the_retention_go_in_batches_and_no_other(service: Service) -> None:
    _age(service, 401, times=worker.BATCH + 1)
    _age(service, 399)
    assert worker.clean_up(service.db, service.parts.settings) > worker.BATCH
    assert _ages(service) == [399]


def test_the_service_has_no_say_in_how_old_is_old(service: Service) -> None:
    _age(service, 399)
    for limit in (0, 1, 2**31 - 1):
        service.rows("SELECT audit_log_shorten(%(limit)s)", limit=limit)
    assert 399 in _ages(service)
    ownership.keep_audit_for(Database(service.owners_url, size=1), 86_400)
    service.rows("SELECT audit_log_shorten(10000)")
    assert _ages(service) == []
    ownership.keep_audit_for(Database(service.owners_url, size=1), 34_560_000)


def test_of_an_erased_person_only_the_id_what_was_done_and_when_are_left(
    service: Service, root: Person, alice: Person
) -> None:
    both = {None: None, "alice": alice.user_id, "root": root.user_id}
    for actor, subject in itertools.product(both, both):
        service.rows(
            """
            INSERT INTO audit_log (action, actor, subject, address, client, details)
            VALUES ('test.noted', %(actor)s, %(subject)s, '192.0.2.1', 'Phone', '{"which": "one"}')
            """,
            actor=both[actor],
            subject=both[subject],
        )
    assert root.administer("DELETE", f"/{alice.user_id}", {"should_soft_delete": False}).status == 200
    left = {
        (row["actor"], row["subject"]): (bool(row["address"]), bool(row["client"]), bool(row["details"]))
        for row in service.rows("SELECT *, actor::text, subject::text FROM audit_log WHERE action = 'test.noted'")
        if row["actor"] or row["subject"]
    }
    everything, nothing = (True, True, True), (False, False, False)
    assert left == {
        (None, alice.user_id): nothing,  # where somebody tried to be alice
        (alice.user_id, None): (False, False, True),
        (alice.user_id, alice.user_id): nothing,
        (alice.user_id, root.user_id): (False, False, True),
        (root.user_id, alice.user_id): (True, True, False),  # an administrator answers for what they did
        (None, root.user_id): everything,
        (root.user_id, None): everything,
        (root.user_id, root.user_id): everything,
    }


@pytest.fixture(params=BEFORE_OWNER)
def yesterday(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Iterator[str]:
    """A database of the days when the service's role owned everything in it, with a user and a row in the log."""
    name, password = f"yesterday_{new_id().hex[:8]}", "yesterday"
    url = postgres.create_role_and_database(name, password)
    for file in sorted(MIGRATIONS.glob("*.sql")):
        if file.name[:4] <= request.param:
            shutil.copy(file, tmp_path)
    db = Database(url, size=1)
    migrate(db, tmp_path)
    db.close()
    _run(url, "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'alice@example.com')", YESTERDAYS_INSERT)
    yield url
    postgres.drop_database(name)


def _run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    conn = psycopg2.connect(url)
    with conn, conn.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        found = cursor.fetchall() if cursor.description else []
    conn.close()
    return found


def test_a_database_of_yesterday_is_taken_over_and_the_code_of_yesterday_still_works_on_it(
    service: Service, yesterday: str, postgres: Postgres, start: Start
) -> None:
    name = yesterday.rsplit("/", 1)[1]
    owner = postgres.create_owner(f"{name}_owner", "owner", database=name, role=name)
    settings = service.parts.settings.model_copy(update={"database_url": SecretStr(yesterday)})
    with postgres.admin() as conn, conn.cursor() as cursor:  # as PostgreSQL itself gives it
        cursor.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO PUBLIC")
    for _ in range(2):
        assert output_of(start(settings, "migrate", MIGRATE_DATABASE_URL=owner))[0] == 0
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert _run(yesterday, owners) == [(f"{name}_owner",)]
    _run(yesterday, YESTERDAYS_INSERT, "UPDATE users SET email = 'bob@example.com'", "DELETE FROM users")
    _run(yesterday, "INSERT INTO outbox (envelope) VALUES ('{}')", "NOTIFY outbox", "DELETE FROM outbox")
    assert _run(yesterday, "SELECT count(*) FROM audit_log") == [(2,)]
    for attack in (
        "DELETE FROM audit_log",
        "DROP TABLE audit_log",
        "ALTER TABLE users ADD COLUMN own integer",
        "CREATE TEMPORARY TABLE own (id uuid)",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            _run(yesterday, attack)
    with postgres.admin() as conn, conn.cursor() as cursor:
        cursor.execute(f"GRANT TEMPORARY ON DATABASE {name} TO PUBLIC")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        _run(yesterday, *FORGETTING)


def test_where_one_role_does_everything_the_log_still_minds_mistakes(
    service: Service, yesterday: str, start: Start
) -> None:
    settings = service.parts.settings.model_copy(update={"database_url": SecretStr(yesterday)})
    status, out, err = output_of(start(settings, "migrate", AUDIT_KEPT_S="86400"))
    assert status == 0 and "can change the audit log" in out + err
    for mistake in ("UPDATE audit_log SET action = 'nothing'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            _run(yesterday, mistake)
    _run(yesterday, "INSERT INTO audit_log (action, at) VALUES ('test.aged', now() - interval '2 days')")
    assert _run(yesterday, "SELECT audit_log_shorten(10)") == [(1,)]
