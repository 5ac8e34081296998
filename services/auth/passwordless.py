"""Asking for a mail: to log in without a password, to set a new one, or once more what was mailed before.

None of the answers tells whether there is a user with the address, whether one was made, or whether a mail was sent.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from services.auth import bodies, hooks, kinds, mails, models, phone_log_in, rows, store
from services.auth.alike import register_alike, send_alike
from services.auth.captcha_check import require_captcha
from services.auth.parts import here
from services.auth.pkce import Challenge
from shared.errors import BadRequest, Problem
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, public

bp = Blueprint("passwordless", __name__, url_prefix="/auth/v1")


@bp.post("/otp")
@public
def send_otp(query: models.RedirectQuery, body: bodies.Otp) -> models.Nothing:
    """Send a code and a link that log in; a user is made unless `create_user` is false."""
    if body.email is not None and body.phone is not None:
        raise BadRequest("Only an email address or phone number should be provided", code="validation_failed")
    challenge, makes_user = body.challenge, body.create_user is not False
    require_captcha(body)
    refusal = hooks.refusal_of_user(body.email, body.phone, body.data or {}) if makes_user else None
    if body.phone is not None:
        phone_log_in.send_otp(body, body.phone, refusal)
    else:
        email = bodies.need(body.email, "email")
        _send_magic_link(_Wish(email, body.data or {}, query.redirect_to, challenge, makes_user, refusal))
    return models.Nothing()


@bp.post("/magiclink")
@public
def send_magic_link(query: models.RedirectQuery, body: bodies.MagicLink) -> models.Nothing:
    """The same, as older clients ask for it."""
    challenge = body.challenge
    require_captcha(body)
    refusal = hooks.refusal_of_user(body.email, None, body.data or {})
    _send_magic_link(_Wish(body.email, body.data or {}, query.redirect_to, challenge, True, refusal))
    return models.Nothing()


@bp.post("/recover")
@public
def recover(query: models.RedirectQuery, body: bodies.Recovery) -> models.Nothing:
    """Send a code and a link to somebody who forgot the password."""
    challenge = body.challenge
    require_captcha(body)
    send_recovery(body.email, redirect_to=query.redirect_to, challenge=challenge)
    return models.Nothing()


@bp.post("/resend")
@public
def resend(query: models.RedirectQuery, body: bodies.Resend) -> models.Nothing:
    """Send the mails of a sign-up or of a change of address again, at most once an interval."""
    challenge = body.challenge
    require_captcha(body)
    if body.type in (kinds.SMS, kinds.PHONE_CHANGE):
        phone_log_in.resend(bodies.need(body.phone, "phone"), body.type)
        return models.Nothing()
    email = bodies.need(body.email, "email")
    kind = kinds.EMAIL_CHANGE_CURRENT if body.type == "email_change" else kinds.SIGNUP
    mails.order(email)
    with here.db.transaction() as conn:
        user = mails.lock_recipient(conn, email, kind)
        if kind == kinds.SIGNUP:
            waiting = user if user is not None and user.email_confirmed_at is None else None
            secret = partial(mails.send_secret, conn, kind=kind, redirect_to=query.redirect_to, challenge=challenge)
            send_alike(conn, waiting, secret)
        else:
            changing = user if user is not None and user.new_email is not None else None
            change = partial(mails.send_change, conn, redirect_to=query.redirect_to, challenge=challenge)
            send_alike(conn, changing, change)
    return models.Nothing()


def send_recovery(email: str, *, redirect_to: str | None = None, challenge: Challenge | None = None) -> None:
    """Mail a code and a link to the user with this address, if there is one; to nobody else, with the same work."""
    mails.order(email)
    with here.db.transaction() as conn:
        user = mails.lock_recipient(conn, email, kinds.RECOVERY)
        secret = partial(mails.send_secret, conn, kind=kinds.RECOVERY, redirect_to=redirect_to, challenge=challenge)
        send_alike(conn, user, secret)


def send_code_to_user(email: str) -> None:
    """Mail a code that logs in to the user with this address; no user is made."""
    _send_magic_link(_Wish(email, {}, None, None, False, None))


@dataclass(frozen=True)
class _Wish:
    """For whom a magic link is wished; `refusal` is why the operator wants no new user with this address."""

    email: str
    user_metadata: dict[str, Any]
    redirect_to: str | None
    challenge: Challenge | None
    makes_user: bool
    refusal: Problem | None


def _send_magic_link(wish: _Wish) -> None:
    mails.order(wish.email)
    with here.db.transaction() as conn:
        user = _recipient(conn, wish)
        secret = partial(
            mails.send_secret,
            conn,
            kind=kinds.MAGIC_LINK,
            redirect_to=wish.redirect_to,
            challenge=wish.challenge,
            user_metadata=wish.user_metadata,
        )
        send_alike(conn, user, secret)


def _recipient(conn: Connection, wish: _Wish) -> rows.User | None:
    """Whom to send a magic link, if anybody. A new user has no password."""
    if wish.makes_user and wish.refusal is None:
        made = store.insert_user(conn, new_id(), wish.email, None, wish.user_metadata, is_confirmed=False)
        register_alike(conn, made)
    if wish.refusal is not None and store.get_user_by_email(conn, wish.email) is None:
        raise wish.refusal
    # A sign-up that waits for its confirmation may be a stranger's: its code must not do for the one that is asked for.
    store.update_contested(conn, wish.email, None)
    return mails.lock_recipient(conn, wish.email, kinds.MAGIC_LINK)
