"""The private PostgreSQL: one role and one database for each service, and crashes it survives."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from deploy.local import ports
from deploy.local.postgres import Postgres
from deploy.local.server import ServerError


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "pg", ports.free_ports(1)[0], "secret")
    yield server
    server.stop()


def connect(url: str) -> "psycopg2.extensions.connection":
    return psycopg2.connect(url, connect_timeout=5)


def test_a_role_owns_its_database_and_can_enter_no_other(postgres: Postgres) -> None:
    one, two = (f"role_{secrets.token_hex(4)}" for _ in range(2))
    own = postgres.create_role_and_database(one, "pw-one")
    postgres.create_role_and_database(two, "pw-two")
    conn = connect(own)
    with conn, conn.cursor() as cur:
        cur.execute("CREATE TABLE mine (id int)")
    conn.close()
    for foreign in (two, "postgres", "template1"):
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            connect(postgres.url(one, "pw-one", foreign))


def test_a_role_can_make_neither_roles_nor_databases(postgres: Postgres) -> None:
    name = f"role_{secrets.token_hex(4)}"
    conn = connect(postgres.create_role_and_database(name, "pw"))
    conn.autocommit = True
    for statement in ("CREATE ROLE another", "CREATE DATABASE another", "COPY (SELECT 1) TO PROGRAM 'true'"):
        with conn.cursor() as cur, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cur.execute(statement)
    conn.close()


def test_a_wrong_password_is_refused(postgres: Postgres) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        connect(postgres.url("postgres", "wrong", "postgres"))


def test_creating_again_sets_the_new_password_and_keeps_the_data(postgres: Postgres) -> None:
    name = f"role_{secrets.token_hex(4)}"
    conn = connect(postgres.create_role_and_database(name, "old"))
    with conn, conn.cursor() as cur:
        cur.execute("CREATE TABLE kept (id int)")
    conn.close()
    conn = connect(postgres.create_role_and_database(name, "new"))
    with conn, conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM kept")
    conn.close()


def test_a_template_is_copied_with_its_tables(postgres: Postgres) -> None:
    name = f"role_{secrets.token_hex(4)}"
    conn = connect(postgres.create_role_and_database(name, "pw"))
    with conn, conn.cursor() as cur:
        cur.execute("CREATE TABLE copied (id int)")
    conn.close()
    postgres.create_database(f"{name}_copy", owner=name, template=name)
    conn = connect(postgres.url(name, "pw", f"{name}_copy"))
    with conn, conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM copied")
    conn.close()
    postgres.drop_database(f"{name}_copy")


def test_committed_rows_survive_kill_9(own_postgres: Postgres) -> None:
    with own_postgres as server:
        conn = connect(server.admin_url)
        with conn, conn.cursor() as cur:
            cur.execute("CREATE TABLE kept AS SELECT generate_series(1, 100) AS number")
        server.kill()
        assert not server.is_running()
        conn.close()
        server.start().wait_until_ready()
        conn = connect(server.admin_url)
        with conn, conn.cursor() as cur:
            cur.execute("SELECT count(*) FROM kept")
            assert cur.fetchone() == (100,)
        conn.close()


def test_an_interrupted_initialisation_is_done_again(own_postgres: Postgres) -> None:
    unfinished = own_postgres.folder / "data.unfinished" / "base"
    unfinished.mkdir(parents=True)
    (unfinished / "half").touch()
    own_postgres.prepare()
    own_postgres.start().wait_until_ready()


def test_a_pid_file_that_names_another_program_is_no_obstacle(own_postgres: Postgres) -> None:
    own_postgres.prepare()
    (own_postgres.data / "postmaster.pid").write_text(f"1\n{own_postgres.data}\n0\n{own_postgres.port}\n")
    own_postgres.prepare()
    own_postgres.start().wait_until_ready()


def test_a_server_that_does_not_start_shows_its_log(own_postgres: Postgres) -> None:
    own_postgres.prepare()
    (own_postgres.data / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ServerError, match=r"postgres ended while starting. The end of .*(?s:.*)no_such_setting"):
        own_postgres.start().wait_until_ready()


def test_a_taken_port_is_named_before_anything_starts(own_postgres: Postgres, postgres: Postgres) -> None:
    own_postgres.port = postgres.port
    with pytest.raises(ServerError, match=rf"Port {postgres.port}, meant for postgres, is taken by `.+` "):
        own_postgres.start()
