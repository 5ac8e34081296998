"""The audit log as administrators read it. That they did is in it too."""

from services.auth import store
from services.auth.admin.access import require_admin
from services.auth.audit import note
from services.auth.audit_models import AuditPage, AuditQuery
from services.auth.parts import here
from services.auth.scopes import ADMIN_SCOPE
from shared.routing import Blueprint, user

bp = Blueprint("admin_audit", __name__, url_prefix="/auth/v1/admin")


@bp.get("/audit")
@user(scope=ADMIN_SCOPE)
def list_audit(query: AuditQuery) -> AuditPage:
    """What was done to accounts, newest first; by whom it is about, who did it, action and time."""
    with here.db.transaction() as conn:
        require_admin(conn)
        found = store.list_audit(conn, query.filter, before=query.before, limit=query.limit + 1)
        note(conn, "audit.read", query.user_id)
    return AuditPage.of(found, query.limit)
