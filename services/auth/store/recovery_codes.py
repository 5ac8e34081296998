"""Queries on recovery codes: only hashes are here, and each works once."""

from dataclasses import dataclass
from uuid import UUID

from psycopg2.extras import execute_values

from shared.postgres import Connection, execute, fetch_one


@dataclass(frozen=True)
class CodeCount:
    total: int
    remaining: int


def replace_recovery_codes(conn: Connection, factor_id: UUID, code_hashes: list[bytes]) -> None:
    """The codes of this factor from now on; those before are void."""
    execute(conn, "DELETE FROM recovery_codes WHERE factor_id = %(factor_id)s", {"factor_id": factor_id})
    with conn.cursor() as cursor:
        rows = [(factor_id, code_hash) for code_hash in code_hashes]
        execute_values(cursor, "INSERT INTO recovery_codes (factor_id, code_hash) VALUES %s", rows)


def count_recovery_codes(conn: Connection, factor_id: UUID) -> CodeCount:
    sql = """
        SELECT count(*)::integer AS total, count(*) FILTER (WHERE used_at IS NULL)::integer AS remaining
        FROM recovery_codes WHERE factor_id = %(factor_id)s
    """
    counted = fetch_one(conn, CodeCount, sql, {"factor_id": factor_id})
    assert counted is not None  # noqa: S101 — an aggregate returns its row
    return counted


def consume_recovery_code(conn: Connection, factor_id: UUID, code_hashes: list[bytes]) -> bool:
    """Use a code up; one hash for each key it may have been kept under. True once."""
    sql = """
        UPDATE recovery_codes SET used_at = clock_timestamp()
        WHERE factor_id = %(factor_id)s AND code_hash = ANY(%(code_hashes)s) AND used_at IS NULL
    """
    return execute(conn, sql, {"factor_id": factor_id, "code_hashes": code_hashes}) == 1
