"""What a person logs in with: address, number, accounts elsewhere. One is always left."""

from uuid import UUID

from services.auth import models, rows, store
from services.auth.alerts import tell_of_identity
from services.auth.assurance import require_caller, require_step_up
from services.auth.audit import note
from services.auth.parts import here
from services.auth.registration import confirm
from shared.errors import UnprocessableContent
from shared.postgres import Connection
from shared.routing import Blueprint, Path, user

bp = Blueprint("identities", __name__, url_prefix="/auth/v1")


class IdentityPath(Path):
    identity_id: UUID


@bp.delete("/user/identities/<identity_id>", status=200)
@user
def unlink_identity(path: IdentityPath) -> models.Nothing:
    """Unlink one, unless nothing that lets the caller in would be left."""
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        require_step_up(person, "unlink an identity")
        provider = _require_another(person.user, path.identity_id)
        after = _unlink(conn, person.user, path.identity_id)
        note(conn, "identity.unlinked", person.user.id, provider=provider)
        tell_of_identity(conn, person.user, "identity_unlinked", provider, session_id=person.session.id)
        if after is not None and after.email != person.user.email:
            store.delete_one_time_tokens(conn, after.id)
            confirm(conn, after)
    return models.Nothing()


def _require_another(owner: rows.User, identity_id: UUID) -> str:
    """The provider of this one. Of what is left one must let in: what nobody confirmed does not."""
    identities = models.identities_of(owner)
    gone = next((identity for identity in identities if identity.identity_id == identity_id), None)
    if gone is None:
        raise UnprocessableContent("Identity doesn't exist", code="identity_not_found")
    for identity in identities:
        data = identity.identity_data
        is_good = data.get(f"{identity.provider}_verified", True)  # of the address and the number
        if identity.identity_id != identity_id and is_good:
            return gone.provider
    detail = "User must have at least 1 identity after unlinking"
    raise UnprocessableContent(detail, code="single_identity_not_deletable")


def _unlink(conn: Connection, owner: rows.User, identity_id: UUID) -> rows.User | None:
    if identity_id == owner.id:
        return store.update_email_unlinked(conn, owner.id)
    if identity_id == models.id_of_number(owner):
        return store.update_phone_unlinked(conn, owner.id)
    return store.delete_identity(conn, owner.id, identity_id)
