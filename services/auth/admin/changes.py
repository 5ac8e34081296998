"""What an administrator may change of a user, and what comes of it for sessions, secrets and other services."""

from datetime import UTC, datetime
from typing import Any

from services.auth import kinds, roles, rows, store
from services.auth.admin.models import UserAttributes, duration_of, require_fitting
from services.auth.alerts import alert
from services.auth.audit import note
from services.auth.endings import end_sessions
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.registration import confirm
from services.auth.scopes import ADMIN
from shared.postgres import Connection

DEEDS = {
    "email": "user.email_set",
    "phone": "user.phone_set",
    "email_confirm": "user.confirmed",
    "phone_confirm": "user.phone_confirmed",
    "password": "user.password_set",
    "password_hash": "user.password_set",
    "user_metadata": "user.metadata_set",
    "app_metadata": "user.app_metadata_set",
}
BY_ADMIN: Any = {"device": "the device of an administrator", "ip": ""}


def hash_of(body: UserAttributes) -> str | None:
    """Slow on purpose: before a connection is held, and once it is known who asks."""
    if body.password_hash is not None:
        return body.password_hash.get_secret_value()
    if body.password is None:
        return None
    password = body.password.get_secret_value()
    require_strong(password, here.settings.password_min_length, breaches_url=here.settings.breaches_url)
    return here.passwords.hash(password)


def change(conn: Connection, before: rows.User, body: UserAttributes, password_hash: str | None) -> rows.User:
    """Set what is given, of a user whom this transaction holds; the user as they are now."""
    _note_deeds(conn, before, body)
    if body.email is not None and body.email != before.email:
        _set_email(conn, before, body.email)
    if body.phone is not None and body.phone != before.phone:
        store.update_phone_by_admin(conn, before.id, body.phone)
        store.delete_one_time_tokens(conn, before.id, [kinds.SMS, kinds.PHONE_CHANGE])
        alert(conn, before, "phone_changed", is_noted=False, **BY_ADMIN)
    after = store.update_user_by_admin(
        conn,
        before.id,
        password_hash=password_hash,
        user_metadata=body.user_metadata,
        app_metadata=body.app_metadata,
        is_confirmed=body.email_confirm,
        is_phone_confirmed=body.phone_confirm,
    )
    assert after is not None  # noqa: S101 — its row is held
    require_fitting(after.user_metadata, after.app_metadata)
    if (before.email, before.email_confirmed_at) != (after.email, after.email_confirmed_at):
        confirm(conn, after)
    if password_hash is not None:
        end_sessions(conn, before.id, "password_changed")
        store.delete_one_time_tokens(conn, before.id, [kinds.RECOVERY])
        alert(conn, before, "password_changed", is_noted=False, **BY_ADMIN)
    if body.role is not None:
        after = (roles.grant if body.role == ADMIN else roles.revoke)(conn, after, ADMIN)
    return after if body.ban_duration is None else _ban(conn, after, body.ban_duration)


def _note_deeds(conn: Connection, person: rows.User, body: UserAttributes) -> None:
    for name, deed in DEEDS.items():
        said = getattr(body, name)
        if said and said != getattr(person, name, None):
            note(conn, deed, person.id)


def _set_email(conn: Connection, before: rows.User, email: str) -> None:
    """At once. The old address is told, if it was confirmed, and what was mailed there works no more."""
    store.update_email_by_admin(conn, before.id, email)
    store.delete_one_time_tokens(conn, before.id)
    alert(conn, before, "email_changed", new_email=email, is_noted=False, **BY_ADMIN)


def _ban(conn: Connection, person: rows.User, text: str) -> rows.User:
    duration = duration_of(text)
    note(conn, "user.banned" if duration else "user.unbanned", person.id)
    banned = store.update_banned(conn, person.id, datetime.now(UTC) + duration if duration else None)
    if duration:
        end_sessions(conn, person.id, "ended_by_admin")
    return banned or person
