"""Queries on second factors and their challenges. A verified factor has no `expires_at`."""

# ruff: noqa: S608 — what the f-strings put in are constants

from uuid import UUID

from services.auth.rows import Factor, FactorChallenge
from shared.ids import new_id
from shared.postgres import Connection, execute, fetch_all, fetch_one

KEPT_PLACES = 10
COLUMNS = """
    factors.id, factors.user_id, factors.kind, factors.name, factors.seed_sealed, factors.phone, factors.created_at,
    factors.expires_at IS NULL AS is_verified,
    (SELECT count(*) FROM unnest(factors.wrong_codes_at) AS wrong_at
     WHERE wrong_at > clock_timestamp() - interval '1 day')::integer AS wrong_today,
    factors.places
"""
IS_ALIVE = "(factors.expires_at IS NULL OR factors.expires_at > clock_timestamp())"


def insert_factor(
    conn: Connection,
    factor_id: UUID,
    user_id: UUID,
    kind: str,
    name: str,
    *,
    seed: bytes | None = None,
    phone: str | None = None,
    lifetime_s: int | None,
) -> Factor:
    """A new factor, unverified for `lifetime_s`, or verified without. The caller holds the user; the name is free."""
    sql = f"""
        INSERT INTO factors (id, user_id, kind, name, seed_sealed, phone, expires_at)
        VALUES (%(id)s, %(user_id)s, %(kind)s, %(name)s, %(seed)s, %(phone)s,
                clock_timestamp() + make_interval(secs => %(lifetime_s)s))
        RETURNING {COLUMNS}
    """
    params = {
        "id": factor_id,
        "user_id": user_id,
        "kind": kind,
        "name": name,
        "seed": seed,
        "phone": phone,
        "lifetime_s": lifetime_s,
    }
    factor = fetch_one(conn, Factor, sql, params)
    assert factor is not None  # noqa: S101 — INSERT … RETURNING returns its row
    return factor


def list_factors(conn: Connection, user_id: UUID) -> list[Factor]:
    """Every factor of a user that has not expired."""
    sql = f"SELECT {COLUMNS} FROM factors WHERE user_id = %(user_id)s AND {IS_ALIVE} ORDER BY created_at"
    return fetch_all(conn, Factor, sql, {"user_id": user_id})


def lock_factor(conn: Connection, user_id: UUID, factor_id: UUID) -> Factor | None:
    """A user's factor, held until the transaction ends: tries at one factor take turns."""
    lock = f"SELECT 1 FROM factors WHERE id = %(id)s AND user_id = %(user_id)s AND {IS_ALIVE} FOR UPDATE"
    # The lock comes first, in a statement of its own: only the next one sees what the try before has counted.
    if not execute(conn, lock, {"id": factor_id, "user_id": user_id}):
        return None
    return fetch_one(conn, Factor, f"SELECT {COLUMNS} FROM factors WHERE id = %(id)s", {"id": factor_id})


def lock_recovery_factor(conn: Connection, user_id: UUID) -> Factor | None:
    """The factor that stands for a user's recovery codes, held like `lock_factor`."""
    sql = f"SELECT {COLUMNS} FROM factors WHERE user_id = %(user_id)s AND kind = 'recovery_code' FOR UPDATE"
    return fetch_one(conn, Factor, sql, {"user_id": user_id})


def update_step_used(conn: Connection, factor_id: UUID, step: int) -> bool:
    """Accept the code of this time step: once, and never one of an earlier step. False if it is too late."""
    sql = """
        UPDATE factors SET last_step = %(step)s, updated_at = clock_timestamp()
        WHERE id = %(id)s AND (last_step IS NULL OR last_step < %(step)s)
    """
    return execute(conn, sql, {"id": factor_id, "step": step}) == 1


def update_proved(conn: Connection, factor_id: UUID, place: bytes) -> None:
    """The factor was shown to be there: it is verified from now on, and `place` is known to it."""
    sql = """
        UPDATE factors
        SET expires_at = NULL, updated_at = clock_timestamp(),
            places = (%(place)s::bytea || array_remove(places, %(place)s::bytea))[1:%(kept)s]
        WHERE id = %(id)s
    """
    execute(conn, sql, {"id": factor_id, "place": place, "kept": KEPT_PLACES})


def count_wrong_code(conn: Connection, factor_id: UUID) -> None:
    """Keep the time of a wrong code, and forget what is a day old."""
    sql = """
        UPDATE factors SET wrong_codes_at = clock_timestamp() || ARRAY(
            SELECT wrong_at FROM unnest(wrong_codes_at) AS wrong_at
            WHERE wrong_at > clock_timestamp() - interval '1 day')
        WHERE id = %(id)s
    """
    execute(conn, sql, {"id": factor_id})


