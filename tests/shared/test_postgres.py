"""The pool waits instead of raising, and a lost connection is a 503 once, never a poisoned connection."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

import shared.postgres
from deploy.local.ports import free_ports
from deploy.local.postgres import Postgres
from shared.errors import Conflict, Unavailable
from shared.postgres import Connection, Database, execute, fetch_all, fetch_one, fetch_pair, wait_until_ready


@dataclass(frozen=True)
class Thing:
    name: str
    count: int


@dataclass(frozen=True)
class Backend:
    pid: int


def insert(conn: Connection, name: str) -> None:
    execute(conn, "INSERT INTO things (name) VALUES (%(name)s)", {"name": name})


def names(db: Database) -> list[str]:
    with db.transaction() as conn:
        return [thing.name for thing in fetch_all(conn, Thing, "SELECT name, count FROM things ORDER BY name")]


def backend(conn: Connection) -> int:
    row = fetch_one(conn, Backend, "SELECT pg_backend_pid() AS pid")
    assert row
    return row.pid


def kill_backend(postgres: Postgres, pid: int) -> None:
    with postgres.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_what_a_block_did_is_there_when_it_has_ended(db: Database) -> None:
    with db.transaction() as conn:
        insert(conn, "a")
        assert execute(conn, "UPDATE things SET count = 2 WHERE name = %(n)s", {"n": "a"}) == 1
    with db.transaction() as conn:
        sql = "SELECT name, count FROM things WHERE name = %(n)s"
        assert fetch_one(conn, Thing, sql, {"n": "a"}) == Thing("a", 2)
        assert fetch_one(conn, Thing, sql, {"n": "b"}) is None


def test_a_block_that_raises_leaves_nothing_and_its_connection_is_good(make_db: Callable[..., Database]) -> None:
    db = make_db(1)
    with pytest.raises(Conflict), db.transaction() as conn:
        insert(conn, "a")
        raise Conflict("no")
    with pytest.raises(psycopg2.errors.UniqueViolation), db.transaction() as conn:
        insert(conn, "b")
        insert(conn, "b")
    with pytest.raises(psycopg2.errors.UndefinedTable), db.transaction() as conn:
        execute(conn, "SELECT 1 FROM nothing")
    assert names(db) == []


def test_a_single_statement_is_there_at_once_and_the_connection_is_as_before(make_db: Callable[..., Database]) -> None:
    db = make_db(size=2)
    with db.single() as conn:
        insert(conn, "a")
        assert names(db) == ["a"], "another connection sees it while this one is still held"
    with pytest.raises(Conflict), db.transaction() as conn:
        insert(conn, "b")
        raise Conflict("no")
    assert names(db) == ["a"]


def test_a_single_statement_that_fails_leaves_a_good_connection(make_db: Callable[..., Database]) -> None:
    db = make_db(size=1)
    with pytest.raises(psycopg2.errors.UndefinedTable), db.single() as conn:
        execute(conn, "DELETE FROM nothing")
    with pytest.raises(Conflict), db.transaction() as conn:
        insert(conn, "b")
        raise Conflict("no")
    assert names(db) == []


def test_a_joined_row_is_two_models(db: Database) -> None:
    with db.single() as conn:
        pair = fetch_pair(conn, Thing, Backend, "SELECT 'a' AS name, 1 AS count, 7 AS pid")
        assert pair == (Thing("a", 1), Backend(7))
        assert fetch_pair(conn, Thing, Backend, "SELECT 'a' AS name, 1 AS count, 7 AS pid WHERE false") is None


def test_an_error_that_the_handler_mends_inside_is_the_end_of_the_transaction_too(db: Database) -> None:
    """PostgreSQL aborts a transaction at the first error: nothing of it may look committed."""
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction), db.transaction() as conn:
        insert(conn, "a")
        with pytest.raises(psycopg2.errors.UniqueViolation):
            insert(conn, "a")
        insert(conn, "b")
    assert names(db) == []


def test_connections_are_kept_and_used_again(db: Database) -> None:
    pids = set()
    for _ in range(5):
        with db.transaction() as conn:
            pids.add(backend(conn))
    assert len(pids) == 1


def test_a_caller_beyond_the_pool_waits_until_a_connection_is_free(make_db: Callable[..., Database]) -> None:
    db = make_db(2)
    at_once, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> None:
        nonlocal at_once, most
        with db.transaction() as conn:
            with lock:
                at_once += 1
                most = max(most, at_once)
            insert(conn, f"{number:02}")
            time.sleep(0.01)
            with lock:
                at_once -= 1

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))
    assert most == 2 and len(names(db)) == 20


def test_a_caller_that_has_waited_in_vain_gets_a_503(
    make_db: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.postgres, "WAIT_S", 0.3)
    db = make_db(1)
    with db.transaction():
        started = time.monotonic()
        with pytest.raises(Unavailable) as raised, db.transaction():
            pass
        assert 0.3 <= time.monotonic() - started < 2
    assert raised.value.status == 503 and raised.value.headers["Retry-After"] == "1"
    assert names(db) == []


def test_a_connection_lost_in_the_middle_is_a_503_and_the_next_transaction_works(
    make_db: Callable[..., Database], postgres: Postgres
) -> None:
    db = make_db(1)
    with pytest.raises(Unavailable), db.transaction() as conn:
        insert(conn, "a")
        kill_backend(postgres, backend(conn))
        insert(conn, "b")
    assert names(db) == []


def test_a_connection_lost_before_the_commit_is_a_503_even_though_no_query_failed(
    make_db: Callable[..., Database], postgres: Postgres
) -> None:
    db = make_db(1)
    with pytest.raises(Unavailable), db.transaction() as conn:
        insert(conn, "a")
        kill_backend(postgres, backend(conn))
    assert names(db) == []


def test_a_problem_raised_after_the_connection_was_lost_ends_cleanly(
    make_db: Callable[..., Database], postgres: Postgres
) -> None:
    db = make_db(1)
    with pytest.raises((Conflict, Unavailable)), db.transaction() as conn:
        kill_backend(postgres, backend(conn))
        raise Conflict("no")
    assert names(db) == []


def test_a_connection_lost_while_it_lay_idle_is_not_handed_out(
    make_db: Callable[..., Database], postgres: Postgres
) -> None:
    db = make_db(1)
    with db.transaction() as conn:
        pid = backend(conn)
    kill_backend(postgres, pid)
    time.sleep(0.1)
    with db.transaction() as conn:
        assert backend(conn) != pid


def test_two_that_change_the_same_rows_in_opposite_order_are_told_to_try_again(db: Database) -> None:
    with db.transaction() as conn:
        insert(conn, "a")
        insert(conn, "b")
    meet = threading.Barrier(2, timeout=10)

    def work(first: str, second: str) -> str:
        try:
            with db.transaction() as conn:
                execute(conn, "UPDATE things SET count = count + 1 WHERE name = %(n)s", {"n": first})
                meet.wait()
                execute(conn, "UPDATE things SET count = count + 1 WHERE name = %(n)s", {"n": second})
        except Unavailable as error:
            return error.detail
        return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = {future.result(20) for future in (pool.submit(work, "a", "b"), pool.submit(work, "b", "a"))}
    assert outcomes == {"done", "Too many changed the same thing at once."}


def test_closing_the_pool_closes_what_lies_idle(make_db: Callable[..., Database], postgres: Postgres) -> None:
    db = make_db(3)
    with db.transaction(), db.transaction():
        pass
    db.close()
    with postgres.admin() as conn, conn.cursor() as cursor:
        for _ in range(50):
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = 'things_now'")
            if cursor.fetchone() == (0,):
                return
            time.sleep(0.02)
    pytest.fail("a connection is still open")


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One that may be killed."""
    folder: Path = tmp_path_factory.mktemp("pg")
    (port,) = free_ports(1)
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)  # it may run as another account
    with Postgres(folder, port, "admin") as server:
        yield server
        server.kill()


