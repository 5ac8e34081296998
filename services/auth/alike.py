"""The same work for somebody and for nobody, so that neither its time nor what it costs tells whether there is anybody.

Both times a user who is nobody is made and taken back, and the same statements run; only whose rows they touch differs
(`tests/auth/test_enumeration.py` counts them, `make timing` measures).
"""

from collections.abc import Callable
from typing import Any

from services.auth import rows, store
from services.auth.registration import as_signed_up, register
from shared.postgres import Connection

NOBODY = "nobody@invalid"


def register_alike(conn: Connection, made: rows.User | None) -> None:
    """Tell the others of a new user. If none was made, what would have been told is taken back."""
    with store.kept_if(conn, made is not None):
        register(conn, made or as_signed_up(NOBODY, {}))


def send_alike(
    conn: Connection,
    user: rows.User | None,
    send: Callable[[rows.User], object],
    user_metadata: dict[str, Any] | None = None,
) -> None:
    """Send something to somebody; to nobody, if there is none."""
    with store.undone(conn):
        nobody = store.insert_nobody(conn, user_metadata or {})
        if user is None:
            send(nobody)
    if user is not None:
        send(user)
