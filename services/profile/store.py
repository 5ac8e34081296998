"""Every query of the profile service."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.postgres import Connection, execute, fetch_one

Visibility = Literal["public", "private"]


@dataclass(frozen=True)
class Profile:
    """`version` grows by one with each change of a field."""

    user_id: UUID
    display_name: str | None
    bio: str | None
    locale: str | None
    timezone: str | None
    visibility: Visibility
    version: int
    created_at: datetime
    updated_at: datetime


def upsert_profile(conn: Connection, user_id: UUID, locale: str | None = None) -> Profile:
    """The person's one profile, made if missing; `locale` fills a profile that has none. Repeating changes nothing.

    Two at once wait for each other on the row, so that both see the same profile.
    """
    existing = get_profile(conn, user_id)
    if existing is not None and (existing.locale is not None or locale is None):
        return existing
    sql = """
        INSERT INTO profiles AS p (user_id, locale) VALUES (%(user_id)s, %(locale)s)
        ON CONFLICT (user_id) DO UPDATE SET
            locale = coalesce(p.locale, EXCLUDED.locale),
            version = p.version + (p.locale IS NULL AND EXCLUDED.locale IS NOT NULL)::int,
            updated_at = CASE WHEN p.locale IS NULL AND EXCLUDED.locale IS NOT NULL THEN now() ELSE p.updated_at END
        RETURNING user_id, display_name, bio, locale, timezone, visibility, version, created_at, updated_at
    """
    profile = fetch_one(conn, Profile, sql, {"user_id": user_id, "locale": locale})
    assert profile is not None  # noqa: S101 — an upsert returns its row
    return profile


def get_profile(conn: Connection, user_id: UUID) -> Profile | None:
    sql = """
        SELECT user_id, display_name, bio, locale, timezone, visibility, version, created_at, updated_at
        FROM profiles WHERE user_id = %(user_id)s
    """
    return fetch_one(conn, Profile, sql, {"user_id": user_id})


def get_public_profile(conn: Connection, user_id: UUID) -> Profile | None:
    """None for a private profile as for none at all."""
    sql = """
        SELECT user_id, display_name, bio, locale, timezone, visibility, version, created_at, updated_at
        FROM profiles WHERE user_id = %(user_id)s AND visibility = 'public'
    """
    return fetch_one(conn, Profile, sql, {"user_id": user_id})


def lock_profile(conn: Connection, user_id: UUID) -> Profile:
    """The person's profile, made if missing, that nobody else changes before this transaction ends."""
    upsert_profile(conn, user_id)
    sql = """
        SELECT user_id, display_name, bio, locale, timezone, visibility, version, created_at, updated_at
        FROM profiles WHERE user_id = %(user_id)s FOR UPDATE
    """
    profile = fetch_one(conn, Profile, sql, {"user_id": user_id})
    assert profile is not None  # noqa: S101 — made above
    return profile


def update_profile(conn: Connection, profile: Profile) -> Profile:
    """Write the fields a person may change; the stored profile, one version further."""
    sql = """
        UPDATE profiles SET
            display_name = %(display_name)s, bio = %(bio)s, locale = %(locale)s, timezone = %(timezone)s,
            visibility = %(visibility)s, version = version + 1, updated_at = now()
        WHERE user_id = %(user_id)s
        RETURNING user_id, display_name, bio, locale, timezone, visibility, version, created_at, updated_at
    """
    updated = fetch_one(conn, Profile, sql, asdict(profile))
    assert updated is not None  # noqa: S101 — the caller holds its lock
    return updated


def delete_profile(conn: Connection, user_id: UUID) -> None:
    execute(conn, "DELETE FROM profiles WHERE user_id = %(user_id)s", {"user_id": user_id})
