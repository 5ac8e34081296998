"""Invitations, and the links of mails for whoever sends them otherwise."""

from dataclasses import dataclass

from services.auth import kinds, mails, models, rows, store
from services.auth.admin.access import lock_person, require_admin, require_admin_first, require_no_admin
from services.auth.admin.models import GeneratedLink, Invitation, LinkWanted
from services.auth.assurance import Caller
from services.auth.audit import note
from services.auth.bodies import need
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.registration import register
from services.auth.scopes import ADMIN_SCOPE
from shared.errors import NotFound, TooManyRequests
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, user

bp = Blueprint("admin_links", __name__, url_prefix="/auth/v1")


@bp.post("/invite", status=200)
@user(scope=ADMIN_SCOPE)
def invite(query: models.RedirectQuery, body: Invitation) -> models.User:
    """Mail somebody new a link and a code that let them in; again, as long as they have not confirmed the address."""
    with here.db.transaction() as conn:
        require_admin(conn)
        invited = _invited(conn, body.email, body.data)
        locked = mails.lock_own_recipient(conn, invited.id, kinds.INVITE)
        if locked is None:
            raise TooManyRequests(
                "For security purposes, you can only request this once in a while.",
                code="over_email_send_rate_limit",
                retry_after_s=max(here.settings.mail_interval_s, 1),
            )
        note(conn, "user.invited", invited.id)
        mails.send_secret(conn, locked, kinds.INVITE, redirect_to=query.redirect_to, user_metadata=body.data)
        return models.User.of(store.get_user(conn, invited.id) or locked)


@bp.post("/admin/generate_link", status=200)
@user(scope=ADMIN_SCOPE)
def generate_link(query: models.RedirectQuery, body: LinkWanted) -> GeneratedLink:
    """What a mail of this kind would hold; nothing is sent. For `magiclink` of somebody new it is a sign-up.

    Whoever has the link gets in as the person: it is theirs alone.
    """
    require_admin_first()
    password_hash = _hash_of(body)
    wanted = body.redirect_to or query.redirect_to
    with here.db.transaction() as conn:
        made = MAKE[body.type](conn, require_admin(conn), body, password_hash)
        secret = mails.make_secret(conn, made.user, made.kind, to=made.to, redirect_to=wanted, user_metadata=body.data)
        note(conn, "link.generated", made.user.id, type=made.type)
        owner = store.get_user(conn, made.user.id) or made.user
    return GeneratedLink(
        **models.User.of(owner).model_dump(),
        action_link=secret.link,
        email_otp=secret.code,
        hashed_token=secret.token,
        verification_type=made.type,
        redirect_to=here.settings.places.choose(wanted) or "",
    )


@dataclass(frozen=True)
class _Made:
    """Whose link it is and of which kind, how `verify` is to be asked, and the address if it is not their own."""

    user: rows.User
    kind: str
    type: str
    to: str | None = None


def _hash_of(body: LinkWanted) -> str | None:
    if body.type != kinds.SIGNUP or body.password is None:
        return None
    password = body.password.get_secret_value()
    require_strong(password, here.settings.password_min_length, breaches_url=here.settings.breaches_url)
    return here.passwords.hash(password)


def _invited(conn: Connection, email: str, data: models.Metadata | None) -> rows.User:
    """The user to invite, made if need be. Raise UnprocessableContent(email_exists) if the address is confirmed."""
    found = _unconfirmed(conn, email)
    if found is None:
        found = _new(conn, email, None, data)
    return store.update_invited(conn, found.id) or found


def _unconfirmed(conn: Connection, email: str) -> rows.User | None:
    """The user with this address, held; None if there is none. Raise UnprocessableContent(email_exists)."""
    found = store.get_user_by_email(conn, email)
    if found is None:
        return None
    store.lock_user(conn, found.id)
    found = store.get_user(conn, found.id)
    if found is None or found.email_confirmed_at is not None:
        raise store.email_exists()
    return found


def _new(conn: Connection, email: str, password_hash: str | None, data: models.Metadata | None) -> rows.User:
    made = store.insert_user(conn, new_id(), email, password_hash, data or {}, is_confirmed=False)
    if made is None:
        raise store.email_exists()
    register(conn, made)
    return made


def _known(conn: Connection, admin: Caller, email: str) -> rows.User:
    """Raise NotFound(user_not_found), or Forbidden(admin_protected)."""
    found = store.get_user_by_email(conn, email)
    if found is None:
        raise NotFound("User with this email not found", code="user_not_found")
    found = lock_person(conn, found.id)  # who becomes an administrator just now is one
    require_no_admin(admin, found)
    return found


def _for_sign_up(conn: Connection, _: Caller, body: LinkWanted, password_hash: str | None) -> _Made:
    found = _unconfirmed(conn, body.email)
    if found is None:
        need(body.password, "password")
        return _Made(_new(conn, body.email, password_hash, body.data), kinds.SIGNUP, kinds.SIGNUP)
    # The password that was signed up with may be a stranger's: the one given here takes its place.
    after = store.update_user(conn, found.id, password_hash=password_hash, user_metadata=body.data) or found
    return _Made(after, kinds.SIGNUP, kinds.SIGNUP)


def _for_invitation(conn: Connection, _: Caller, body: LinkWanted, __: str | None) -> _Made:
    return _Made(_invited(conn, body.email, body.data), kinds.INVITE, kinds.INVITE)


def _for_magic_link(conn: Connection, admin: Caller, body: LinkWanted, _: str | None) -> _Made:
    if store.get_user_by_email(conn, body.email) is None:
        return _Made(_new(conn, body.email, None, body.data), kinds.SIGNUP, kinds.SIGNUP)
    return _Made(_known(conn, admin, body.email), kinds.MAGIC_LINK, kinds.MAGIC_LINK)


def _for_recovery(conn: Connection, admin: Caller, body: LinkWanted, _: str | None) -> _Made:
    return _Made(_known(conn, admin, body.email), kinds.RECOVERY, kinds.RECOVERY)


def _for_change(conn: Connection, admin: Caller, body: LinkWanted, _: str | None) -> _Made:
    """One of the two that have to agree; a change to yet another address voids what was asked before."""
    new_email, found = need(body.new_email, "new_email"), _known(conn, admin, body.email)
    if store.get_user_by_email(conn, new_email) is not None:
        raise store.email_exists()
    if found.new_email != new_email:
        store.delete_one_time_tokens(conn, found.id, kinds.EMAIL_CHANGE)
    asked = store.update_new_email(conn, found.id, new_email) or found
    return _Made(asked, body.type, body.type, new_email if body.type == kinds.EMAIL_CHANGE_NEW else None)


MAKE = {
    kinds.SIGNUP: _for_sign_up,
    kinds.INVITE: _for_invitation,
    kinds.MAGIC_LINK: _for_magic_link,
    kinds.RECOVERY: _for_recovery,
    kinds.EMAIL_CHANGE_CURRENT: _for_change,
    kinds.EMAIL_CHANGE_NEW: _for_change,
}
