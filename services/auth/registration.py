"""What it takes to take somebody in, and what keeps a taken address from being told from a free one."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.auth import mails, rows, store
from services.auth.audit import note
from services.auth.parts import here
from shared import outbox
from shared.contracts import UserRegistered, UserUpdated
from shared.postgres import Connection

RETRY_S = 600


def id_of_sign_up(email: str) -> UUID:
    """The id that a sign-up with this address (or number) gives now: a UUIDv7, the same for ten minutes.

    Whoever signs up again because the answer was lost is told the same id. And as the id does not depend on whether
    the address is taken, nobody learns that from it.
    """
    started = int(time.time()) // RETRY_S * RETRY_S
    mac = here.sealer.macs(f"{started}\n{email}".encode(), "id of a sign-up")[0]
    value = (started * 1000 << 80) | int.from_bytes(mac[:10])
    value = value & ~(0xF << 76) | (0x7 << 76)  # version 7
    value = value & ~(0x3 << 62) | (0x2 << 62)  # variant of RFC 9562
    return UUID(int=value)


def hash_of_sign_up(email: str, password: str) -> str:
    """The hash to keep: the same for the same password, so that a sign-up sent again is told from somebody else's.

    The salt belongs to one address and cannot be foretold without SECRET_KEYS. Raise Unavailable (see `Passwords`).
    """
    return here.passwords.hash(password, salt=here.sealer.macs(email.encode(), "salt of a sign-up")[0][:16])


def register(conn: Connection, user: rows.User) -> None:
    """Tell the others of a new user."""
    locale = mails.locale_of(user)
    event = UserRegistered(
        user_id=user.id,
        email=user.email,
        is_anonymous=user.is_anonymous,
        locale=locale,
        created_at=user.created_at,
    )
    outbox.add(conn, event)
    note(conn, "user.registered", user.id, guest=user.is_anonymous or None)


def confirm(conn: Connection, user: rows.User) -> None:
    """Tell the others that the address is confirmed."""
    confirmed_at = user.email_confirmed_at
    event = UserUpdated(user_id=user.id, email=user.email, email_confirmed_at=confirmed_at, updated_at=user.updated_at)
    outbox.add(conn, event)


def as_signed_up(email: str | None, user_metadata: dict[str, Any], *, phone: str | None = None) -> rows.User:
    """The user that a sign-up answers with, whether it made one or not."""
    now = datetime.now(UTC)
    return rows.User(
        id=id_of_sign_up(email or phone or ""),
        email=email,
        email_confirmed_at=None,
        confirmation_sent_at=now if email else None,
        password_hash=None,
        role="authenticated",
        user_metadata=user_metadata,
        app_metadata=store.EMAIL_ONLY if email else store.PHONE_ONLY,
        is_anonymous=False,
        last_sign_in_at=None,
        created_at=now,
        updated_at=now,
        phone=phone,
    )
