"""Where the button of a link leads: to the app, with a session in the fragment or a code in the query (PKCE)."""

from collections.abc import Callable

from flask import Response

from services.auth import kinds, models, pages, rows, store
from services.auth.codes import make_auth_code
from services.auth.places import with_fragment, with_query
from services.auth.sessions import open_session, session_answer
from shared.postgres import Connection

Onward = Callable[[], Response]


def enter(conn: Connection, consumed: store.Consumed, user: rows.User | None, place: str | None) -> Onward:
    """What to answer once the transaction is committed."""
    if user is None:
        return _halfway(consumed, place)
    if place is None:
        return lambda: pages.done(consumed.kind)
    if consumed.challenge is not None:
        code = make_auth_code(conn, user.id, kinds.METHOD[consumed.kind], consumed.challenge)
        return lambda: pages.lead_to(with_query(place, {"code": code}))
    entered = store.update_signed_in(conn, user.id, password_hash=None) or user
    session = open_session(conn, entered, "otp")
    return lambda: pages.lead_to(
        with_fragment(
            place, {**in_fragment(session_answer(entered, session)), "type": kinds.TYPE_OF_LINK[consumed.kind]}
        )
    )


def refused(place: str | None) -> str | None:
    """The place, with the error that clients look for."""
    if place is None:
        return None
    error = {
        "error": "access_denied",
        "error_code": "otp_expired",
        "error_description": "Email link is invalid or has expired",
    }
    return with_fragment(place, error)


def _halfway(consumed: store.Consumed, place: str | None) -> Onward:
    message = {"message": models.Halfway().msg}
    if place is None:
        return lambda: pages.halfway(None)
    onward = with_fragment(with_query(place, message) if consumed.challenge else place, message)
    return lambda: pages.halfway(onward)


def in_fragment(session: models.Session) -> dict[str, object]:
    """As clients look for it."""
    return {
        "access_token": session.access_token,
        "expires_at": session.expires_at,
        "expires_in": session.expires_in,
        "refresh_token": session.refresh_token,
        "token_type": session.token_type,
    }
