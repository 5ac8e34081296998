"""Roles of people. An administrator is made at the command line by whoever runs the service, never by a password."""

from services.auth import store
from services.auth.audit import note
from shared.postgres import Connection

ADMIN = "admin"
ORDINARY = "authenticated"
ADMIN_SCOPE = "auth:admin"
SCOPES = {ADMIN: ADMIN_SCOPE}


def give(conn: Connection, email: str, role: str) -> None:
    """Give the person with this confirmed address a role, which their next access token says.

    Raise LookupError if there is none: an address that nobody confirmed may be a stranger's account.
    """
    person = store.get_user_by_email(conn, email)
    if person is None or person.email_confirmed_at is None:
        raise LookupError("nobody has confirmed this address")
    store.update_role(conn, person.id, role)
    note(conn, "admin.granted" if role == ADMIN else "admin.revoked", person.id)
