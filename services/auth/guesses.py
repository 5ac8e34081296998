"""Bounds on guessing the six digits of a second factor, which no stranger can use to lock somebody out.

Guesses are bounded for each place; and in a day for all places together where no right code ever came from. So who
knows the password and guesses cannot keep the owner out who is where they were before.
"""

import hashlib
import ipaddress
from uuid import UUID

from flask import request

from services.auth import rows, store
from services.auth.alerts import tell_of_factor
from services.auth.assurance import Caller
from services.auth.devices import device_of
from services.auth.parts import here
from shared.errors import Problem, TooManyRequests, UnprocessableContent
from shared.postgres import Connection

ALERTED_AT = 5  # wrong codes in a day: who knows the password and guesses is not the owner


def count(conn: Connection, factor: rows.Factor) -> Problem | None:
    """Count a guess before it is judged; why it must not be judged, or None. The caller must commit in both cases."""
    place = place_of(factor.id)
    tries = store.count_factor_try(conn, place, window_s=here.settings.log_in_window_s)
    if tries.tries > here.settings.log_in_tries:
        return TooManyRequests("Too many tries", code="over_request_rate_limit", retry_after_s=max(1, tries.left_s))
    is_known = any(bytes(known) == place for known in factor.places)
    if factor.wrong_today >= here.settings.wrong_codes_per_day and not is_known:
        detail = "Too many wrong codes for this factor today: use another factor, or a recovery code"
        return TooManyRequests(detail, code="over_request_rate_limit", retry_after_s=3_600)
    return None


def was_right(conn: Connection, factor: rows.Factor) -> None:
    store.delete_log_in_tries(conn, place_of(factor.id))


def was_wrong(conn: Connection, person: Caller, factor: rows.Factor) -> Problem:
    """Count a wrong code, and tell the owner when there were several; the refusal."""
    store.count_wrong_code(conn, factor.id)
    if factor.wrong_today + 1 == ALERTED_AT:
        tell_of_factor(conn, person, "codes_guessed", factor)
    return refusal()


def refusal() -> UnprocessableContent:
    return UnprocessableContent("Invalid code entered", code="mfa_verification_failed")


def place_of(factor_id: UUID) -> bytes:
    """Where the request comes from, as one factor knows it: the address, of IPv6 the network that a household has."""
    ip = device_of(request).ip
    network = ip and ipaddress.ip_network((ip, 64 if ":" in ip else 32), strict=False)
    return hashlib.sha256(f"{factor_id}\n{network}".encode()).digest()
