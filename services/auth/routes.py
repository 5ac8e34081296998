"""Signing up and logging in."""

from functools import partial
from typing import Any

from services.auth import bodies, grants, guests, hooks, kinds, mails, models, phone_log_in, rows, store
from services.auth.alike import register_alike, send_alike
from services.auth.captcha_check import require_captcha
from services.auth.metrics import SIGN_UPS
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.pkce import Challenge
from services.auth.registration import as_signed_up, confirm, hash_of_sign_up, register
from services.auth.sessions import Also, nothing, open_session, session_answer
from shared.errors import UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, public

bp = Blueprint("auth", __name__, url_prefix="/auth/v1")


@bp.post("/signup")
@public
def sign_up(query: models.RedirectQuery, body: bodies.SignUp) -> models.SignUpAnswer:
    """Create a user, its event and its mail, all or none. For an address that is taken the answer is the same.

    Without address and password a guest comes in.
    """
    require_captcha(body)
    refusal = hooks.refusal_of_user(body.email, body.phone, body.data or {})
    if refusal is not None:
        raise refusal
    if body.phone is not None and body.email is None:
        return models.SignUpAnswer(models.User.of(phone_log_in.sign_up(body, body.phone)))
    if body.email is None and body.password is None:
        return models.SignUpAnswer(guests.enter(body))
    email, password = bodies.need(body.email, "email"), bodies.need(body.password, "password").get_secret_value()
    entered = sign_up_with_password(email, password, body.data or {}, query.redirect_to, body.challenge)
    return models.SignUpAnswer(session_answer(*entered) if isinstance(entered, tuple) else models.User.of(entered))


def sign_up_with_password(
    email: str,
    password: str,
    user_metadata: dict[str, Any],
    redirect_to: str | None = None,
    challenge: Challenge | None = None,
    also: Also = nothing,
) -> rows.User | tuple[rows.User, rows.Session]:
    """The user as anybody may see them, who has a mail to confirm; or, with AUTOCONFIRM, a session at once.

    Raise UnprocessableContent (weak_password; with AUTOCONFIRM also user_already_exists).
    """
    require_strong(password, here.settings.password_min_length, breaches_url=here.settings.breaches_url)
    if not here.settings.autoconfirm:
        mails.order(email)
    password_hash = hash_of_sign_up(email, password)  # slow on purpose: before a connection is held
    if here.settings.autoconfirm:
        return _enter(email, password_hash, user_metadata, also)
    answer = as_signed_up(email, user_metadata)
    with here.db.transaction() as conn:
        made = store.insert_user(conn, answer.id, email, password_hash, user_metadata, is_confirmed=False)
        SIGN_UPS.labels("created" if made else "repeated").inc()
        user = _who_confirms(conn, email, password_hash, user_metadata)
        register_alike(conn, made)
        send = partial(_ask_to_confirm, conn, redirect_to=redirect_to, challenge=challenge)
        send_alike(conn, user, send, None if made else user_metadata)
    return answer


def _enter(email: str, password_hash: str, user_metadata: dict[str, Any], also: Also) -> tuple[rows.User, rows.Session]:
    """Create a user whose address counts as confirmed, and let them in."""
    with here.db.transaction() as conn:
        user = store.insert_user(conn, new_id(), email, password_hash, user_metadata, is_confirmed=True)
        SIGN_UPS.labels("created" if user else "repeated").inc()
        if user is None:
            raise UnprocessableContent("User already registered", code="user_already_exists")
        register(conn, user)
        confirm(conn, user)
        mails.welcome(conn, user)
        user = store.update_signed_in(conn, user.id, password_hash=None) or user
        session = open_session(conn, user, "password")
        also(conn, session)
    return user, session


def _who_confirms(conn: Connection, email: str, password_hash: str, user_metadata: dict[str, Any]) -> rows.User | None:
    """Whom a sign-up sends a mail to: who has just been made, or who has the address already; nobody, if none may go.

    As long as nobody confirmed the address, nobody knows whose sign-up is the owner's, the first or the last. So with
    different passwords none counts: whoever has the mail chooses one. That holds even if no mail may go just now.
    """
    store.update_contested(conn, email, password_hash)
    user = mails.lock_recipient(conn, email, kinds.SIGNUP)
    waits = user is not None and user.email_confirmed_at is None
    user_id = user.id if user is not None and waits else new_id()
    return store.update_unconfirmed_user(conn, user_id, password_hash, user_metadata) or user


def _ask_to_confirm(conn: Connection, user: rows.User, *, redirect_to: str | None, challenge: Challenge | None) -> None:
    """The owner of an address that is confirmed learns that somebody signed up with it; the caller does not."""
    if user.email_confirmed_at is None or user.email is None:
        mails.send_secret(conn, user, kinds.SIGNUP, redirect_to=redirect_to, challenge=challenge)
    else:
        mails.tell_of_sign_up(conn, user)


@bp.post("/token")
@public
def grant_session(query: bodies.GrantQuery, body: bodies.Grant) -> models.Session:
    """Log in with a password, or exchange a refresh token for the next, or the code of a link (PKCE) for a session."""
    return grants.GRANTS[query.grant_type](body)
