"""What happened to the caller's own account, as the audit log has it."""

from services.auth import store
from services.auth.audit_models import HistoryPage, HistoryQuery
from services.auth.parts import here
from services.auth.sessions import require_user
from services.auth.store import DeedFilter
from shared.routing import Blueprint, user

bp = Blueprint("history", __name__, url_prefix="/auth/v1")


@bp.get("/user/audit")
@user
def list_own_history(query: HistoryQuery) -> HistoryPage:
    """The security history of the caller's account, newest first: log-ins, failures, changes, by whom."""
    with here.db.transaction() as conn:
        owner = require_user(conn)
        found = store.list_audit(conn, DeedFilter(subject=owner.id), before=query.before, limit=query.limit + 1)
    return HistoryPage.of(found, query.limit)
