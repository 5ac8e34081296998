"""What a caller has to show before a new password counts."""

import time

from services.auth import bodies, kinds, rows, store
from services.auth.codes import consume_code, count_guess
from services.auth.parts import here
from services.auth.passwords import require_strong
from services.auth.throttles import Guess
from shared.errors import BadRequest, UnprocessableContent
from shared.routing import caller

FRESH_S = 86_400


def new_password_hash(before: rows.User, body: bodies.UserChange, *, gets_address: bool) -> str:
    """The hash of the password in `body`. Slow on purpose: call it before a connection is held.

    Raise UnprocessableContent (weak_password, same_password, reauthentication_not_valid) or BadRequest
    (reauthentication_needed, current_password_invalid), or TooManyRequests.
    """
    new = body.password.get_secret_value() if body.password else ""
    if before.is_anonymous and not gets_address:
        detail = "Updating password of an anonymous user without an email or phone is not allowed"
        raise UnprocessableContent(detail, code="validation_failed")
    require_strong(new, here.settings.password_min_length, breaches_url=here.settings.breaches_url)
    current = body.current_password.get_secret_value() if body.current_password else None
    guess = Guess.at(before.id)  # who found an open session could find out the password that others do not see either
    with here.db.transaction() as conn:
        guess.count(conn, before.id)
    if current is not None and not here.passwords.verify(before.password_hash, current):
        raise BadRequest("The current password is wrong.", code="current_password_invalid")
    if here.passwords.verify(before.password_hash, new):
        raise UnprocessableContent("New password should be different from the old password.", code="same_password")
    if here.settings.password_reauthentication and current is None:
        _require_fresh(before, body)
    return here.passwords.hash(new)


def _require_fresh(before: rows.User, body: bodies.UserChange) -> None:
    """A log-in of the last day is proof enough, and so are the current password or the nonce of `reauthenticate`."""
    with here.db.transaction() as conn:
        session_id = caller().session_id
        session = store.get_session(conn, session_id) if session_id else None
    logged_in_at = min(session.created_at.timestamp(), session.auth_time) if session else 0
    if logged_in_at > time.time() - FRESH_S:
        return
    if body.nonce is None:
        raise BadRequest("Password update requires reauthentication", code="reauthentication_needed")
    address = (before.email if before.email_confirmed_at else before.phone) or ""
    count_guess()
    with here.db.transaction() as conn:  # of its own: a wrong try must count
        right = consume_code(conn, [kinds.REAUTHENTICATION], address, body.nonce.get_secret_value())
    if right is None or right.user_id != before.id:
        raise UnprocessableContent("Nonce has expired or is invalid", code="reauthentication_not_valid")
