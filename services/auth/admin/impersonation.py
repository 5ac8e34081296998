"""An administrator acts for a user: for a stated reason, for a short time, seen by everybody it concerns.

What such a session may not do is in `services/auth/impersonated.py`.
"""

from dataclasses import replace
from datetime import UTC, datetime

from flask import request

from services.auth import models, rows, store
from services.auth.admin.access import lock_person, require_admin
from services.auth.admin.models import Impersonation, UserPath
from services.auth.assurance import Caller
from services.auth.audit import note
from services.auth.devices import device_of
from services.auth.parts import here
from services.auth.scopes import ADMIN, ADMIN_SCOPE
from services.auth.sessions import session_answer
from shared import outbox
from shared.contracts import SessionCreated
from shared.errors import BadRequest, Forbidden
from shared.postgres import Connection
from shared.routing import Blueprint, caller, user

bp = Blueprint("admin_impersonation", __name__, url_prefix="/auth/v1/admin")
METHOD = "impersonation"
DEVICE = "Administrator"


@bp.post("/users/<user_id>/impersonate")
@user(scope=ADMIN_SCOPE)
def impersonate(path: UserPath, body: Impersonation) -> models.Session:
    """A session of the user whose tokens say in `act` who acts. It ends after `lifetime_s`, or with the own session."""
    with here.db.transaction() as conn:
        for user_id in sorted({caller().user_id, path.user_id}):  # who loses the role just now opens nothing any more
            store.lock_user(conn, user_id)
        admin = require_admin(conn)
        person = lock_person(conn, path.user_id)
        if person.role == ADMIN:
            raise Forbidden("Nobody acts for an administrator.", code="admin_protected")
        if person.is_banned:
            raise BadRequest("User is banned", code="user_banned")
        session = _open(conn, admin, person, body)
    return session_answer(person, session)


def _open(conn: Connection, admin: Caller, person: rows.User, body: Impersonation) -> rows.Session:
    session = store.insert_impersonation(
        conn,
        person.id,
        replace(device_of(request), name=DEVICE),
        [{"method": METHOD, "timestamp": int(datetime.now(UTC).timestamp())}],
        by=admin.user.id,
        session_id=admin.session.id,
        reason=body.reason,
        lifetime_s=body.lifetime_s,
    )
    outbox.add(conn, SessionCreated(session_id=session.id, user_id=person.id, created_at=session.created_at))
    note(conn, "impersonation.started", person.id, opened=str(session.id), reason=body.reason)
    return session
