"""Queries on the addresses of users: whether a mail may go there now, their confirmation, their change."""

# ruff: noqa: S608 — what the f-strings put in are constants

from typing import Any
from uuid import UUID

from psycopg2.errors import UniqueViolation

from services.auth.rows import User
from services.auth.store.users import COLUMNS
from shared.errors import UnprocessableContent
from shared.postgres import Connection, fetch_one

# Of one kind a mail an interval, of all kinds so many a day; but who has no secret of this kind that works gets one,
# unless its address is confirmed already (`account_exists` holds no secret): strangers cannot use them all up.
MAY_GET_MAIL = """
    coalesce(CASE WHEN %(kind)s = 'signup' THEN confirmation_sent_at
                  ELSE (SELECT created_at FROM one_time_tokens AS sent
                        WHERE sent.user_id = users.id AND sent.kind = %(kind)s) END, '-infinity')
        <= clock_timestamp() - make_interval(secs => %(interval_s)s)
    AND ((SELECT count(*) FROM unnest(mails_sent_at) AS sent_at
          WHERE sent_at > clock_timestamp() - interval '1 day') < %(per_day)s
         OR ((%(kind)s <> 'signup' OR email_confirmed_at IS NULL)
             AND NOT EXISTS (SELECT 1 FROM one_time_tokens AS living
                             WHERE living.user_id = users.id AND living.kind = %(kind)s
                               AND living.consumed_at IS NULL AND living.expires_at > clock_timestamp())))
"""


def lock_user_for_mail(conn: Connection, email: str, kind: str, *, interval_s: int, per_day: int) -> User | None:
    """The user with this address, locked, if a mail of this kind may go there now."""
    sql = f"SELECT {COLUMNS} FROM users WHERE lower(email) = lower(%(email)s) AND {MAY_GET_MAIL} FOR UPDATE"
    return fetch_one(conn, User, sql, {"email": email, "kind": kind, "interval_s": interval_s, "per_day": per_day})


def lock_own_user_for_mail(conn: Connection, user_id: UUID, kind: str, *, interval_s: int, per_day: int) -> User | None:
    """The user, locked, if a mail (or a message) of this kind may go to them now."""
    sql = f"SELECT {COLUMNS} FROM users WHERE id = %(id)s AND {MAY_GET_MAIL} FOR UPDATE"
    return fetch_one(conn, User, sql, {"id": user_id, "kind": kind, "interval_s": interval_s, "per_day": per_day})


def update_mail_sent(conn: Connection, user_id: UUID, kind: str) -> User | None:
    """Note that a mail has gone out just now."""
    sql = f"""
        UPDATE users
        SET confirmation_sent_at = CASE WHEN %(kind)s = 'signup' THEN clock_timestamp() ELSE confirmation_sent_at END,
            mails_sent_at = clock_timestamp() || ARRAY(
                SELECT sent_at FROM unnest(mails_sent_at) AS sent_at
                WHERE sent_at > clock_timestamp() - interval '1 day')
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "kind": kind})


def update_email_confirmed(conn: Connection, user_id: UUID, password_hash: str | None) -> User | None:
    """Confirm. Of a contested address nothing that was signed up with stays, and `password_hash` is the password."""
    sql = f"""
        UPDATE users
        SET email_confirmed_at = coalesce(email_confirmed_at, now()), is_contested = false, updated_at = now(),
            password_hash = CASE WHEN is_contested THEN %(password_hash)s ELSE password_hash END,
            user_metadata = CASE WHEN is_contested THEN '{{}}' ELSE user_metadata END
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "password_hash": password_hash})


def update_email_proven(conn: Connection, user_id: UUID, user_metadata: dict[str, Any] | None) -> User | None:
    """Confirm an address by a mail that no sign-up asked for: what was signed up with, perhaps by others, goes."""
    sql = f"""
        UPDATE users
        SET email_confirmed_at = now(), is_contested = false, updated_at = now(), password_hash = NULL,
            user_metadata = %(user_metadata)s
        WHERE id = %(id)s AND email_confirmed_at IS NULL
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "user_metadata": user_metadata or {}})


def update_new_email(conn: Connection, user_id: UUID, new_email: str) -> User | None:
    """Keep the address that is to be; it counts for nothing yet."""
    sql = f"""
        UPDATE users SET new_email = %(new_email)s, email_change_sent_at = clock_timestamp(), updated_at = now()
        WHERE id = %(id)s
        RETURNING {COLUMNS}
    """
    return fetch_one(conn, User, sql, {"id": user_id, "new_email": new_email})


def update_email_changed(conn: Connection, user_id: UUID) -> User:
    """The new address takes the place of the old one; a guest is none from now on.

    Raise UnprocessableContent(email_exists) if somebody else has it meanwhile.
    """
    sql = f"""
        UPDATE users
        SET email = new_email, email_confirmed_at = clock_timestamp(), new_email = NULL, email_change_sent_at = NULL,
            is_anonymous = false, is_contested = false, updated_at = clock_timestamp(),
            app_metadata = app_metadata || jsonb_build_object(
                'provider', coalesce(app_metadata ->> 'provider', 'email'),
                'providers', CASE WHEN coalesce(app_metadata -> 'providers', '[]') ? 'email'
                                  THEN app_metadata -> 'providers'
                                  ELSE coalesce(app_metadata -> 'providers', '[]') || '"email"' END)
        WHERE id = %(id)s AND new_email IS NOT NULL
        RETURNING {COLUMNS}
    """
    try:
        user = fetch_one(conn, User, sql, {"id": user_id})
    except UniqueViolation:
        raise email_exists() from None
    assert user is not None  # noqa: S101 — its secret was consumed, so there is a new address
    return user


def email_exists() -> UnprocessableContent:
    return UnprocessableContent("A user with this email address has already been registered", code="email_exists")
