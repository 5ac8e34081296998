"""Second factors of a user, for administrators: seen, named, and removed when they are lost."""

from services.auth import models, rows, store
from services.auth.admin.access import lock_person, require_admin, require_no_admin
from services.auth.admin.changes import BY_ADMIN
from services.auth.admin.models import FactorChange, Factors, UserFactorPath, UserPath
from services.auth.alerts import alert
from services.auth.audit import note
from services.auth.parts import here
from services.auth.scopes import ADMIN_SCOPE
from shared.errors import NotFound, UnprocessableContent
from shared.postgres import Connection
from shared.routing import Blueprint, user

bp = Blueprint("admin_factors", __name__, url_prefix="/auth/v1/admin")


@bp.get("/users/<user_id>/factors")
@user(scope=ADMIN_SCOPE)
def list_factors_of_user(path: UserPath) -> Factors:
    """Every factor, oldest first, verified or not."""
    with here.db.transaction() as conn:
        require_admin(conn)
        person = lock_person(conn, path.user_id)
        note(conn, "user.factors_listed", person.id)
    return Factors(models.User.of(person).factors)


@bp.put("/users/<user_id>/factors/<factor_id>")
@user(scope=ADMIN_SCOPE)
def name_factor_of_user(path: UserFactorPath, body: FactorChange) -> models.Factor:
    """Give a factor another name. Whose phone it is only the person can show."""
    with here.db.transaction() as conn:
        require_admin(conn)
        person, factor = _factor(conn, path)
        others = [one for one in store.list_factors(conn, person.id) if one.id != factor.id]
        if any(one.name == body.friendly_name for one in others):
            detail = "A factor with this friendly name exists already"
            raise UnprocessableContent(detail, code="mfa_factor_name_conflict")
        store.update_factor_name(conn, factor.id, body.friendly_name)
        note(conn, "user.factor_named", person.id, factor=str(factor.id))
        after = lock_person(conn, person.id)
    return next(one for one in models.User.of(after).factors if one.id == factor.id)


@bp.delete("/users/<user_id>/factors/<factor_id>", status=200)
@user(scope=ADMIN_SCOPE)
def remove_factor_of_user(path: UserFactorPath) -> models.Factor:
    """Remove a factor; sessions that stand on it are aal1 again, and the person is told.

    Recovery codes go with the last other factor: they never stand alone.
    """
    with here.db.transaction() as conn:
        admin = require_admin(conn)
        person, factor = _factor(conn, path)
        require_no_admin(admin, person)
        for one in [factor, *_left_alone(conn, factor)]:
            _remove(conn, person, one)
    return next(one for one in models.User.of(person).factors if one.id == factor.id)


def _factor(conn: Connection, path: UserFactorPath) -> tuple[rows.User, rows.Factor]:
    person = lock_person(conn, path.user_id)
    factor = store.lock_factor(conn, person.id, path.factor_id)
    if factor is None:
        raise NotFound("Factor not found", code="mfa_factor_not_found")
    return person, factor


def _left_alone(conn: Connection, removed: rows.Factor) -> list[rows.Factor]:
    others = [one for one in store.list_factors(conn, removed.user_id) if one.id != removed.id and one.is_verified]
    return others if {one.kind for one in others} == {"recovery_code"} else []


def _remove(conn: Connection, person: rows.User, factor: rows.Factor) -> None:
    store.lower_sessions(conn, person.id, factor.id)
    store.delete_factor(conn, factor.id)
    note(conn, "user.factor_removed", person.id, factor=str(factor.id), kind=factor.kind)
    if factor.is_verified:
        alert(
            conn,
            person,
            "factor_removed",
            session_id=None,
            factor_id=factor.id,
            factor_type=factor.kind,
            is_noted=False,
            **BY_ADMIN,
        )
