"""How sure this service is of the caller: aal1 with one factor, aal2 once a second one was shown.

What the database says of the session counts, not the token: it may be older than a step-up, or than a fall back.
"""

import time
from dataclasses import dataclass
from uuid import UUID

from services.auth import rows, store
from services.auth.audit import note
from services.auth.endings import end_weaker_sessions
from shared.errors import Forbidden, Problem, Unauthorized
from shared.postgres import Connection
from shared.routing import caller

NEEDS_AAL2 = "insufficient_aal"


@dataclass(frozen=True)
class Caller:
    """The person who calls and the session they call with, both alive."""

    user: rows.User
    session: rows.Session

    @property
    def is_aal2(self) -> bool:
        return self.session.aal == "aal2"


def require_caller(conn: Connection, *, locked: bool = False, guests: bool = False) -> Caller:
    """The caller, in turns with every other change of the same user if `locked`.

    Raise Unauthorized(session_not_found), or Forbidden for guests, unless they may: they have nothing to log in with.
    """
    session_id = caller().session_id
    if locked:
        store.lock_user(conn, caller().user_id)
    found = store.get_session_and_user(conn, session_id) if session_id else None
    if found is None or found[0].id != caller().user_id:
        raise Unauthorized("The session of this token has ended.", code="session_not_found")
    user, session = found
    if user.is_anonymous and not guests:
        raise Forbidden("Anonymous user not allowed to perform these actions", code="no_authorization")
    return Caller(user, session)


def require_aal2(person: Caller, what: str, refusal: type[Problem] = Forbidden) -> None:
    """Raise `refusal` with the code insufficient_aal unless the session showed a second factor."""
    if not person.is_aal2:
        raise refusal(f"AAL2 required to {what}", code=NEEDS_AAL2)


def require_step_up(person: Caller, what: str, refusal: type[Problem] = Forbidden) -> None:
    """`require_aal2`, of those who have a second factor."""
    if person.user.has_second_factor:
        require_aal2(person, what, refusal)


def step_up(conn: Connection, person: Caller, method: str, proved_by: UUID) -> rows.Session:
    """Lift the caller's session to aal2, and end those that did not show a second factor.

    The refresh token keeps its number: presented again, it yields tokens of aal2. So a lost answer costs nothing, and
    two holders of one token are found out as before (see `rotation.py`).
    """
    session = store.raise_session(conn, person.session.id, method=method, proved_by=proved_by, at=int(time.time()))
    if session is None:
        raise Unauthorized("The session of this token has ended.", code="session_not_found")
    note(conn, "session.stepped_up", person.user.id, session_id=session.id, method=method)
    end_weaker_sessions(conn, person.user.id, but=session.id)
    return session
