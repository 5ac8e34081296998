"""Signing up and logging in."""

from services.auth import bodies, grants, kinds, mails, models, store
from services.auth.metrics import SIGN_UPS
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.registration import as_signed_up, confirm, hash_of_sign_up, register, rehearse
from services.auth.sessions import open_session, session_answer
from shared.errors import UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, public

bp = Blueprint("auth", __name__, url_prefix="/auth/v1")


@bp.post("/signup")
@public
def sign_up(query: models.RedirectQuery, body: bodies.SignUp) -> models.SignUpAnswer:
    """Create a user, its event and its mail, all or none. For an address that is taken the answer is the same."""
    password = body.password.get_secret_value()
    body.challenge  # noqa: B018
    require_strong(password, here.settings.password_min_length)
    password_hash = hash_of_sign_up(body.email, password)  # slow on purpose: before a connection is held
    if here.settings.autoconfirm:
        return models.SignUpAnswer(_enter(body, password_hash))
    answer = as_signed_up(body.email, body.data or {})
    with here.db.transaction() as conn:
        user = store.insert_user(conn, answer.id, body.email, password_hash, body.data or {}, is_confirmed=False)
        SIGN_UPS.labels("created" if user else "repeated").inc()
        if user is None:
            _sign_up_again(conn, query, body, password_hash)
        else:
            register(conn, user)
            mails.send_secret(conn, user, kinds.SIGNUP, redirect_to=query.redirect_to, challenge=body.challenge)
    return models.SignUpAnswer(models.User.of(answer))


def _enter(body: bodies.SignUp, password_hash: str) -> models.Session:
    """Create a user whose address counts as confirmed, and let them in."""
    with here.db.transaction() as conn:
        user = store.insert_user(conn, new_id(), body.email, password_hash, body.data or {}, is_confirmed=True)
        SIGN_UPS.labels("created" if user else "repeated").inc()
        if user is None:
            raise UnprocessableContent("User already registered", code="user_already_exists")
        register(conn, user)
        confirm(conn, user)
        mails.welcome(conn, user)
        user = store.update_signed_in(conn, user.id, password_hash=None) or user
        session = open_session(conn, user, "password")
    return session_answer(user, session)


def _sign_up_again(conn: Connection, query: models.RedirectQuery, body: bodies.SignUp, password_hash: str) -> None:
    """The address is taken: its owner learns of it by mail, the caller does not.

    As long as nobody confirmed the address, nobody knows whose sign-up is the owner's, the first or the last. So with
    different passwords none counts: whoever has the mail chooses one. That holds even if no mail may go just now.
    """
    store.update_contested(conn, body.email, password_hash)
    existing = mails.lock_recipient(conn, body.email, kinds.SIGNUP)
    if existing is not None and existing.email_confirmed_at is None:
        replaced = store.update_unconfirmed_user(conn, existing.id, password_hash, body.data or {})
        mails.send_secret(
            conn, replaced or existing, kinds.SIGNUP, redirect_to=query.redirect_to, challenge=body.challenge
        )
    else:
        rehearse(conn, kinds.SIGNUP, password_hash, body.data)
    if existing is not None and existing.email_confirmed_at is not None:
        mails.tell_of_sign_up(conn, existing)


@bp.post("/token")
@public
def grant_session(query: bodies.GrantQuery, body: bodies.Grant) -> models.Session:
    """Log in with a password, or exchange a refresh token for the next, or the code of a link (PKCE) for a session."""
    return grants.GRANTS[query.grant_type](body)
