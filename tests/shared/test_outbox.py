"""The outbox in PostgreSQL: nothing leaves it before it is told to, nothing is taken twice, nothing is lost."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest

from deploy.local.postgres import Postgres
from shared import outbox, trace
from shared.contracts import MessageRequested, SessionRevoked, UserRegistered
from shared.errors import Unavailable
from shared.ids import new_id
from shared.outbox import PostgresSource
from shared.postgres import Database


def registered() -> UserRegistered:
    return UserRegistered(user_id=new_id(), created_at=datetime.now(UTC))


def add(db: Database, count: int) -> list[str]:
    """The subjects in the order of their transactions."""
    events = [registered() for _ in range(count)]
    for event in events:
        with db.transaction() as conn:
            outbox.add(conn, event)
    return [str(event.user_id) for event in events]


def taken(source: PostgresSource, limit: int = 100) -> list[str]:
    with source.batch(limit) as envelopes:
        return [envelope.subject for envelope in envelopes]


def test_events_leave_in_the_order_in_which_they_were_decided(db: Database) -> None:
    subjects = add(db, 20)
    source = PostgresSource(db)
    assert [taken(source, 7), taken(source, 7), taken(source, 7), taken(source, 7)] == [
        subjects[:7], subjects[7:14], subjects[14:], [],
    ]  # fmt: skip


def test_what_was_not_brought_away_stays_in_its_place(db: Database) -> None:
    subjects, source = add(db, 3), PostgresSource(db)
    with pytest.raises(Unavailable), source.batch(2):
        raise Unavailable("the broker is down")
    assert taken(source) == subjects


def test_two_relays_never_hold_the_same_event(make_db: Callable[..., Database]) -> None:
    one, two = make_db(), make_db()
    subjects = add(one, 6)
    with PostgresSource(one).batch(4) as first:
        with PostgresSource(two).batch(4) as second:
            assert [envelope.subject for envelope in first] == subjects[:4]
            assert [envelope.subject for envelope in second] == subjects[4:]
        assert taken(PostgresSource(two)) == [], "what another holds is not there, and nobody waits for it"
    assert taken(PostgresSource(one)) == []


def test_a_relay_that_dies_with_events_in_hand_leaves_them_to_the_next(
    make_db: Callable[..., Database], postgres: Postgres
) -> None:
    dying, next_one = make_db(), make_db()
    subjects = add(dying, 3)
    with pytest.raises(Unavailable), PostgresSource(dying).batch(10) as held:
        assert len(held) == 3
        with postgres.admin() as conn, conn.cursor() as cursor:
            open_ones = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE xact_start IS NOT NULL"
            cursor.execute(f"{open_ones} AND datname = 'things_now'")
    assert taken(PostgresSource(next_one)) == subjects


def test_the_envelope_carries_the_trace_and_the_source(db: Database) -> None:
    trace.traceparent.set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    session = SessionRevoked(session_id=new_id(), user_id=new_id(), reason="logout", revoked_at=datetime.now(UTC))
    letter = MessageRequested(message_id=new_id(), channels=["email"], template="welcome")
    try:
        with db.transaction() as conn:
            outbox.add(conn, session)
            outbox.add(conn, letter, source="profile")
    finally:
        trace.traceparent.set(None)
    with PostgresSource(db).batch(10) as (first, second):
        assert (first.type, first.source, UUID(first.subject)) == ("session.revoked", "auth", session.session_id)
        assert first.traceparent and "0af7651916cd43dd8448eb211c80319c" in first.traceparent
        assert (second.source, UUID(second.subject)) == ("profile", letter.message_id)
        assert first.id.version == 7 and first.id < second.id


def test_the_lag_is_the_age_of_the_oldest_event(db: Database) -> None:
    source = PostgresSource(db)
    assert source.lag_s() == 0
    add(db, 1)
    time.sleep(0.2)
    add(db, 1)
    assert 0.2 <= source.lag_s() < 5
    taken(source)
    assert source.lag_s() == 0


def test_a_commit_wakes_whoever_waits_and_a_rollback_does_not(make_db: Callable[..., Database]) -> None:
    source, db = PostgresSource(make_db()), make_db()
    assert source.wait(0.1), "the first look is always worth it: what came before was not announced"
    assert not source.wait(0.1)
    with pytest.raises(RuntimeError), db.transaction() as conn:
        outbox.add(conn, registered())
        raise RuntimeError
    assert not source.wait(0.1)
    threading.Timer(0.2, lambda: add(db, 1)).start()
    started = time.monotonic()
    assert source.wait(10)
    assert time.monotonic() - started < 5


def test_a_listener_whose_connection_is_killed_looks_again_at_once_and_listens_anew(
    make_db: Callable[..., Database], postgres: Postgres
) -> None:
    source, db = PostgresSource(make_db()), make_db()
    source.wait(0.1)
    with postgres.admin() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    started = time.monotonic()
    waits = [source.wait(5) for _ in range(2)]
    assert waits[-1], "something may have been added while nobody listened"
    assert time.monotonic() - started < 3
    assert source.wait(5), "the first look of a new listener"
    assert not source.wait(0.1)
    add(db, 1)
    assert source.wait(5)
