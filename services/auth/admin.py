"""What administrators do with the accounts of others, as supabase/auth offers it; each deed leaves a row in the log."""

from datetime import UTC, datetime
from uuid import UUID

from flask import Response

from services.auth import admin_models, kinds, models, rows, store
from services.auth.assurance import require_caller, require_step_up
from services.auth.audit import note
from services.auth.endings import end_sessions
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.registration import confirm, register
from services.auth.roles import ADMIN, ADMIN_SCOPE
from shared import outbox
from shared.contracts import UserDeletionRequested
from shared.errors import Forbidden, NotFound
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, user

bp = Blueprint("admin", __name__, url_prefix="/auth/v1/admin")
PER_PAGE = 50
DEEDS = {
    "email_confirm": "user.confirmed",
    "password": "user.password_set",
    "user_metadata": "user.metadata_set",
    "app_metadata": "user.app_metadata_set",
}


@bp.get("/users")
@user(scope=ADMIN_SCOPE)
def list_users(query: admin_models.UsersQuery) -> admin_models.UserPage | Response:
    """Users, newest id first, by page or by cursor.

    Nothing is counted: `Link` names the next page as long as there is one, and there is no `x-total-count`, which
    clients read as 0.
    """
    page, per_page = query.page or 1, query.per_page or PER_PAGE
    skip = 0 if query.cursor else (page - 1) * per_page
    with here.db.transaction() as conn:
        require_admin(conn)
        found = store.list_users(conn, before=query.cursor, skip=skip, limit=per_page + 1)
        note(conn, "users.listed", None)
    shown = found[:per_page]
    has_more = len(found) > per_page
    answer = admin_models.UserPage(
        users=[models.User.of(one) for one in shown], next_cursor=shown[-1].id if has_more else None
    )
    by_page = has_more and query.cursor is None
    headers = {"Link": f'<users?page={page + 1}&per_page={per_page}>; rel="next"'} if by_page else {}
    return Response(answer.model_dump_json(), 200, headers, mimetype="application/json")


@bp.post("/users")
@user(scope=ADMIN_SCOPE)
def create_user(body: admin_models.NewUser) -> models.User:
    """Create a user, whose address counts as confirmed with `email_confirm`. No mail goes out."""
    password_hash = _hash_of(body)
    with here.db.transaction() as conn:
        require_admin(conn)
        created = store.insert_user(conn, new_id(), body.email, None, {}, is_confirmed=False)
        if created is None:
            raise store.email_exists()
        register(conn, created)
        note(conn, "user.created", created.id)
        created = _change(conn, created, body, password_hash)
    return models.User.of(created)


@bp.get("/users/<user_id>")
@user(scope=ADMIN_SCOPE)
def show_user(path: admin_models.UserPath) -> models.User:
    """One user."""
    with here.db.transaction() as conn:
        require_admin(conn)
        found = _lock(conn, path.user_id)
        note(conn, "user.read", found.id)
    return models.User.of(found)


@bp.put("/users/<user_id>")
@user(scope=ADMIN_SCOPE)
def alter_user(path: admin_models.UserPath, body: admin_models.UserAttributes) -> models.User:
    """Change what is given. A new password and a ban end every session of the user."""
    password_hash = _hash_of(body)
    with here.db.transaction() as conn:
        require_admin(conn)
        after = _change(conn, _lock(conn, path.user_id), body, password_hash)
    return models.User.of(after)


@bp.delete("/users/<user_id>", status=200)
@user(scope=ADMIN_SCOPE)
def delete_user(path: admin_models.UserPath, body: admin_models.Deletion) -> models.Nothing:
    """Delete a user for good, and have the other services delete what they keep of them."""
    with here.db.transaction() as conn:
        require_admin(conn)
        gone = _lock(conn, path.user_id)
        note(conn, "user.deleted", gone.id)
        end_sessions(conn, gone.id, "ended_by_admin")
        store.delete_user(conn, gone.id)
        now = datetime.now(UTC)
        outbox.add(conn, UserDeletionRequested(user_id=gone.id, reason="deleted_by_admin", requested_at=now))
    return models.Nothing()


@bp.post("/users/<user_id>/logout")
@user(scope=ADMIN_SCOPE)
def end_sessions_of_user(path: admin_models.UserPath) -> None:
    """End every session of a user."""
    with here.db.transaction() as conn:
        require_admin(conn)
        person = _lock(conn, path.user_id)
        note(conn, "user.logged_out", person.id)
        end_sessions(conn, person.id, "ended_by_admin")


def require_admin(conn: Connection) -> None:
    """The row counts, not the token: it may be older than the end of the role. Who has a second factor shows it."""
    person = require_caller(conn)
    if person.user.role != ADMIN or person.user.is_banned:
        raise Forbidden("User not allowed", code="not_admin")
    require_step_up(person, "administer users")


def _lock(conn: Connection, user_id: UUID) -> rows.User:
    """The user, in turns with every other change of them. Raise NotFound(user_not_found)."""
    store.lock_user(conn, user_id)
    found = store.get_user(conn, user_id)
    if found is None:
        raise NotFound("User not found", code="user_not_found")
    return found


def _hash_of(body: admin_models.UserAttributes) -> str | None:
    """Slow on purpose: before a connection is held."""
    if body.password is None:
        return None
    password = body.password.get_secret_value()
    require_strong(password, here.settings.password_min_length, breaches_url=here.settings.breaches_url)
    return here.passwords.hash(password)


def _change(
    conn: Connection, before: rows.User, body: admin_models.UserAttributes, password_hash: str | None
) -> rows.User:
    after = store.update_user_by_admin(
        conn,
        before.id,
        password_hash=password_hash,
        user_metadata=body.user_metadata,
        app_metadata=body.app_metadata,
        is_confirmed=body.email_confirm,
    )
    assert after is not None  # noqa: S101 — its row is held
    admin_models.require_fitting(after.user_metadata, after.app_metadata)
    for name, deed in DEEDS.items():
        if getattr(body, name):
            note(conn, deed, before.id)
    if before.email_confirmed_at is None and after.email_confirmed_at is not None:
        confirm(conn, after)
    if password_hash is not None:
        end_sessions(conn, before.id, "password_changed")
        store.delete_one_time_tokens(conn, before.id, [kinds.RECOVERY])
    return after if body.ban_duration is None else _ban(conn, after, body.ban_duration)


def _ban(conn: Connection, person: rows.User, text: str) -> rows.User:
    duration = admin_models.duration_of(text)
    note(conn, "user.banned" if duration else "user.unbanned", person.id)
    banned = store.update_banned(conn, person.id, datetime.now(UTC) + duration if duration else None)
    if duration:
        end_sessions(conn, person.id, "ended_by_admin")
    return banned or person
