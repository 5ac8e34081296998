"""Asking for a mail: to log in without a password, to set a new one, or once more what was mailed before.

None of the answers tells whether there is a user with the address, whether one was made, or whether a mail was sent.
"""

from typing import Any

from services.auth import bodies, kinds, mails, models, rows, store
from services.auth.parts import here
from services.auth.registration import register, rehearse
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, public

bp = Blueprint("passwordless", __name__, url_prefix="/auth/v1")


@bp.post("/otp")
@public
def send_otp(query: models.RedirectQuery, body: bodies.Otp) -> models.Nothing:
    """Send a code and a link that log in; a user is made unless `create_user` is false."""
    _send_magic_link(query, body, body.data or {}, makes_user=body.create_user is not False)
    return models.Nothing()


@bp.post("/magiclink")
@public
def send_magic_link(query: models.RedirectQuery, body: bodies.MagicLink) -> models.Nothing:
    """The same, as older clients ask for it."""
    _send_magic_link(query, body, body.data or {}, makes_user=True)
    return models.Nothing()


@bp.post("/recover")
@public
def recover(query: models.RedirectQuery, body: bodies.Recovery) -> models.Nothing:
    """Send a code and a link to somebody who forgot the password."""
    challenge = body.challenge
    with here.db.transaction() as conn:
        user = mails.lock_recipient(conn, body.email, kinds.RECOVERY)
        if user is None:
            rehearse(conn, kinds.RECOVERY)
        else:
            mails.send_secret(conn, user, kinds.RECOVERY, redirect_to=query.redirect_to, challenge=challenge)
    return models.Nothing()


@bp.post("/resend")
@public
def resend(query: models.RedirectQuery, body: bodies.Resend) -> models.Nothing:
    """Send the mails of a sign-up or of a change of address again, at most once an interval."""
    challenge = body.challenge
    kind = kinds.EMAIL_CHANGE_CURRENT if body.type == "email_change" else kinds.SIGNUP
    with here.db.transaction() as conn:
        user = mails.lock_recipient(conn, body.email, kind)
        if user is not None and kind == kinds.SIGNUP and user.email_confirmed_at is None:
            mails.send_secret(conn, user, kind, redirect_to=query.redirect_to, challenge=challenge)
        elif user is not None and kind == kinds.EMAIL_CHANGE_CURRENT and user.new_email is not None:
            mails.send_change(conn, user, redirect_to=query.redirect_to, challenge=challenge)
        else:
            rehearse(conn, kind)
    return models.Nothing()


def _send_magic_link(
    query: models.RedirectQuery, body: bodies.PkceBody, user_metadata: dict[str, Any], *, makes_user: bool
) -> None:
    challenge, email = body.challenge, body.email  # type: ignore[attr-defined]
    with here.db.transaction() as conn:
        user = _recipient(conn, email, user_metadata, makes_user=makes_user)
        if user is None:
            rehearse(conn, kinds.MAGIC_LINK, None, user_metadata)
        else:
            mails.send_secret(
                conn,
                user,
                kinds.MAGIC_LINK,
                redirect_to=query.redirect_to,
                challenge=challenge,
                user_metadata=user_metadata,
            )


def _recipient(conn: Connection, email: str, user_metadata: dict[str, Any], *, makes_user: bool) -> rows.User | None:
    """Whom to send a magic link, if anybody. A new user has no password."""
    made = makes_user and store.insert_user(conn, new_id(), email, None, user_metadata, is_confirmed=False)
    if made:
        register(conn, made)
        return made
    return mails.lock_recipient(conn, email, kinds.MAGIC_LINK)
