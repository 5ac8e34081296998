"""Exchanging a refresh token: one statement for the usual case, the rule of `rotation.py` for every other."""

import logging

from flask import request

from services.auth import mails, models, rows, store
from services.auth.devices import device_of
from services.auth.endings import end_sessions
from services.auth.metrics import REFRESHES
from services.auth.parts import here
from services.auth.rotation import Verdict, judge
from services.auth.sessions import session_answer
from services.auth.tokens import OF_IMPERSONATION, RefreshToken, decode_refresh_token
from shared.errors import BadRequest
from shared.postgres import Connection

log = logging.getLogger(__name__)
Found = tuple[rows.User, rows.Session]

# Codes and statuses are those of supabase/auth: clients act on them.
REFUSALS = {
    Verdict.UNKNOWN: ("Invalid Refresh Token: Refresh Token Not Found", "refresh_token_not_found"),
    Verdict.ENDED: ("Invalid Refresh Token: the session has ended", "session_not_found"),
    Verdict.BANNED: ("User is banned", "user_banned"),
    Verdict.EXPIRED: ("Invalid Refresh Token: the session has expired", "session_expired"),
    Verdict.REUSE: ("Invalid Refresh Token: Already Used", "refresh_token_already_used"),
}


def exchange(refresh_token: str) -> models.Session:
    """Fresh tokens of the session that this token names. Raise BadRequest with the code that clients know."""
    token = decode_refresh_token(here.sealer, refresh_token) or decode_refresh_token(
        here.sealer, refresh_token, OF_IMPERSONATION
    )
    if token is None:
        raise _refused(Verdict.UNKNOWN)
    with here.db.single() as conn:
        found = store.rotate_newest(
            conn,
            token.session_id,
            token.number,
            device_of(request),
            idle_s=here.settings.session_idle_s,
            lifetime_s=here.settings.session_lifetime_s,
        )
    verdict, found = (Verdict.ROTATE, found) if found else _judged(token)
    if found is None:
        raise _refused(verdict)
    REFRESHES.labels(verdict.value).inc()
    return session_answer(*found)


def _judged(token: RefreshToken) -> tuple[Verdict, Found | None]:
    """What a token that is not the newest means, with its effect committed: the end of a session must not be undone by
    the refusal that it causes. Refreshes of one session take turns at its row."""
    with here.db.transaction() as conn:
        session = store.lock_session(conn, token.session_id)
        verdict = _judge(session, token.number) if session else Verdict.UNKNOWN
        if session is not None and verdict in (Verdict.ROTATE, Verdict.REISSUE):
            store.update_refreshed(conn, session.id, issued=session.refresh_issued + 1, accepted=token.number)
        elif session is not None and verdict is Verdict.REUSE:
            _end_family(conn, session)
        elif session is not None and verdict is Verdict.ENDED:
            owner = store.get_user(conn, session.user_id)
            verdict = Verdict.BANNED if owner is not None and owner.is_banned else verdict
        is_refused = verdict in REFUSALS
        return verdict, None if is_refused else store.get_session_and_user(conn, token.session_id)


def _end_family(conn: Connection, session: rows.LockedSession) -> None:
    """Two hold tokens of this session, and nobody knows which one is the owner: it ends for both, with a mail."""
    end_sessions(conn, session.user_id, "reuse_detected", only=session.id)
    owner = store.get_user(conn, session.user_id)
    if owner is not None and owner.email_confirmed_at is not None:
        mails.tell_of_reuse(conn, owner, session.device_name)
    named = {"user_id": str(session.user_id), "session_id": str(session.id)}
    log.warning("a refresh token was used twice: the session has ended", extra=named)


def _judge(session: rows.LockedSession, number: int) -> Verdict:
    if session.has_ended:
        return Verdict.ENDED
    if has_expired(session):
        return Verdict.EXPIRED
    return judge(
        number,
        issued=session.refresh_issued,
        accepted=session.refresh_accepted,
        age_s=session.age_s,
        reuse_interval_s=here.settings.refresh_reuse_interval_s,
    )


def has_expired(session: rows.LockedSession) -> bool:
    """True if nobody used it for too long, or its time is over: whether the worker has ended it yet, or not."""
    is_old = session.age_s > here.settings.session_idle_s or 0 < here.settings.session_lifetime_s < session.lived_s
    return is_old or session.is_over


def _refused(verdict: Verdict) -> BadRequest:
    REFRESHES.labels(verdict.value).inc()
    detail, code = REFUSALS.get(verdict, REFUSALS[Verdict.UNKNOWN])
    return BadRequest(detail, code=code)
