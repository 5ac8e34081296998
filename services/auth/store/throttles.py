"""Queries on tries, and on the places where their owner was before.

A bucket leaks (GCRA): each try stays in it for `window_s / tries`, one after the other, until `forgotten_at`. Once
there is no room for another, a try that is judged is followed by a pause: from a 32nd of that time to all of it, twice
as long with each try more in the bucket. So in any time t at most `tries + 5 + t * tries / window_s` are judged. A try
within the pause is refused and changes nothing: nobody stays out for trying on.
"""

# ruff: noqa: S608 — what the f-strings put in are constants

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.postgres import Connection, execute, fetch_all

KEPT_PLACES = 20


@dataclass(frozen=True)
class Bucket:
    """`tries` at once, and as many in each `window_s`; `name` is what metrics call it.

    The pause doubles `steps` times. With none it is as long as there is no room, and the bound is without the five.
    """

    name: str
    key: bytes
    tries: int
    window_s: float
    steps: int = 5


@dataclass(frozen=True)
class Counted:
    """Whether a try may be judged; if not, `left_s` is how long the pause lasts still."""

    key: memoryview
    is_judged: bool
    left_s: float


@dataclass(frozen=True)
class Places:
    """Where somebody logged in before."""

    id: UUID
    places: list[memoryview]


def _free_at(level: str, row: str) -> str:
    """SQL for the end of the pause after a try of this row with which `level` tries are in the bucket.

    Without a pause it is long ago, not `at`: of two at once, the one that waited for the row may have come first.
    """
    pause_s = f"{row}.stay_s * power(2, least({level} - {row}.tries, {row}.steps) - {row}.steps)"
    return f"""
        CASE WHEN {level} > {row}.tries - 1 THEN {row}.counted_at + make_interval(secs => {pause_s})
             ELSE to_timestamp(0) END
    """


LEVEL = """
    (extract(epoch FROM greatest(t.forgotten_at - excluded.counted_at, '0'))::float8 / excluded.stay_s + 1)
"""
COUNT = f"""
    INSERT INTO throttles AS t (bucket, tries, stay_s, steps, counted_at, is_judged, free_at, forgotten_at)
    SELECT key, tries, stay_s, steps, counted_at, true, {_free_at("1", "one")},
           counted_at + make_interval(secs => stay_s)
    FROM (SELECT *
          FROM unnest(%(keys)s::bytea[], %(tries)s::float8[], %(stays_s)s::float8[], %(steps)s::float8[])
               WITH ORDINALITY AS wanted (key, tries, stay_s, steps, number), clock_timestamp() AS counted_at) AS one
    WHERE number <= %(certain)s
       OR NOT EXISTS (SELECT 1 FROM users WHERE id = %(user_id)s AND %(place)s::bytea = ANY (places))
    ORDER BY number
    ON CONFLICT (bucket) DO UPDATE SET
        tries = excluded.tries,
        stay_s = excluded.stay_s,
        steps = excluded.steps,
        counted_at = excluded.counted_at,
        is_judged = t.free_at <= excluded.counted_at,
        free_at = CASE WHEN t.free_at <= excluded.counted_at
                       THEN {_free_at(LEVEL, "excluded")}
                       ELSE t.free_at END,
        forgotten_at = CASE WHEN t.free_at <= excluded.counted_at
                            THEN greatest(t.forgotten_at, excluded.counted_at)
                                 + make_interval(secs => excluded.stay_s)
                            ELSE t.forgotten_at END
    RETURNING bucket AS key, is_judged, extract(epoch FROM free_at - counted_at)::float8 AS left_s
"""


def count_tries(
    conn: Connection, always: Sequence[Bucket], strangers: Bucket | None, *, user_id: UUID | None, place: bytes | None
) -> list[Counted]:
    """Count one try in every bucket, before it is judged, by one statement: many at once do not slip through. In
    `strangers` it counts unless `place` is known to the user.

    If one refuses, take the transaction back, so that the others forget it. The buckets stay locked until its end:
    whoever takes several takes them in the same order.
    """
    buckets = [*always, strangers] if strangers else [*always]
    params = {
        "keys": [bucket.key for bucket in buckets],
        "tries": [bucket.tries for bucket in buckets],
        "stays_s": [bucket.window_s / bucket.tries for bucket in buckets],
        "steps": [bucket.steps for bucket in buckets],
        "certain": len(always),
        "user_id": user_id,
        "place": place,
    }
    return fetch_all(conn, Counted, COUNT, params)


def forget_tries(conn: Connection, once: Sequence[bytes], all_of: Sequence[bytes]) -> None:
    """It was right: take one try out of the buckets `once`, and every one out of `all_of`."""
    sql = """
        WITH held AS MATERIALIZED (
            SELECT bucket, bucket = ANY (%(all_of)s::bytea[])
                           OR forgotten_at - make_interval(secs => stay_s) <= clock_timestamp() AS is_empty
            FROM throttles WHERE bucket = ANY (%(keys)s::bytea[])
            ORDER BY array_position(%(keys)s::bytea[], bucket) FOR UPDATE
        ), emptied AS (
            DELETE FROM throttles USING held WHERE throttles.bucket = held.bucket AND is_empty
        )
        UPDATE throttles SET free_at = to_timestamp(0), forgotten_at = forgotten_at - make_interval(secs => stay_s)
        FROM held WHERE throttles.bucket = held.bucket AND NOT is_empty
    """
    execute(conn, sql, {"all_of": list(all_of), "keys": [*all_of, *once]})


def update_places(conn: Connection, user_id: UUID, place: bytes) -> None:
    """A user has logged in at this place; the twenty last ones are kept."""
    sql = """
        UPDATE users SET places = (%(place)s::bytea || array_remove(places, %(place)s::bytea))[1:%(kept)s]
        WHERE id = %(id)s AND places[1] IS DISTINCT FROM %(place)s::bytea
    """
    execute(conn, sql, {"id": user_id, "place": place, "kept": KEPT_PLACES})


def list_places_of_number(conn: Connection, phone: str, owner: UUID | None) -> list[Places]:
    """Where those were who have confirmed this number, and `owner`, whose it is otherwise.

    Where there is nobody, somebody who was nowhere: so that the answer is read at the same cost.
    """
    sql = """
        WITH found AS (
            SELECT id, places FROM users WHERE phone = %(phone)s AND phone_confirmed_at IS NOT NULL
            UNION ALL
            SELECT id, places FROM users WHERE id = %(owner)s
        )
        SELECT id, places FROM found
        UNION ALL
        SELECT gen_random_uuid(), ARRAY[sha256('nowhere')] WHERE NOT EXISTS (SELECT FROM found)
    """
    return fetch_all(conn, Places, sql, {"phone": phone, "owner": owner})


def delete_forgotten_tries(conn: Connection, *, limit: int) -> int:
    sql = """
        DELETE FROM throttles WHERE bucket IN (
            SELECT bucket FROM throttles WHERE forgotten_at < clock_timestamp()
            ORDER BY forgotten_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"limit": limit})
