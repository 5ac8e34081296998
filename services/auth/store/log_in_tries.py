"""Queries on the tries at passwords."""

from dataclasses import dataclass

from shared.postgres import Connection, execute, fetch_one


@dataclass(frozen=True)
class Tries:
    """Tries in the current window, this one included, and how long the window lasts still."""

    tries: int
    left_s: int


def count_log_in_try(conn: Connection, bucket: bytes, *, window_s: int) -> Tries:
    """Count a try before it is judged, so that many at once cannot slip through. A window that is over starts anew."""
    sql = """
        INSERT INTO log_in_tries AS t (bucket) VALUES (%(bucket)s)
        ON CONFLICT (bucket) DO UPDATE SET
            tries = CASE WHEN t.started_at > clock_timestamp() - make_interval(secs => %(window_s)s)
                         THEN t.tries + 1 ELSE 1 END,
            started_at = CASE WHEN t.started_at > clock_timestamp() - make_interval(secs => %(window_s)s)
                              THEN t.started_at ELSE clock_timestamp() END
        RETURNING tries, ceil(extract(epoch FROM started_at - clock_timestamp()) + %(window_s)s)::integer AS left_s
    """
    # A crash may forget the last tries; waiting for the disk would make every log-in slower.
    execute(conn, "SET LOCAL synchronous_commit = off")
    counted = fetch_one(conn, Tries, sql, {"bucket": bucket, "window_s": window_s})
    assert counted is not None  # noqa: S101 — INSERT … RETURNING returns its row
    return counted


def delete_log_in_tries(conn: Connection, bucket: bytes) -> None:
    execute(conn, "DELETE FROM log_in_tries WHERE bucket = %(bucket)s", {"bucket": bucket})


def delete_old_log_in_tries(conn: Connection, *, window_s: int, limit: int) -> int:
    sql = """
        DELETE FROM log_in_tries WHERE bucket IN (
            SELECT bucket FROM log_in_tries WHERE started_at < now() - make_interval(secs => %(window_s)s)
            ORDER BY started_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"window_s": window_s, "limit": limit})
