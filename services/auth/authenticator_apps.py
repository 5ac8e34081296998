"""Authenticator apps as second factors: a seed that both sides know, and codes of half a minute that work once."""

import hashlib
import ipaddress
from urllib.parse import urlsplit
from uuid import UUID

from flask import request

from services.auth import factor_models, rows, store, totp
from services.auth.alerts import tell_of_factor
from services.auth.assurance import Caller
from services.auth.devices import device_of
from services.auth.parts import here
from services.auth.sealing import context_of
from shared.errors import BadRequest, Problem, TooManyRequests, UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection

ALERTED_AT = 5  # wrong codes in a day: who knows the password and guesses is not the owner


def enrol(conn: Connection, person: Caller, body: factor_models.Enrolment) -> factor_models.Enrolled:
    factor_id, seed = new_id(), totp.new_seed()
    issuer = body.issuer or urlsplit(here.settings.site_url).hostname or urlsplit(here.settings.public_url).hostname
    uri = totp.uri(seed, person.user.email or str(person.user.id), issuer or "Gatehouse")
    factor = store.insert_factor(
        conn,
        factor_id,
        person.user.id,
        "totp",
        body.friendly_name,
        seed=here.sealer.seal(seed.encode(), context_of("factors", factor_id)),
        lifetime_s=factor_models.FACTOR_LIFETIME_S,
    )
    shown = factor_models.TotpSeed(qr_code=totp.qr_code(uri), secret=seed, uri=uri)
    return factor_models.Enrolled(id=factor.id, type=factor.kind, friendly_name=factor.name, totp=shown)


def check(
    conn: Connection,
    person: Caller,
    factor: rows.Factor,
    body: factor_models.Answered,
    _: rows.FactorChallenge,
) -> Problem | None:
    """None if the code is right and new. A wrong one is counted; the caller must commit in both cases."""
    if body.code is None:
        return BadRequest("Code needs to be non-empty", code="validation_failed")
    place = place_of(factor.id)
    if too_many := _too_many(conn, factor, place):
        return too_many
    seed = here.sealer.open(bytes(factor.seed_sealed or b""), context_of("factors", factor.id)).decode()
    step = totp.step_of(seed, body.code.get_secret_value())
    if step is not None and store.update_step_used(conn, factor.id, step):
        store.delete_log_in_tries(conn, place)
        return None
    if step is None:
        store.count_wrong_code(conn, factor.id)
        if factor.wrong_today + 1 == ALERTED_AT:
            tell_of_factor(conn, person, "codes_guessed", factor)
    return _wrong()


def _too_many(conn: Connection, factor: rows.Factor, place: bytes) -> Problem | None:
    """Guesses are bounded for each place; and in a day for all places together where no right code ever came from.

    So who knows the password and guesses cannot keep the owner out who is where they were before.
    """
    tries = store.count_factor_try(conn, place, window_s=here.settings.log_in_window_s)
    if tries.tries > here.settings.log_in_tries:
        return TooManyRequests("Too many tries", code="over_request_rate_limit", retry_after_s=max(1, tries.left_s))
    is_known = any(bytes(known) == place for known in factor.places)
    if factor.wrong_today >= here.settings.wrong_codes_per_day and not is_known:
        detail = "Too many wrong codes for this factor today: use another factor, or a recovery code"
        return TooManyRequests(detail, code="over_request_rate_limit", retry_after_s=3_600)
    return None


def place_of(factor_id: UUID) -> bytes:
    """Where the request comes from, as one factor knows it: the address, of IPv6 the network that a household has."""
    ip = device_of(request).ip
    network = ip and ipaddress.ip_network((ip, 64 if ":" in ip else 32), strict=False)
    return hashlib.sha256(f"{factor_id}\n{network}".encode()).digest()


def _wrong() -> UnprocessableContent:
    return UnprocessableContent("Invalid code entered", code="mfa_verification_failed")
