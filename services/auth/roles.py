"""Roles of people: granted and taken back. A first administrator is made at the command line, never by a password."""

from services.auth import rows, store
from services.auth.audit import note
from services.auth.endings import end_sessions
from services.auth.scopes import ADMIN, RoleSettings
from shared.errors import UnprocessableContent
from shared.postgres import Connection


def require_known(settings: RoleSettings, role: str) -> None:
    """Raise UnprocessableContent(role_unknown)."""
    if role not in settings.scopes_by_role:
        raise UnprocessableContent("There is no such role: see ROLE_SCOPES.", code="role_unknown")


def grant(conn: Connection, person: rows.User, role: str) -> rows.User:
    """Give a person, held by this transaction, a role that their next access token knows of.

    Who acts for them at the moment was let in by what they were: that ends, and no link from before leads into the
    account of an administrator. Raise UnprocessableContent(not_confirmed): an account whose address and number nobody
    has confirmed may be a stranger's.
    """
    if role in person.all_roles:
        return person
    if person.email_confirmed_at is None and person.phone_confirmed_at is None:
        raise UnprocessableContent("Nobody has confirmed an address of this user.", code="not_confirmed")
    note(conn, "role.granted", person.id, role=role)
    end_sessions(conn, person.id, "ended_by_admin", impersonated=True)
    if role == ADMIN:
        store.delete_one_time_tokens(conn, person.id)  # another administrator may have made one
    return store.update_role_granted(conn, person.id, role) or person


def revoke(conn: Connection, person: rows.User, role: str) -> rows.User:
    """Take a role back, at once: sessions whose tokens know of it end, and what was opened from them."""
    if role not in person.all_roles:
        return person
    note(conn, "role.revoked", person.id, role=role)
    end_sessions(conn, person.id, "ended_by_admin")
    return store.update_role_revoked(conn, person.id, role) or person


def find_by_address(conn: Connection, email: str) -> rows.User:
    """The person with this confirmed address, held until the transaction ends.

    Raise LookupError if there is none: an address that nobody confirmed may be a stranger's account.
    """
    person = store.get_user_by_email(conn, email)
    if person is None or person.email_confirmed_at is None:
        raise LookupError("nobody has confirmed this address")
    store.lock_user(conn, person.id)
    return store.get_user(conn, person.id) or person
