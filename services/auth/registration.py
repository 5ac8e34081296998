"""What it takes to take somebody in, and the rehearsal of it that keeps addresses from being told apart by time."""

from typing import Any

from services.auth import mails, rows, store
from shared import outbox
from shared.contracts import UserRegistered
from shared.ids import new_id
from shared.postgres import Connection


def register(conn: Connection, user: rows.User) -> None:
    """Tell the others of a new user."""
    outbox.add(
        conn,
        UserRegistered(user_id=user.id, email=user.email, locale=mails.locale_of(user), created_at=user.created_at),
    )


def rehearse(conn: Connection, password_hash: str, user_metadata: dict[str, Any]) -> None:
    """Do all that a sign-up with an unknown address does, for nobody, and take it back.

    An answer that came without this work would come sooner, and tell that there was none to do.
    """
    with store.undone(conn):
        user = store.insert_user(conn, f"{new_id()}@invalid", password_hash, user_metadata, is_confirmed=False)
        if user is not None:
            register(conn, user)
            mails.ask_to_confirm(conn, user, None)
