"""Queries on messages and idempotency keys. Functions take the open transaction first and never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg2.extras import Json

from shared.postgres import Connection, execute, fetch_all, fetch_one


@dataclass(frozen=True)
class Message:
    """`params` are not here: nobody but the sender of a delivery reads them."""

    id: UUID
    sender_id: UUID | None
    user_id: UUID | None
    channels: list[str]
    template: str
    title: str | None
    body: str | None
    data: dict[str, str]
    created_at: datetime
    expires_at: datetime
    planned_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class Plan:
    """What the planner needs."""

    id: UUID
    user_id: UUID | None
    email: str | None
    channels: list[str]
    planned_at: datetime | None


@dataclass(frozen=True)
class _Id:
    id: UUID


@dataclass(frozen=True)
class Key:
    request_hash: bytes
    message_id: UUID | None


COLUMNS = """
    id, sender_id, user_id, channels, template, title, body, data, created_at, expires_at, planned_at, finished_at
"""


def insert_message(conn: Connection, fields: dict[str, Any]) -> Message | None:
    """The new message, or None if its id is there already. Lives `ttl_s` seconds, or until `expires_at`."""
    sql = f"""
        INSERT INTO messages (id, sender_id, user_id, email, channels, template, params, title, body, data, priority,
                              collapse_key, locale, languages, expires_at)
        VALUES (%(id)s, %(sender_id)s, %(user_id)s, %(email)s, %(channels)s, %(template)s, %(params)s, %(title)s,
                %(body)s, %(data)s, %(priority)s, %(collapse_key)s, %(locale)s, %(languages)s::text[],
                coalesce(%(expires_at)s, now() + %(ttl_s)s * interval '1 second'))
        ON CONFLICT (id) DO NOTHING
        RETURNING {COLUMNS}
    """  # noqa: S608 — a constant
    defaults: dict[str, Any] = {
        "sender_id": None, "user_id": None, "email": None, "params": {}, "title": None, "body": None, "data": {},
        "priority": "high", "collapse_key": None, "locale": None, "languages": [], "expires_at": None, "ttl_s": None,
    }  # fmt: skip
    values = {**defaults, **fields}
    values["params"], values["data"] = Json(values["params"]), Json(values["data"])
    return fetch_one(conn, Message, sql, values)


def insert_key(conn: Connection, sender_id: UUID, key: str, request_hash: bytes) -> Key | None:
    """None if the key is new and now taken; else what is known under it. A concurrent request waits for the first."""
    sql = """
        INSERT INTO idempotency_keys (sender_id, key, request_hash)
        VALUES (%(sender_id)s, %(key)s, %(request_hash)s) ON CONFLICT DO NOTHING
    """
    values = {"sender_id": sender_id, "key": key, "request_hash": request_hash}
    if execute(conn, sql, values):
        return None
    sql = "SELECT request_hash, message_id FROM idempotency_keys WHERE sender_id = %(sender_id)s AND key = %(key)s"
    return fetch_one(conn, Key, sql, values)


def update_key(conn: Connection, sender_id: UUID, key: str, message_id: UUID) -> None:
    """Tie a key to the message it made."""
    sql = "UPDATE idempotency_keys SET message_id = %(message_id)s WHERE sender_id = %(sender_id)s AND key = %(key)s"
    execute(conn, sql, {"sender_id": sender_id, "key": key, "message_id": message_id})


def delete_old_keys(conn: Connection, *, older_than_s: int, limit: int) -> int:
    sql = """
        DELETE FROM idempotency_keys WHERE (sender_id, key) IN (
            SELECT sender_id, key FROM idempotency_keys WHERE created_at < now() - make_interval(secs => %(age)s)
            ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"age": older_than_s, "limit": limit})


def delete_finished_messages(conn: Connection, *, older_than_s: int, limit: int) -> int:
    """Delete messages that were finished so long ago, the oldest first, with their deliveries."""
    sql = """
        DELETE FROM messages WHERE id IN (
            SELECT id FROM messages WHERE finished_at < now() - make_interval(secs => %(age)s)
            ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
    """
    return execute(conn, sql, {"age": older_than_s, "limit": limit})


def get_message(conn: Connection, message_id: UUID) -> Message | None:
    sql = f"SELECT {COLUMNS} FROM messages WHERE id = %(id)s"  # noqa: S608 — a constant
    return fetch_one(conn, Message, sql, {"id": message_id})


def list_messages(
    conn: Connection,
    *,
    user_id: UUID | None = None,
    sender_id: UUID | None = None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Message]:
    """The messages to a user, or those of a sender; newest first, after the place `before`."""
    owner = "user_id = %(user_id)s" if user_id else "sender_id = %(sender_id)s"
    sql = f"""
        SELECT {COLUMNS} FROM messages
        WHERE {owner} AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(id)s))
        ORDER BY created_at DESC, id DESC LIMIT %(limit)s
    """  # noqa: S608 — one of two constants
    at, last_id = before or (None, None)
    values = {"user_id": user_id, "sender_id": sender_id, "at": at, "id": last_id, "limit": limit}
    return fetch_all(conn, Message, sql, values)


def get_plan(conn: Connection, message_id: UUID) -> Plan | None:
    sql = "SELECT id, user_id, email, channels, planned_at FROM messages WHERE id = %(id)s FOR UPDATE"
    return fetch_one(conn, Plan, sql, {"id": message_id})


def set_planned(conn: Connection, message_id: UUID) -> None:
    execute(conn, "UPDATE messages SET planned_at = now() WHERE id = %(id)s", {"id": message_id})


def finish_messages(conn: Connection, message_ids: Sequence[UUID]) -> None:
    """Mark the messages whose last delivery is finished, and erase the parameters they were rendered from.

    Locked first and looked at in a second statement: of two senders that finish the last two deliveries of a message
    at once, the later one sees what the other did.
    """
    values = {"ids": list(message_ids)}
    execute(conn, "SELECT FROM messages WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE", values)
    sql = """
        UPDATE messages SET finished_at = now(), params = '{}'
        WHERE id = ANY(%(ids)s) AND planned_at IS NOT NULL AND finished_at IS NULL AND NOT EXISTS (
            SELECT FROM deliveries WHERE deliveries.message_id = messages.id AND deliveries.finished_at IS NULL
        )
    """
    execute(conn, sql, values)


def take_unplanned(conn: Connection, *, overdue_s: float, limit: int) -> list[UUID]:
    """Messages that have waited for the planner for so long that the broker must have lost them; asked for once."""
    sql = """
        WITH stray AS (
            SELECT id FROM messages
            WHERE planned_at IS NULL AND replan_at < now()
            ORDER BY replan_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
        UPDATE messages SET replan_at = now() + %(overdue_s)s * interval '1 second'
        FROM stray WHERE messages.id = stray.id RETURNING messages.id
    """
    return [row.id for row in fetch_all(conn, _Id, sql, {"overdue_s": overdue_s, "limit": limit})]
