"""What every deed of an administrator begins with: who may, and whose account it is."""

from uuid import UUID

from services.auth import rows, store
from services.auth.assurance import Caller, require_caller, require_step_up
from services.auth.parts import here
from services.auth.scopes import ADMIN
from shared.errors import Forbidden, NotFound
from shared.postgres import Connection


def require_admin(conn: Connection) -> Caller:
    """The administrator who calls. Raise Forbidden(not_admin), or insufficient_aal.

    The row counts, not the token: it may be older than the end of the role. Who has a second factor shows it.
    """
    person = require_caller(conn)
    if person.user.role != ADMIN or person.user.is_banned:
        raise Forbidden("User not allowed", code="not_admin")
    require_step_up(person, "administer users")
    return person


def require_admin_first() -> None:
    """`require_admin`, before work that is slow on purpose: nobody else has it done."""
    with here.db.transaction() as conn:
        require_admin(conn)


def lock_person(conn: Connection, user_id: UUID) -> rows.User:
    """The user, in turns with every other change of them. Raise NotFound(user_not_found)."""
    store.lock_user(conn, user_id)
    found = store.get_user(conn, user_id)
    if found is None:
        raise NotFound("User not found", code="user_not_found")
    return found


def require_no_admin(by: Caller, person: rows.User) -> None:
    """Nobody gets into the account of another administrator: the log would name the wrong one for what is done there.

    Who has lost the way in loses the role first, which is a deed of its own. Raise Forbidden(admin_protected).
    """
    if person.role == ADMIN and person.id != by.user.id:
        detail = "This is an administrator: take the role away first."
        raise Forbidden(detail, code="admin_protected")
