"""Log-ins of a user: seen and ended by administrators."""

from services.auth import session_models, store
from services.auth.admin.access import lock_person, require_admin
from services.auth.admin.models import UserPath, UserSessionPath
from services.auth.audit import note
from services.auth.endings import end_sessions
from services.auth.parts import here
from services.auth.scopes import ADMIN_SCOPE
from shared.errors import NotFound
from shared.routing import Blueprint, caller, user

bp = Blueprint("admin_sessions", __name__, url_prefix="/auth/v1/admin")


@bp.get("/users/<user_id>/sessions")
@user(scope=ADMIN_SCOPE)
def list_sessions_of_user(path: UserPath, query: session_models.SessionsQuery) -> session_models.SessionPage:
    """The living sessions of a user, newest first, as they see them."""
    with here.db.transaction() as conn:
        require_admin(conn)
        person = lock_person(conn, path.user_id)
        found = store.list_sessions(conn, person.id, before=query.cursor, limit=query.limit + 1)
        note(conn, "user.sessions_listed", person.id)
    return session_models.SessionPage.of(found, query.limit, current=caller().session_id)


@bp.delete("/users/<user_id>/sessions/<session_id>")
@user(scope=ADMIN_SCOPE)
def end_session_of_user(path: UserSessionPath) -> None:
    """End one session of a user; its access tokens are refused at the gateway at once."""
    with here.db.transaction() as conn:
        require_admin(conn)
        person = lock_person(conn, path.user_id)
        if not end_sessions(conn, person.id, "ended_by_admin", only=path.session_id):
            raise NotFound("The user has no such session.", code="session_not_found")
        note(conn, "user.session_ended", person.id, ended=str(path.session_id))


@bp.post("/users/<user_id>/logout")
@user(scope=ADMIN_SCOPE)
def end_sessions_of_user(path: UserPath) -> None:
    """End every session of a user."""
    with here.db.transaction() as conn:
        require_admin(conn)
        person = lock_person(conn, path.user_id)
        note(conn, "user.logged_out", person.id)
        end_sessions(conn, person.id, "ended_by_admin")
