"""Using a one-time secret: its code or hash in the app, or its link in a browser."""

from flask import Response

from services.auth import bodies, kinds, links, models, pages, rows, store
from services.auth.browser import require_own_page
from services.auth.codes import consume_code, count_guess, hash_of_link
from services.auth.failures import note_failed_log_in
from services.auth.metrics import VERIFICATIONS
from services.auth.pages.reasons import reason
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.sessions import Also, nothing, open_session, session_answer
from services.auth.verification import complete
from shared.errors import Forbidden, UnprocessableContent
from shared.postgres import Connection
from shared.routing import Blueprint, public

bp = Blueprint("confirmation", __name__, url_prefix="/auth/v1")


@bp.post("/verify")
@public
def verify(body: bodies.Verification) -> models.Verified:
    """Do what the secret is for and log in, once; of the two that change an address the second one logs in."""
    entered = enter_by_secret(body)
    return models.Verified(session_answer(*entered) if entered else models.Halfway())


def enter_by_secret(body: bodies.Verification, also: Also = nothing) -> tuple[rows.User, rows.Session] | None:
    """Do what the secret is for; a session, and what `also` does with it. None if it is half of a change.

    Raise Forbidden(otp_expired), or TooManyRequests.
    """
    if body.token_hash is None:
        count_guess()
    with here.db.transaction() as conn:
        consumed = _consume(conn, body)
        user = complete(conn, consumed) if consumed else None
        user = store.update_signed_in(conn, user.id, password_hash=None) if user else None
        session = open_session(conn, user, "otp") if user else None
        if session:
            also(conn, session)
    # Only now, after the commit: a wrong try at a code must count.
    VERIFICATIONS.labels("succeeded" if consumed else "refused").inc()
    if consumed is None:
        _note_wrong_code(body)
        raise Forbidden("Token has expired or is invalid", code="otp_expired")
    return (user, session) if user and session else None


@bp.get("/verify", status=200)
@public
def show_link(query: bodies.LinkQuery) -> Response:
    """What the link of a mail opens: a page with one button. Programs that scan mails open links, but press nothing."""
    return _ask(query, here.settings.places.choose(query.redirect_to))


@bp.post("/verify/confirm", status=200)
@public
def confirm_by_link(form: bodies.LinkForm) -> Response:
    """What the button does; it leads on to the app with a session, or with a code if the app sent a challenge.

    Where there is no place to lead to no session comes of it: the person logs in where the app is.
    """
    try:
        require_own_page(hides_origin=True)
    except Forbidden as refusal:
        return pages.answer_problem(refusal)
    place = here.settings.places.choose(form.redirect_to)
    password_hash = None
    if _sets_password(form, place):
        password = form.password.get_secret_value() if form.password else ""
        try:
            require_strong(password, here.settings.password_min_length, breaches_url=here.settings.breaches_url)
        except UnprocessableContent as weak:  # the link is not used up: the page asks once more
            return _ask(form, place, refused=reason(weak))
        password_hash = here.passwords.hash(password)  # slow on purpose: while no connection is held
    with here.db.transaction() as conn:
        taken, secret = kinds.TAKEN_BY[form.type], hash_of_link(form.token_hash)
        consumed = store.consume_link(conn, taken, secret, sets_password=password_hash is not None)
        onward = links.enter(conn, consumed, complete(conn, consumed, password_hash), place) if consumed else None
    VERIFICATIONS.labels("succeeded" if onward else "refused").inc()
    return onward() if onward else pages.expired(links.refused(place))


def _ask(link: bodies.LinkQuery, place: str | None, *, refused: str = "") -> Response:
    if link.type == kinds.MAGIC_LINK and place is None:
        return pages.type_the_code()
    min_length = here.settings.password_min_length if _sets_password(link, place) else None
    contested = _is_contested(link)
    return pages.ask(
        link.token_hash, link.type, place, password_min_length=min_length, is_contested=contested, refused=refused
    )


def _sets_password(link: bodies.LinkQuery, place: str | None) -> bool:
    """True if the page asks for a password: where no app could, or where none that was signed up with counts."""
    return (link.type in (kinds.RECOVERY, kinds.INVITE) and place is None) or _is_contested(link)


def _is_contested(link: bodies.LinkQuery) -> bool:
    with here.db.transaction() as conn:
        return store.is_contested(conn, hash_of_link(link.token_hash))


def _note_wrong_code(body: bodies.Verification) -> None:
    """The wrong code of an address is a failure to log in; a link that nobody knows is nobody's."""
    address = body.phone if body.type in (kinds.SMS, kinds.PHONE_CHANGE) else body.email
    if address is None or body.token_hash is not None:
        return
    with here.db.transaction() as conn:
        find = store.get_user_by_email if "@" in address else store.get_user_by_phone
        user = find(conn, address)
    note_failed_log_in(address, user, "otp", "otp_expired")


def _consume(conn: Connection, body: bodies.Verification) -> store.Consumed | None:
    if body.token_hash is not None:
        return store.consume_link(conn, kinds.TAKEN_BY[body.type], hash_of_link(body.token_hash.get_secret_value()))
    is_text = body.type in (kinds.SMS, kinds.PHONE_CHANGE)
    address = bodies.need(body.phone, "phone") if is_text else bodies.need(body.email, "email")
    token = bodies.need(body.token, "token").get_secret_value()
    return consume_code(conn, kinds.TAKEN_BY[body.type], address, token)
