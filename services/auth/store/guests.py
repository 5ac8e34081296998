"""Queries on guests: users without an address."""

# ruff: noqa: S608 — what the f-strings put in is COLUMNS, a constant

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.auth.rows import User
from services.auth.store.users import COLUMNS
from shared.postgres import Connection, execute, fetch_all, fetch_one


@dataclass(frozen=True)
class Merge:
    """Of which account a guest became a part."""

    user_id: UUID
    merged_at: datetime


@dataclass(frozen=True)
class Guest:
    """A guest who is no more."""

    id: UUID


def insert_guest(conn: Connection, user_id: UUID, user_metadata: dict[str, Any]) -> User:
    sql = f"""
        INSERT INTO users (id, is_anonymous, user_metadata, last_sign_in_at)
        VALUES (%(id)s, true, %(user_metadata)s, clock_timestamp())
        RETURNING {COLUMNS}
    """
    guest = fetch_one(conn, User, sql, {"id": user_id, "user_metadata": user_metadata})
    assert guest is not None  # noqa: S101 — INSERT … RETURNING returns its row
    return guest


def get_merge(conn: Connection, guest_id: UUID) -> Merge | None:
    return fetch_one(
        conn, Merge, "SELECT user_id, merged_at FROM merged_users WHERE guest_id = %(id)s", {"id": guest_id}
    )


def insert_merge(conn: Connection, guest_id: UUID, user_id: UUID) -> Merge:
    """The guest is gone from now on, with sessions and all."""
    execute(conn, "DELETE FROM users WHERE id = %(id)s AND is_anonymous", {"id": guest_id})
    sql = """
        INSERT INTO merged_users (guest_id, user_id) VALUES (%(guest_id)s, %(user_id)s)
        RETURNING user_id, merged_at
    """
    merge = fetch_one(conn, Merge, sql, {"guest_id": guest_id, "user_id": user_id})
    assert merge is not None  # noqa: S101 — INSERT … RETURNING returns its row
    return merge


def delete_old_merges(conn: Connection, *, kept_s: int, limit: int) -> int:
    sql = """
        DELETE FROM merged_users WHERE guest_id IN (
            SELECT guest_id FROM merged_users WHERE merged_at < now() - make_interval(secs => %(kept_s)s)
            ORDER BY merged_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"kept_s": kept_s, "limit": limit})


def delete_gone_guests(conn: Connection, *, kept_s: int, limit: int) -> list[Guest]:
    """Delete guests who can never come back: none of their sessions lives, and they logged in `kept_s` ago."""
    sql = """
        DELETE FROM users WHERE id IN (
            SELECT id FROM users
            WHERE is_anonymous AND last_sign_in_at < now() - make_interval(secs => %(kept_s)s)
              AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.user_id = users.id AND ended_at IS NULL)
            ORDER BY last_sign_in_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
        RETURNING id
    """
    return fetch_all(conn, Guest, sql, {"kept_s": kept_s, "limit": limit})
