"""Queries on password hashes that cost something else than today's: of other systems, or with other parameters."""

from dataclasses import dataclass, field

from shared.postgres import Connection, fetch_one

FEW = 1_000


@dataclass(frozen=True)
class ForeignHashes:
    """What share of the users has one, and some of them."""

    share: float
    hashes: list[str] = field(repr=False)


def sample_foreign_hashes(conn: Connection, *, limit: int) -> ForeignHashes:
    """Up to a thousand are counted; of more the share is what PostgreSQL's statistics say of table and index."""
    sql = """
        WITH few AS (
            SELECT (SELECT count(*) FROM (
                        SELECT FROM users WHERE password_hash NOT LIKE '$argon2id$v=19$m=19456,t=2,p=1$%%'
                        ORDER BY md5(id::text) LIMIT %(few)s) AS counted_here) AS hashes,
                   (SELECT count(*) FROM (SELECT FROM users ORDER BY id LIMIT %(few)s) AS counted_here) AS users
        ), counted AS (
            SELECT CASE WHEN hashes < %(few)s THEN hashes
                        ELSE (SELECT greatest(reltuples, %(few)s) FROM pg_class
                              WHERE oid = 'users_foreign_hash'::regclass) END AS hashes,
                   CASE WHEN users < %(few)s THEN greatest(users, 1)
                        ELSE (SELECT greatest(reltuples, %(few)s) FROM pg_class
                              WHERE oid = 'users'::regclass) END AS users
            FROM few
        )
        SELECT least(hashes / users::float8, 1) AS share,
               ARRAY(SELECT password_hash FROM users WHERE password_hash NOT LIKE '$argon2id$v=19$m=19456,t=2,p=1$%%'
                     ORDER BY md5(id::text) LIMIT %(limit)s) AS hashes
        FROM counted
    """
    found = fetch_one(conn, ForeignHashes, sql, {"few": FEW, "limit": limit})
    assert found is not None  # noqa: S101 — an aggregate always has a row
    return found
