"""The end of sessions, told to the others in the transaction that makes it true."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.auth import store
from services.auth.audit import note
from services.auth.metrics import SESSIONS_ENDED
from shared import outbox
from shared.contracts import SessionRevoked
from shared.postgres import Connection

ENDS_GRANTS = frozenset({"password_changed", "ended_by_admin"})


def end_sessions(
    conn: Connection,
    user_id: UUID,
    reason: Any,
    *,
    only: UUID | None = None,
    but: UUID | None = None,
    impersonated: bool = False,
    continued_by: UUID | None = None,
    by: UUID | None = None,
) -> int:
    """End `only` this session of a user, all `but` one, or those in which another acts for them; how many there were.

    `continued_by` is the session that goes on in their place; `by` is who ends them, if the request does not say. What
    apps were granted ends with the sessions of somebody who has another password or is shut out, but what hangs on the
    one session that stays.
    """
    ended: list[store.Ended] = []
    if only is None and not impersonated and reason in ENDS_GRANTS:  # first, as a refresh locks: the grant, its session
        ended += store.delete_oauth_grants_of_user(conn, user_id, reason, but=but)
    ended += store.end_sessions(conn, user_id, reason, only=only, but=but, impersonated=impersonated)
    return tell_ended(conn, ended, reason, continued_by, by=by)


def end_weaker_sessions(conn: Connection, user_id: UUID, *, but: UUID) -> int:
    """End a user's sessions that did not show a second factor; how many there were."""
    reason = "ended_by_user"  # by answering for their factor elsewhere
    return tell_ended(conn, store.end_weaker_sessions(conn, user_id, reason, but=but), reason)


def end_idle_sessions(conn: Connection, *, idle_s: int, limit: int) -> int:
    """End sessions that nobody used for so long; how many there were."""
    return tell_ended(conn, store.end_idle_sessions(conn, idle_s=idle_s, limit=limit), "expired", detail="idle")


def end_old_sessions(conn: Connection, *, lifetime_s: int, limit: int) -> int:
    """End sessions whose log-in is so long ago; how many there were."""
    return tell_ended(
        conn, store.end_old_sessions(conn, lifetime_s=lifetime_s, limit=limit), "expired", detail="lifetime"
    )


def end_idle_browsers(conn: Connection, *, idle_s: int, limit: int) -> int:
    """End the sessions of browsers that were not seen for so long; how many there were."""
    return tell_ended(conn, store.end_idle_browsers(conn, idle_s=idle_s, limit=limit), "expired", detail="idle")


def end_surplus_sessions(conn: Connection, user_id: UUID, *, keep: int) -> int:
    """End the sessions of a user that were not seen for longest, but for `keep`; how many there were.

    The others hear `expired`, for the reasons are a closed list to those who read them, and `session_limit` beside it.
    """
    return tell_ended(conn, store.end_surplus_sessions(conn, user_id, keep=keep), "expired", detail="session_limit")


def end_overdue_sessions(conn: Connection, *, limit: int) -> int:
    """End sessions that were opened for a set time; how many there were."""
    return tell_ended(conn, store.end_overdue_sessions(conn, limit=limit), "expired", detail="time_over")


def tell_ended(
    conn: Connection,
    ended: Sequence[store.Ended],
    reason: Any,
    continued_by: UUID | None = None,
    detail: str | None = None,
    by: UUID | None = None,
) -> int:
    """Tell the others that these sessions have ended just now; how many there were."""
    now = datetime.now(UTC)
    events = [
        SessionRevoked(
            session_id=session.id,
            user_id=session.user_id,
            reason=reason,
            revoked_at=now,
            continued_by=continued_by,
            detail=detail,
        )
        for session in ended
    ]
    if events:
        outbox.add(conn, *events)
        SESSIONS_ENDED.labels(reason).inc(len(events))
        for one in ended:
            if one.impersonated_by is None:
                note(conn, "session.ended", one.user_id, session_id=one.id, or_by=by, reason=detail or reason)
        _end_impersonations(conn, ended, reason)
    return len(events)


def _end_impersonations(conn: Connection, ended: Sequence[store.Ended], reason: Any) -> None:
    """What an administrator opened for somebody else ends with the session it was opened from; the log says how."""
    for one in ended:
        if one.impersonated_by is not None:
            by, why = str(one.impersonated_by), one.impersonation_reason
            note(conn, "impersonation.ended", one.user_id, session_id=one.id, by=by, reason=why, ended=reason)
    tell_ended(conn, store.end_impersonations_from(conn, [one.id for one in ended], reason), reason)
