"""The caller's own account."""

from services.auth import bodies, kinds, mails, models, rows, store, texts
from services.auth.alerts import alert
from services.auth.assurance import require_caller, require_step_up
from services.auth.audit import note
from services.auth.endings import end_sessions
from services.auth.message_caps import admit_mail, admit_sms
from services.auth.new_password import new_password_hash
from services.auth.parts import here
from services.auth.pkce import Challenge
from services.auth.registration import confirm
from services.auth.sessions import require_user
from services.auth.throttles import count_try
from shared.errors import TooManyRequests, Unauthorized, UnprocessableContent
from shared.postgres import Connection
from shared.routing import Blueprint, caller, user

bp = Blueprint("users", __name__, url_prefix="/auth/v1")


@bp.get("/user")
@user
def get_user() -> models.User:
    """The caller, as long as the session of the token is alive."""
    with here.db.single() as conn:
        owner = require_user(conn)
    return models.User.of(owner)


@bp.get("/reauthenticate")
@user
def reauthenticate() -> models.Nothing:
    """Send the caller the nonce that a new password may need."""
    with here.db.transaction() as conn:
        owner = require_user(conn)
        if owner.email_confirmed_at is None and owner.phone_confirmed_at is None:
            raise UnprocessableContent("There is no address to send a nonce to.", code="validation_failed")
        locked = _may_get_mail(conn, owner, kinds.REAUTHENTICATION)
        if owner.email_confirmed_at is not None:
            admit_mail(conn, owner.email or "")
            mails.send_secret(conn, locked, kinds.REAUTHENTICATION)
        else:
            admit_sms(conn, owner.phone or "")
            texts.send_code(conn, locked, kinds.REAUTHENTICATION, owner.phone or "", None)
    return models.Nothing()


@bp.put("/user")
@user
def change_user(query: models.RedirectQuery, body: bodies.UserChange) -> models.User:
    """Change password, metadata or address.

    A new password ends every other session, and this one if asked (`end_this_session`); a new address counts when the
    old one and the new one have both confirmed it.
    """
    with here.db.transaction() as conn:
        before = require_user(conn)
        new_email = body.email if body.email and body.email != before.email else None
        new_phone = body.phone if body.phone and body.phone != before.phone else None
        if (body.password or new_email or new_phone) and not before.is_anonymous:
            require_step_up(require_caller(conn), "update email or password when MFA is enabled", Unauthorized)
    if new_email or new_phone:
        count_try(f"address {before.id}", tries=here.settings.log_in_tries)
    if new_email:
        mails.order(new_email)
    if new_phone:
        texts.order_sms(new_phone)
    gets_address = bool(new_email or new_phone)
    password_hash = new_password_hash(before, body, gets_address=gets_address) if body.password else None
    with here.db.transaction() as conn:
        store.lock_user(conn, before.id)  # two sessions that change the password at once take turns,
        require_user(conn)  # and the one that was ended by the other changes nothing
        after = store.update_user(conn, before.id, password_hash=password_hash, user_metadata=body.data)
        if after is None:
            raise UnprocessableContent("The account is gone.", code="user_not_found")
        models.require_fitting(after.user_metadata)
        if password_hash is not None:
            end_sessions(
                conn, before.id, "password_changed", but=None if body.end_this_session else caller().session_id
            )
            alert(conn, before, "password_changed", session_id=caller().session_id)
            store.delete_one_time_tokens(conn, before.id, [kinds.RECOVERY])
        if new_email is not None:
            after = _change_email(conn, after, new_email, query.redirect_to, body.challenge)
        if new_phone is not None:
            after = _change_phone(conn, after, new_phone, body.channel)
    return models.User.of(after)


def _change_email(
    conn: Connection, owner: rows.User, new_email: str, redirect_to: str | None, challenge: Challenge | None
) -> rows.User:
    """Ask both addresses. Whoever has a session may learn that one is taken (`email_exists`), as clients expect."""
    if store.get_user_by_email(conn, new_email) is not None:
        raise store.email_exists()
    _may_get_mail(conn, owner, kinds.EMAIL_CHANGE_NEW)
    asked = store.update_new_email(conn, owner.id, new_email) or owner
    if owner.is_anonymous and here.settings.autoconfirm:
        changed = store.update_email_changed(conn, owner.id)
        note(conn, "user.email_changed", owner.id)
        confirm(conn, changed)
        return changed
    return mails.send_change(conn, asked, redirect_to=redirect_to, challenge=challenge)


def _change_phone(conn: Connection, owner: rows.User, new_phone: str, channel: str | None) -> rows.User:
    """Ask the new number."""
    if store.get_user_by_phone(conn, new_phone) is not None:
        raise store.phone_exists()
    _may_get_mail(conn, owner, kinds.PHONE_CHANGE)
    asked = store.update_new_phone(conn, owner.id, new_phone) or owner
    return texts.send_code(conn, asked, kinds.PHONE_CHANGE, new_phone, channel)


def _may_get_mail(conn: Connection, owner: rows.User, kind: str) -> rows.User:
    """The caller, locked. Raise TooManyRequests(over_email_send_rate_limit)."""
    locked = mails.lock_own_recipient(conn, owner.id, kind)
    if locked is None:
        raise TooManyRequests(
            "For security purposes, you can only request this once in a while.",
            code="over_sms_send_rate_limit" if kind == kinds.PHONE_CHANGE else "over_email_send_rate_limit",
            retry_after_s=max(here.settings.mail_interval_s, 1),
        )
    return locked
