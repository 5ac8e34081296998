"""What is finished is kept for MESSAGE_RETENTION_S, and deleted in small batches by way of an index."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from services.notify import planner, store, sweeper
from shared.ids import new_id
from shared.postgres import Database, execute
from tests.notify.conftest import Client, json_of
from tests.support.people import Person

DAY_S = 86_400
RETENTION_S = 30 * DAY_S


def test_finished_messages_are_deleted_after_their_time_with_their_deliveries(
    db: Database, as_alice: Client, as_sender: Client, alice: Person
) -> None:
    as_alice.register()
    old = [as_sender.send(alice) for _ in range(5)]
    young, unfinished = as_sender.send(alice), as_sender.send(alice)
    with db.transaction() as conn:
        for message_id in (*old, young, unfinished):
            planner.plan(conn, UUID(message_id), after=None)
    finish(db, *old, days_ago=31)
    finish(db, young, days_ago=29)
    with db.transaction() as conn:
        execute(
            conn, "UPDATE messages SET created_at = now() - interval '1 year' WHERE id = %(id)s", {"id": unfinished}
        )

    deleted = sweeper.delete_old(db, retention_s=RETENTION_S, batch=2)

    assert deleted == len(old)
    assert {as_sender.get(f"/messages/{message_id}").status_code for message_id in old} == {404}
    for message_id in (young, unfinished):
        assert len(json_of(as_sender.get(f"/messages/{message_id}"))["deliveries"]) == 1
    with db.transaction() as conn:
        assert execute(conn, "SELECT FROM deliveries") == 2
    assert sweeper.delete_old(db, retention_s=RETENTION_S) == 0


def test_what_is_out_of_date_is_found_by_an_index(db: Database, database_url: str) -> None:
    with db.transaction() as conn:
        execute(
            conn,
            """
            WITH made AS (
                INSERT INTO messages (id, channels, template, expires_at, finished_at)
                SELECT gen_random_uuid(), '{email}', 'welcome', now(), now() - n * interval '1 second'
                FROM generate_series(1, 5000) AS n RETURNING id
            )
            INSERT INTO deliveries (id, message_id, channel, target) SELECT id, id, 'email', 'a@example.com' FROM made
            """,
        )
        execute(
            conn,
            """
            INSERT INTO idempotency_keys (sender_id, key, request_hash, created_at)
            SELECT gen_random_uuid(), 'key', '', now() - n * interval '1 second' FROM generate_series(1, 5000) AS n
            """,
        )
        execute(conn, "ANALYZE messages, deliveries, idempotency_keys")

    with explaining(db) as (conn, plan):
        store.delete_finished_messages(conn, older_than_s=4900, limit=50)
        store.delete_old_keys(conn, older_than_s=4900, limit=50)
        cascade = "DELETE FROM ONLY deliveries WHERE message_id = %(id)s"
        execute(conn, cascade, {"id": new_id()})

    text = "\n".join(plan)
    for index in ("messages_finished_at", "idempotency_keys_created_at", "deliveries_message_id_channel_target_key"):
        assert f" {index} " in text, text
    assert "Seq Scan" not in text
    assert "Sort" not in text


def finish(db: Database, *message_ids: str, days_ago: int) -> None:
    values = {"ids": [UUID(message_id) for message_id in message_ids], "ago": timedelta(days=days_ago)}
    with db.transaction() as conn:
        execute(conn, "UPDATE deliveries SET finished_at = now() - %(ago)s WHERE message_id = ANY(%(ids)s)", values)
        execute(conn, "UPDATE messages SET finished_at = now() - %(ago)s WHERE id = ANY(%(ids)s)", values)


@contextmanager
def explaining(db: Database) -> Iterator[tuple[Connection, list[str]]]:
    """A connection that explains every statement instead of running it, and the lines of the plans."""
    plan: list[str] = []

    class Explain(RealDictCursor):
        def execute(self, query: Any, vars: Any = None) -> None:
            super().execute(f"EXPLAIN {query}", vars)
            plan.extend(row["QUERY PLAN"] for row in self.fetchall())

    with closing(db.connect()) as conn:
        execute(conn, "SET enable_seqscan = off")  # five thousand narrow rows are too few for the planner to mind
        conn.cursor_factory = Explain
        yield conn, plan
