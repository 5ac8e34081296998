"""Queries on the count of failed log-ins."""

from dataclasses import dataclass

from shared.postgres import Connection, execute, fetch_one


@dataclass(frozen=True)
class Failures:
    failures: int


def count_failed_log_in(conn: Connection, account: bytes) -> int:
    """Count a failure; how many there were in this day of the account's. A day that is over starts anew."""
    sql = """
        INSERT INTO failed_log_ins AS f (account) VALUES (%(account)s)
        ON CONFLICT (account) DO UPDATE SET
            failures = CASE WHEN f.started_at > clock_timestamp() - interval '1 day' THEN f.failures + 1 ELSE 1 END,
            started_at = CASE WHEN f.started_at > clock_timestamp() - interval '1 day'
                              THEN f.started_at ELSE clock_timestamp() END
        RETURNING failures
    """
    # A crash may forget the last ones; waiting for the disk would make floods of them dearer for everybody.
    execute(conn, "SET LOCAL synchronous_commit = off")
    counted = fetch_one(conn, Failures, sql, {"account": account})
    assert counted is not None  # noqa: S101 — INSERT … RETURNING returns its row
    return counted.failures


def delete_old_failed_log_ins(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM failed_log_ins WHERE account IN (
            SELECT account FROM failed_log_ins WHERE started_at < now() - interval '1 day'
            ORDER BY started_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})
