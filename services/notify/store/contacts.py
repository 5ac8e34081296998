"""Queries on contacts: what is known of a person. Functions take the open transaction first and never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.postgres import Connection, execute, fetch_all


@dataclass(frozen=True)
class _Address:
    email: str


def put_account(
    conn: Connection, user_id: UUID, *, email: str | None, email_confirmed_at: datetime | None, at: datetime
) -> None:
    """What auth says of a person at the time `at`; what is older than the row changes nothing."""
    sql = """
        INSERT INTO contacts (user_id, email, email_confirmed_at, account_at)
        VALUES (%(user_id)s, %(email)s, %(email_confirmed_at)s, %(at)s)
        ON CONFLICT (user_id) DO UPDATE SET
            email = excluded.email, email_confirmed_at = excluded.email_confirmed_at, account_at = excluded.account_at
        WHERE contacts.account_at IS NULL OR contacts.account_at <= excluded.account_at
    """
    execute(conn, sql, {"user_id": user_id, "email": email, "email_confirmed_at": email_confirmed_at, "at": at})


def insert_account(conn: Connection, user_id: UUID, *, email: str | None, locale: str | None, at: datetime) -> None:
    """The first that auth says of a person: it only fills what nothing later has filled."""
    sql = """
        INSERT INTO contacts (user_id, email, locale, account_at)
        VALUES (%(user_id)s, %(email)s, %(locale)s, %(at)s)
        ON CONFLICT (user_id) DO UPDATE SET
            email = CASE WHEN contacts.account_at IS NULL THEN excluded.email ELSE contacts.email END,
            account_at = coalesce(contacts.account_at, excluded.account_at),
            locale = coalesce(contacts.locale, excluded.locale)
    """
    execute(conn, sql, {"user_id": user_id, "email": email, "locale": locale, "at": at})


def put_profile(
    conn: Connection,
    user_id: UUID,
    *,
    display_name: str | None,
    locale: str | None,
    timezone: str | None,
    version: int,
) -> None:
    """What profile says of a person; an older version changes nothing. Without a locale the one of sign-up stays."""
    sql = """
        INSERT INTO contacts (user_id, display_name, locale, timezone, profile_version)
        VALUES (%(user_id)s, %(display_name)s, %(locale)s, %(timezone)s, %(version)s)
        ON CONFLICT (user_id) DO UPDATE SET
            display_name = excluded.display_name, locale = coalesce(excluded.locale, contacts.locale),
            timezone = excluded.timezone, profile_version = excluded.profile_version
        WHERE contacts.profile_version IS NULL OR contacts.profile_version <= excluded.profile_version
    """
    execute(
        conn,
        sql,
        {
            "user_id": user_id,
            "display_name": display_name,
            "locale": locale,
            "timezone": timezone,
            "version": version,
        },
    )


def delete_contact(conn: Connection, user_id: UUID) -> None:
    execute(conn, "DELETE FROM contacts WHERE user_id = %(id)s", {"id": user_id})


def list_confirmed_addresses(conn: Connection, user_id: UUID) -> Sequence[str]:
    """The address of a person, if it is known to be theirs."""
    sql = "SELECT email FROM contacts WHERE user_id = %(id)s AND email IS NOT NULL AND email_confirmed_at IS NOT NULL"
    return [row.email for row in fetch_all(conn, _Address, sql, {"id": user_id})]
