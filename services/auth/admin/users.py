"""Users as administrators see, find, make, change and delete them, as supabase/auth offers it."""

import base64
import binascii
from datetime import UTC, datetime
from uuid import UUID

from flask import Response

from services.auth import models, rows, store
from services.auth.admin import changes
from services.auth.admin import models as admin_models
from services.auth.admin.access import lock_person, require_admin, require_admin_first, require_no_admin
from services.auth.audit import note
from services.auth.endings import end_sessions
from services.auth.parts import here
from services.auth.registration import register
from services.auth.scopes import ADMIN_SCOPE
from shared import outbox
from shared.contracts import UserDeletionRequested
from shared.errors import FieldError, UnprocessableContent, ValidationFailed
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, user

bp = Blueprint("admin_users", __name__, url_prefix="/auth/v1/admin")


@bp.get("/users")
@user(scope=ADMIN_SCOPE)
def list_users(query: admin_models.UsersQuery) -> admin_models.UserPage | Response:
    """Users, newest id first, by page or by cursor; with `filter`, those whose address begins like it, by cursor.

    Nothing is counted: `Link` names the next page as long as there is one, and there is no `x-total-count`, which
    clients read as 0.
    """
    page, per_page = query.page or 1, query.per_page or admin_models.PER_PAGE
    with here.db.transaction() as conn:
        require_admin(conn)
        found = _found(conn, query, skip=0 if query.cursor else (page - 1) * per_page, limit=per_page + 1)
        note(conn, "users.listed", None)
    shown = found[:per_page]
    has_more = len(found) > per_page
    answer = admin_models.UserPage(
        users=[models.User.of(one) for one in shown], next_cursor=_cursor(query, shown[-1]) if has_more else None
    )
    by_page = has_more and query.cursor is None and not query.filter
    headers = {"Link": f'<users?page={page + 1}&per_page={per_page}>; rel="next"'} if by_page else {}
    return Response(answer.model_dump_json(), 200, headers, mimetype="application/json")


@bp.post("/users")
@user(scope=ADMIN_SCOPE)
def create_user(body: admin_models.NewUser) -> models.User:
    """Create a user; with `email_confirm` and `phone_confirm` address and number count as confirmed. No mail goes."""
    require_admin_first()
    password_hash = changes.hash_of(body)
    with here.db.transaction() as conn:
        require_admin(conn)
        created = _insert(conn, body)
        register(conn, created)
        note(conn, "user.created", created.id)
        created = changes.change(conn, created, body, password_hash)
    return models.User.of(created)


@bp.get("/users/<user_id>")
@user(scope=ADMIN_SCOPE)
def show_user(path: admin_models.UserPath) -> models.User:
    """One user, with identities, factors and roles."""
    with here.db.transaction() as conn:
        require_admin(conn)
        found = lock_person(conn, path.user_id)
        note(conn, "user.read", found.id)
    return models.User.of(found)


@bp.put("/users/<user_id>")
@user(scope=ADMIN_SCOPE)
def alter_user(path: admin_models.UserPath, body: admin_models.UserAttributes) -> models.User:
    """Change what is given. A new password, a ban and a role that is taken back end every session of the user."""
    require_admin_first()
    password_hash = changes.hash_of(body)
    with here.db.transaction() as conn:
        admin = require_admin(conn)
        before = lock_person(conn, path.user_id)
        if body.lets_in:
            require_no_admin(admin, before)
        after = changes.change(conn, before, body, password_hash)
    return models.User.of(after)


@bp.delete("/users/<user_id>", status=200)
@user(scope=ADMIN_SCOPE)
def delete_user(path: admin_models.UserPath, body: admin_models.Deletion) -> models.Nothing:
    """Delete a user for good, and have the other services delete what they keep of them."""
    with here.db.transaction() as conn:
        require_admin(conn)
        gone = lock_person(conn, path.user_id)
        note(conn, "user.deleted", gone.id)
        end_sessions(conn, gone.id, "ended_by_admin")
        store.delete_user(conn, gone.id)
        now = datetime.now(UTC)
        outbox.add(conn, UserDeletionRequested(user_id=gone.id, reason="deleted_by_admin", requested_at=now))
    return models.Nothing()


def _insert(conn: Connection, body: admin_models.NewUser) -> rows.User:
    """The new user with one address; `change` adds what else there is."""
    taken = UnprocessableContent("There is a user with this id already.", code="user_already_exists")
    if body.id is not None and store.get_user(conn, body.id) is not None:
        raise taken
    if body.email is not None:
        created = store.insert_user(conn, body.id or new_id(), body.email, None, {}, is_confirmed=False)
        exists = store.email_exists()
    else:
        created = store.insert_phone_user(conn, body.id or new_id(), body.phone or "", None, {})
        exists = store.phone_exists()
    if created is None:
        raise exists
    if body.id not in (None, created.id):
        raise taken
    return created


def _found(conn: Connection, query: admin_models.UsersQuery, *, skip: int, limit: int) -> list[rows.User]:
    if query.filter:
        after = _decoded(query.cursor) if query.cursor else None
        return store.list_users_by_address(conn, query.filter, after=after, limit=limit)
    try:
        before = UUID(query.cursor) if query.cursor else None
    except ValueError:
        raise _wrong_cursor() from None
    return store.list_users(conn, before=before, skip=skip, limit=limit)


def _cursor(query: admin_models.UsersQuery, last: rows.User) -> str:
    """By id, or with `filter` by address."""
    if not query.filter:
        return str(last.id)
    return base64.urlsafe_b64encode((last.email or "").lower().encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise _wrong_cursor() from None
    if "\x00" in text:
        raise _wrong_cursor()
    return text


def _wrong_cursor() -> ValidationFailed:
    detail = "This is no cursor of such a list."
    return ValidationFailed(f"cursor: {detail}", errors=[FieldError(detail=detail, parameter="cursor")])
