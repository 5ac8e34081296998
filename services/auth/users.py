"""The caller's own account."""

from pydantic import SecretStr

from services.auth import models, rows, store
from services.auth.assurance import require_caller, require_step_up
from services.auth.endings import end_sessions
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.sessions import require_user
from shared.errors import Unauthorized, UnprocessableContent
from shared.postgres import Connection
from shared.routing import Blueprint, caller, user

bp = Blueprint("users", __name__, url_prefix="/auth/v1")


@bp.get("/user")
@user
def get_user() -> models.User:
    """The caller, as long as the session of the token is alive."""
    with here.db.transaction() as conn:
        return models.User.of(require_user(conn))


@bp.put("/user")
@user
def change_user(body: models.UserChange) -> models.User:
    """Change password or metadata. A new password ends every other session."""
    with here.db.transaction() as conn:
        before = require_user(conn)
        if body.password is not None or (body.email is not None and body.email != before.email):
            require_step_up(require_caller(conn), "update email or password when MFA is enabled", Unauthorized)
    if body.email is not None and body.email != before.email:
        raise UnprocessableContent("The address of an account cannot be changed.", code="email_change_unavailable")
    password_hash = _hash_new(before, body.password) if body.password else None
    with here.db.transaction() as conn:
        store.lock_user(conn, before.id)  # two sessions that change the password at once take turns,
        require_user(conn)  # and the one that was ended by the other changes nothing
        after = store.update_user(conn, before.id, password_hash=password_hash, user_metadata=body.data)
        if after is None:
            raise UnprocessableContent("The account is gone.", code="user_not_found")
        models.require_fitting(after.user_metadata)
        _end_others(conn, before, password_hash)
    return models.User.of(after)


def _hash_new(before: rows.User, password: SecretStr) -> str:
    new = password.get_secret_value()
    require_strong(new, here.settings.password_min_length)
    if here.passwords.verify(before.password_hash, new):
        raise UnprocessableContent("New password should be different from the old password.", code="same_password")
    return here.passwords.hash(new)


def _end_others(conn: Connection, before: rows.User, password_hash: str | None) -> None:
    if password_hash is not None:
        end_sessions(conn, before.id, "password_changed", but=caller().session_id)
