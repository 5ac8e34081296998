"""Confirming an address: with the code of the mail in the app, or with its link in a browser."""

from uuid import UUID

from flask import Response

from services.auth import mails, models, pages, rows, store
from services.auth.metrics import VERIFICATIONS
from services.auth.parts import here
from services.auth.registration import confirm, rehearse
from services.auth.sessions import open_session, session_answer
from shared.errors import FieldError, Forbidden, ValidationFailed
from shared.postgres import Connection
from shared.routing import Blueprint, public

bp = Blueprint("confirmation", __name__, url_prefix="/auth/v1")


@bp.post("/verify")
@public
def verify(body: models.Verification) -> models.Session:
    """Confirm the address and log in, once."""
    with here.db.transaction() as conn:
        user_id = _consume(conn, body)
        user = _confirm(conn, user_id) if user_id else None
        user = store.update_signed_in(conn, user.id, password_hash=None) if user else None
        session = open_session(conn, user, "otp") if user else None
    # Only now, after the commit: a wrong try at a code must count.
    VERIFICATIONS.labels("succeeded" if session else "refused").inc()
    if user is None or session is None:
        raise Forbidden("Token has expired or is invalid", code="otp_expired")
    return session_answer(user, session)


@bp.get("/verify", status=200)
@public
def show_link(query: models.LinkQuery) -> Response:
    """What the link of a mail opens: a page with one button. Programs that scan mails open links, but press nothing."""
    return _ask(query, needs_password=_is_contested(query))


@bp.post("/verify/confirm", status=200)
@public
def confirm_by_link(form: models.LinkForm) -> Response:
    """What the button does. No session comes of it: the person logs in where the app is, not where the mail is."""
    password_hash = None
    if _is_contested(form):
        password = form.password.get_secret_value() if form.password else ""
        if len(password) < here.settings.password_min_length:
            return _ask(form, needs_password=True)
        password_hash = here.passwords.hash(password)  # slow on purpose: while no connection is held
    with here.db.transaction() as conn:
        secret = mails.hash_of_link(form.token_hash)
        user_id = store.consume_link(conn, mails.SIGNUP, secret, sets_password=password_hash is not None)
        is_confirmed = user_id is not None and _confirm(conn, user_id, password_hash) is not None
    VERIFICATIONS.labels("succeeded" if is_confirmed else "refused").inc()
    if not is_confirmed:
        return pages.expired()
    return pages.confirmed(here.settings.redirect_to(form.redirect_to))


@bp.post("/resend")
@public
def resend(query: models.RedirectQuery, body: models.Resend) -> models.Nothing:
    """Send the confirmation mail again, at most once an interval; the answer does not tell whether one was sent."""
    with here.db.transaction() as conn:
        user = mails.lock_recipient(conn, body.email)
        if user is not None and user.email_confirmed_at is None:
            mails.ask_to_confirm(conn, user, query.redirect_to)
        else:
            rehearse(conn, "", {})
    return models.Nothing()


def _is_contested(link: models.LinkQuery) -> bool:
    """True if whoever holds this link has to choose the password."""
    with here.db.transaction() as conn:
        return store.is_contested(conn, mails.SIGNUP, mails.hash_of_link(link.token_hash))


def _ask(link: models.LinkQuery, *, needs_password: bool) -> Response:
    min_length = here.settings.password_min_length if needs_password else None
    return pages.ask(link.token_hash, link.type, link.redirect_to, password_min_length=min_length)


def _consume(conn: Connection, body: models.Verification) -> UUID | None:
    if body.token_hash is not None:
        secret = body.token_hash.get_secret_value()
        return store.consume_link(conn, mails.SIGNUP, mails.hash_of_link(secret), sets_password=False)
    if body.email is None or body.token is None:
        missing = "#/email" if body.email is None else "#/token"
        detail = "Send token and email, or token_hash"
        raise ValidationFailed(f"{missing}: {detail}", errors=[FieldError(detail=detail, pointer=missing)])
    hashes = mails.hashes_of_code(mails.SIGNUP, body.email, body.token.get_secret_value())
    return store.consume_code(conn, mails.SIGNUP, body.email, hashes, wrong_per_day=here.settings.wrong_codes_per_day)


def _confirm(conn: Connection, user_id: UUID, password_hash: str | None = None) -> rows.User | None:
    user = store.update_email_confirmed(conn, user_id, password_hash)
    if user is not None:
        confirm(conn, user)
    return user
