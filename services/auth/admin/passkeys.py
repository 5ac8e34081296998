"""Passkeys of a user, for administrators: seen, and removed when they are lost."""

from services.auth import passkey_models, store
from services.auth.admin.access import lock_person, require_admin, require_no_admin
from services.auth.admin.changes import BY_ADMIN
from services.auth.admin.models import UserPasskeyPath, UserPath
from services.auth.alerts import alert
from services.auth.audit import note
from services.auth.parts import here
from services.auth.passkey_makers import maker_of
from services.auth.scopes import ADMIN_SCOPE
from shared.errors import NotFound
from shared.routing import Blueprint, user

bp = Blueprint("admin_passkeys", __name__, url_prefix="/auth/v1/admin")


@bp.get("/users/<user_id>/passkeys")
@user(scope=ADMIN_SCOPE)
def list_passkeys_of_user(path: UserPath) -> passkey_models.Passkeys:
    """Every passkey, oldest first; ten at most."""
    with here.db.transaction() as conn:
        require_admin(conn)
        person = lock_person(conn, path.user_id)
        keys = [key for key in store.list_credentials(conn, person.id) if key.factor_id is None]
        note(conn, "user.passkeys_listed", person.id)
    return passkey_models.Passkeys([passkey_models.Passkey.of(key) for key in keys])


@bp.delete("/users/<user_id>/passkeys/<passkey_id>")
@user(scope=ADMIN_SCOPE)
def remove_passkey_of_user(path: UserPasskeyPath) -> None:
    """Remove a passkey; sessions that stand on it are aal1 again, and the person is told."""
    with here.db.transaction() as conn:
        admin = require_admin(conn)
        person = lock_person(conn, path.user_id)
        require_no_admin(admin, person)
        key = store.delete_passkey(conn, person.id, path.passkey_id)
        if key is None:
            raise NotFound("Passkey not found", code="passkey_not_found")
        store.lower_sessions(conn, person.id, key.id)
        note(conn, "user.passkey_removed", person.id, passkey=str(key.id))
        alert(
            conn,
            person,
            "passkey_removed",
            session_id=None,
            factor_id=key.id,
            factor_type="passkey",
            provider=maker_of(key.aaguid),
            is_noted=False,
            **BY_ADMIN,
        )
