"""Roles beside that of an administrator, and that one too: granted and taken back by name."""

from services.auth import models, roles
from services.auth.admin.access import lock_person, require_admin
from services.auth.admin.models import RolePath
from services.auth.parts import here
from services.auth.scopes import ADMIN_SCOPE
from shared.routing import Blueprint, user

bp = Blueprint("admin_roles", __name__, url_prefix="/auth/v1/admin")


@bp.put("/users/<user_id>/roles/<role>")
@user(scope=ADMIN_SCOPE)
def grant_role(path: RolePath) -> models.User:
    """Grant a role of ROLE_SCOPES, or `admin`; the next access token has its scopes."""
    with here.db.transaction() as conn:
        require_admin(conn)
        roles.require_known(here.settings, path.role)
        return models.User.of(roles.grant(conn, lock_person(conn, path.user_id), path.role))


@bp.delete("/users/<user_id>/roles/<role>", status=200)
@user(scope=ADMIN_SCOPE)
def revoke_role(path: RolePath) -> models.User:
    """Take a role back, at once: every session of the user ends."""
    with here.db.transaction() as conn:
        require_admin(conn)
        return models.User.of(roles.revoke(conn, lock_person(conn, path.user_id), path.role))
