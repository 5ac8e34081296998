"""Sessions: opened, listed by their owner, ended. The gateway and notify hear of every one that ends early."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import request

from services.auth import hooks, models, rows, session_models, store
from services.auth.audit import note
from services.auth.devices import device_of
from services.auth.endings import end_sessions, end_surplus_sessions
from services.auth.new_devices import recognise
from services.auth.parts import here
from services.auth.throttles import place_of
from services.auth.tokens import OF_IMPERSONATION, OF_SESSION, encode_refresh_token, mint_access_token
from shared import outbox
from shared.contracts import SessionCreated
from shared.errors import BadRequest, NotFound, Unauthorized
from shared.postgres import Connection
from shared.routing import Blueprint, caller, user

bp = Blueprint("sessions", __name__, url_prefix="/auth/v1")

# What is to be done with a new session in the transaction that opens it.
Also = Callable[[Connection, rows.Session], object]


def nothing(conn: Connection, session: rows.Session) -> None:
    """Nothing: who logged in keeps the tokens."""


def open_session(conn: Connection, user: rows.User, method: str, *, provider: str | None = None) -> rows.Session:
    """A new session for the device that is asking; `method` says how it logged in (RFC 8176 where it has a word), and
    `provider` with whose account.

    Raise BadRequest(user_banned), which takes back what the log-in has done so far.
    """
    if user.is_banned:
        raise BadRequest("User is banned", code="user_banned")
    amr: list[dict[str, object]] = [{"method": method, "timestamp": int(datetime.now(UTC).timestamp())}]
    if provider is not None:
        amr[0]["provider"] = provider
    session = store.insert_session(conn, user.id, device_of(request), amr)
    store.update_places(conn, user.id, place_of(user.id))
    end_surplus_sessions(conn, user.id, keep=here.settings.sessions_per_user)
    outbox.add(conn, SessionCreated(session_id=session.id, user_id=user.id, created_at=session.created_at))
    is_new = recognise(conn, user, session)
    how = {"method": method, "provider": provider, "new_device": is_new}
    note(conn, "session.opened", user.id, or_by=user.id, session_id=session.id, details=how)
    return session


def session_answer(user: rows.User, session: rows.Session) -> models.Session:
    """What the client keeps: fresh tokens. Not while a connection is held, for the key may have to be read."""
    access = mint_access_token(here.settings, here.keys.signing_key(), user, session, hooks.more_claims)
    purpose = OF_SESSION if session.impersonated_by is None else OF_IMPERSONATION
    return models.Session(
        access_token=access.token,
        expires_in=access.expires_in,
        expires_at=access.expires_at,
        refresh_token=encode_refresh_token(here.sealer, session.id, session.refresh_issued, purpose),
        user=models.User.of(user),
    )


def require_user(conn: Connection) -> rows.User:
    """The caller, whose session must be alive in this very transaction. Raise Unauthorized(session_not_found)."""
    claims = caller()
    user = store.get_user_of_session(conn, claims.user_id, claims.session_id)
    if user is None:
        raise Unauthorized("The session of this token has ended.", code="session_not_found")
    return user


@bp.get("/sessions")
@user
def list_sessions(query: session_models.SessionsQuery) -> session_models.SessionPage:
    """The caller's living sessions, newest first."""
    with here.db.transaction() as conn:
        owner = require_user(conn)
        found = store.list_sessions(conn, owner.id, before=query.cursor, limit=query.limit + 1)
    return session_models.SessionPage.of(found, query.limit, current=caller().session_id)


@bp.patch("/sessions/<session_id>")
@user
def name_session(path: session_models.SessionPath, body: session_models.SessionChange) -> session_models.SessionItem:
    """Give one of the caller's sessions a name to know it by."""
    with here.db.transaction() as conn:
        owner = require_user(conn)
        session = store.update_session_name(conn, owner.id, path.session_id, body.device_name)
    if session is None:
        raise NotFound("You have no such session.", code="session_not_found")
    return session_models.SessionItem.of(session, current=caller().session_id)


@bp.delete("/sessions/<session_id>")
@user
def end_session(path: session_models.SessionPath) -> None:
    """End one of the caller's sessions; its access tokens are refused at the gateway at once."""
    with here.db.transaction() as conn:
        owner = require_user(conn)
        if not end_sessions(conn, owner.id, "ended_by_user", only=path.session_id):
            raise NotFound("You have no such session.", code="session_not_found")


@bp.post("/logout")
@user
def log_out(query: models.LogoutQuery) -> None:
    """End every session of the caller, this one (`local`), or all but this one (`others`).

    Who acts for somebody else ends no session of theirs, only the one it is done in.
    """
    with here.db.transaction() as conn:
        owner = require_user(conn)
        current = caller().session_id
        only, but = {"global": (None, None), "local": (current, None), "others": (None, current)}[
            "local" if caller().act else query.scope
        ]
        end_sessions(conn, owner.id, "logout", only=only, but=but)
