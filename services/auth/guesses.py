"""Bounds on guessing the six digits of a second factor, which no stranger can use to lock somebody out.

Guesses are bounded for each place; and in a day for all places together where no right code ever came from. So who
knows the password and guesses cannot keep the owner out who is where they were before.
"""

from services.auth import rows, store
from services.auth.alerts import tell_of_factor
from services.auth.assurance import Caller
from services.auth.audit import note
from services.auth.parts import here
from services.auth.throttles import OVER, place_of, require_room
from shared.errors import Problem, TooManyRequests, UnprocessableContent
from shared.postgres import Connection

ALERTED_AT = 5  # wrong codes in a day: who knows the password and guesses is not the owner


def count(conn: Connection, factor: rows.Factor) -> Problem | None:
    """Count a guess before it is judged; why it must not be judged, or None. The caller must commit in both cases."""
    try:
        require_room(conn, [_bucket(factor)])
    except TooManyRequests as too_many:
        return too_many
    place = place_of(factor.id)
    is_known = any(bytes(known) == place for known in factor.places)
    if factor.wrong_today >= here.settings.wrong_codes_per_day and not is_known:
        detail = "Too many wrong codes for this factor today: use another factor, or a recovery code"
        return TooManyRequests(detail, code=OVER, retry_after_s=3_600)
    return None


def was_right(conn: Connection, factor: rows.Factor) -> None:
    store.forget_tries(conn, [], [_bucket(factor).key])


def was_wrong(conn: Connection, person: Caller, factor: rows.Factor) -> Problem:
    """Count a wrong code, and tell the owner when there were several; the refusal."""
    store.count_wrong_code(conn, factor.id)
    wrong = factor.wrong_today + 1
    if not wrong & (wrong - 1):  # not a row for each: see failures.py
        note(conn, "factor.refused", person.user.id, factor_type=factor.kind, failures=wrong)
    if wrong == ALERTED_AT:
        tell_of_factor(conn, person, "codes_guessed", factor)
    return refusal()


def refusal() -> UnprocessableContent:
    return UnprocessableContent("Invalid code entered", code="mfa_verification_failed")


def _bucket(factor: rows.Factor) -> store.Bucket:
    settings = here.settings
    return store.Bucket("factor", place_of(f"factor {factor.id}"), settings.log_in_tries, settings.log_in_window_s)
