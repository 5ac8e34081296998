"""Guests: people without an address. They come in by `signup` with neither address nor number, become an account of
their own by `PUT /user`, or part of one that exists by `merge`."""

from datetime import UTC, datetime

from flask import current_app

from services.auth import bodies, models, rows, store
from services.auth.audit import note
from services.auth.endings import end_sessions
from services.auth.metrics import SIGN_UPS
from services.auth.parts import here
from services.auth.registration import register
from services.auth.sessions import open_session, require_user, session_answer
from services.auth.throttles import count_try
from shared import outbox
from shared.contracts import UserDeletionRequested, UserMerged
from shared.errors import FieldError, UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, caller, user
from shared.tokens import Claims

bp = Blueprint("guests", __name__, url_prefix="/auth/v1")


def enter(body: bodies.SignUp) -> models.Session:
    """A new guest, let in at once. Raise UnprocessableContent(anonymous_provider_disabled) or TooManyRequests."""
    if not here.settings.guests:
        raise UnprocessableContent("Anonymous sign-ins are disabled", code="anonymous_provider_disabled")
    count_try("guest", tries=here.settings.guests_per_place)
    with here.db.transaction() as conn:
        guest = store.insert_guest(conn, new_id(), body.data or {})
        register(conn, guest)
        session = open_session(conn, guest, "anonymous")
    SIGN_UPS.labels("guest").inc()
    return session_answer(guest, session)


@bp.post("/merge")
@user
def merge(body: bodies.Merge) -> models.User:
    """Make a guest part of the caller's account: what the guest had in every service becomes the caller's.

    `guest_token` is an access token of the guest, whose session must be alive: who sends both owns both. The guest's
    sessions end; a device that the guest registered goes on under the caller's session. Asked for again, the answer
    is the same.
    """
    guest = current_app.extensions["verifier"].verify(body.guest_token.get_secret_value())
    if guest.act is not None:
        raise _refused("Who acts for a guest cannot give away what is theirs.", "impersonated")
    with here.db.transaction() as conn:
        for user_id in sorted({caller().user_id, guest.user_id}):
            store.lock_user(conn, user_id)
        kept = require_user(conn)
        if not _is_done(conn, guest, kept):
            _merge(conn, _require_guest(conn, guest, kept), kept)
    return models.User.of(kept)


def forget_gone(conn: Connection, *, kept_s: int, limit: int) -> int:
    """Delete guests who cannot come back and have the other services delete what they keep of them; how many."""
    gone = store.delete_gone_guests(conn, kept_s=kept_s, limit=limit)
    now = datetime.now(UTC)
    if gone:
        for guest in gone:
            note(conn, "user.deleted", guest.id)
        outbox.add(
            conn, *(UserDeletionRequested(user_id=guest.id, reason="guest_gone", requested_at=now) for guest in gone)
        )
    return len(gone)


def _is_done(conn: Connection, guest: Claims, kept: rows.User) -> bool:
    done = store.get_merge(conn, guest.user_id)
    return done is not None and done.user_id == kept.id


def _require_guest(conn: Connection, claims: Claims, kept: rows.User) -> rows.User:
    guest = store.get_user_of_session(conn, claims.user_id, claims.session_id)
    if kept.is_anonymous:
        raise UnprocessableContent("A guest cannot keep another one: log in to an account.", code="merge_into_guest")
    if guest is None:
        raise _refused("The session of the guest has ended.", "guest_session_not_found")
    if not guest.is_anonymous:
        raise _refused("This is no guest: accounts are not merged.", "not_a_guest")
    return guest


def _merge(conn: Connection, guest: rows.User, kept: rows.User) -> None:
    end_sessions(conn, guest.id, "ended_by_user", continued_by=caller().session_id)
    done = store.insert_merge(conn, guest.id, kept.id)
    note(conn, "user.merged", kept.id, guest=str(guest.id))
    outbox.add(conn, UserMerged(user_id=kept.id, merged_user_id=guest.id, merged_at=done.merged_at))


def _refused(detail: str, code: str) -> UnprocessableContent:
    return UnprocessableContent(detail, code=code, errors=[FieldError(detail=detail, pointer="#/guest_token")])