def test_a_server_killed_with_9_is_a_503_until_it_is_back_and_then_all_is_well(own_server: Postgres) -> None:
    db = Database(own_server.create_role_and_database("things", "things"), size=4)
    with db.transaction() as conn:
        execute(conn, "CREATE TABLE things (name text PRIMARY KEY, count int NOT NULL DEFAULT 1)")
    stop, sure, odd = threading.Event(), [], []

    def write(thread: int) -> None:
        number = 0
        while not stop.is_set():
            name, number = f"{thread}-{number}", number + 1
            try:
                with db.transaction() as conn:
                    insert(conn, name)
                sure.append(name)
                time.sleep(0.005)
            except Unavailable:
                time.sleep(0.02)
            except Exception as error:
                odd.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    own_server.kill()
    with pytest.raises(Unavailable):
        db.check()
    before = len(sure)
    own_server.prepare()
    own_server.start().wait_until_ready()
    wait_until_ready(db, timeout_s=10)
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert odd == []
    assert len(sure) > before > 0, "it writes again"
    assert set(sure) <= set(names(db)), "what was said to be committed is there"
    db.close()


def test_waiting_for_a_server_that_never_comes_ends() -> None:
    (port,) = free_ports(1)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        wait_until_ready(Database(f"postgresql://a:b@127.0.0.1:{port}/a"), timeout_s=0.5)
    assert time.monotonic() - started < 5


def test_a_query_that_takes_too_long_is_its_own_fault_and_not_an_outage(db: Database) -> None:
    with pytest.raises(psycopg2.errors.QueryCanceled), db.transaction() as conn:
        execute(conn, "SET LOCAL statement_timeout = 20")
        execute(conn, "SELECT pg_sleep(5)")
    db.check()