def update_factor_name(conn: Connection, factor_id: UUID, name: str) -> None:
    sql = "UPDATE factors SET name = %(name)s, updated_at = clock_timestamp() WHERE id = %(id)s"
    execute(conn, sql, {"id": factor_id, "name": name})


def delete_factor(conn: Connection, factor_id: UUID) -> None:
    execute(conn, "DELETE FROM factors WHERE id = %(id)s", {"id": factor_id})


def delete_unverified_factors(conn: Connection, user_id: UUID, kind: str | None = None) -> None:
    """Delete a user's unverified factors of one kind; without a kind, those that have expired."""
    sql = """
        DELETE FROM factors
        WHERE user_id = %(user_id)s AND expires_at IS NOT NULL
          AND (kind = %(kind)s OR (%(kind)s::text IS NULL AND expires_at <= clock_timestamp()))
    """
    execute(conn, sql, {"user_id": user_id, "kind": kind})


def delete_unverified_number(conn: Connection, user_id: UUID, phone: str) -> None:
    """Forget that a user began with this number: they begin again."""
    sql = "DELETE FROM factors WHERE user_id = %(user_id)s AND phone = %(phone)s AND expires_at IS NOT NULL"
    execute(conn, sql, {"user_id": user_id, "phone": phone})


def count_text(conn: Connection, user_id: UUID, *, interval_s: int, per_day: int) -> bool:
    """Note that a code goes out to a user. False if the last one is not `interval_s` old, or a day had `per_day`."""
    sql = """
        UPDATE users SET factor_texts_at = clock_timestamp() || ARRAY(
            SELECT sent_at FROM unnest(factor_texts_at) AS sent_at WHERE sent_at > clock_timestamp() - interval '1 day')
        WHERE id = %(id)s
          AND (SELECT count(*) FROM unnest(factor_texts_at) AS sent_at
               WHERE sent_at > clock_timestamp() - interval '1 day') < %(per_day)s
          AND NOT EXISTS (SELECT 1 FROM unnest(factor_texts_at) AS sent_at
                          WHERE sent_at > clock_timestamp() - make_interval(secs => %(interval_s)s))
    """
    return execute(conn, sql, {"id": user_id, "interval_s": interval_s, "per_day": per_day}) == 1


def update_challenge_code(conn: Connection, challenge_id: UUID, code_hash: bytes) -> None:
    sql = "UPDATE factor_challenges SET code_hash = %(code_hash)s WHERE id = %(id)s"
    execute(conn, sql, {"id": challenge_id, "code_hash": code_hash})


def put_challenge(conn: Connection, factor_id: UUID, session_id: UUID, *, lifetime_s: int) -> FactorChallenge:
    """A new question for this session; the one before is void."""
    sql = """
        INSERT INTO factor_challenges (id, factor_id, session_id, expires_at)
        VALUES (%(id)s, %(factor_id)s, %(session_id)s, clock_timestamp() + make_interval(secs => %(lifetime_s)s))
        ON CONFLICT (factor_id, session_id) DO UPDATE
        SET id = excluded.id, expires_at = excluded.expires_at, consumed_at = NULL, code_hash = NULL
        RETURNING id, expires_at, false AS is_over
    """
    execute(
        conn,
        "UPDATE factors SET last_challenged_at = clock_timestamp() WHERE id = %(factor_id)s",
        {"factor_id": factor_id},
    )
    params = {"id": new_id(), "factor_id": factor_id, "session_id": session_id, "lifetime_s": lifetime_s}
    challenge = fetch_one(conn, FactorChallenge, sql, params)
    assert challenge is not None  # noqa: S101 — INSERT … RETURNING returns its row
    return challenge


def get_challenge(conn: Connection, challenge_id: UUID, factor_id: UUID, session_id: UUID) -> FactorChallenge | None:
    """The question that this session was asked, used up or not."""
    sql = """
        SELECT id, expires_at, code_hash, consumed_at IS NOT NULL OR expires_at <= clock_timestamp() AS is_over
        FROM factor_challenges WHERE id = %(id)s AND factor_id = %(factor_id)s AND session_id = %(session_id)s
    """
    return fetch_one(conn, FactorChallenge, sql, {"id": challenge_id, "factor_id": factor_id, "session_id": session_id})


def consume_challenge(conn: Connection, challenge_id: UUID) -> bool:
    """Use a question up: True once."""
    sql = """
        UPDATE factor_challenges SET consumed_at = clock_timestamp()
        WHERE id = %(id)s AND consumed_at IS NULL AND expires_at > clock_timestamp()
    """
    return execute(conn, sql, {"id": challenge_id}) == 1


def delete_expired_factors(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM factors WHERE id IN (
            SELECT id FROM factors WHERE expires_at < now() ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})


def delete_expired_challenges(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM factor_challenges WHERE id IN (
            SELECT id FROM factor_challenges WHERE expires_at < now()
            ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})
