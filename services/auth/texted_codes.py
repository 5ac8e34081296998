"""Phone numbers as second factors: six digits by SMS for each challenge, through the operator's send-SMS hook."""

import hmac

from services.auth import factor_models, guesses, hooks, rows, store
from services.auth.assurance import Caller
from services.auth.codes import new_code
from services.auth.message_caps import admit_sms
from services.auth.parts import here
from shared.errors import BadRequest, Problem, TooManyRequests, UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection


def enrol(conn: Connection, person: Caller, body: factor_models.Enrolment) -> factor_models.Enrolled:
    settings = here.settings
    if not (settings.reaches(body.phone) if body.phone else settings.sms_is_on):
        raise UnprocessableContent("MFA enroll is disabled for Phone", code="mfa_phone_enroll_not_enabled")
    if body.phone is None:
        raise BadRequest("Phone number required to enroll Phone factor", code="validation_failed")
    if any(factor.phone == body.phone for factor in store.list_factors(conn, person.user.id)):
        detail = "A verified phone factor already exists, unenroll the existing factor to continue"
        raise UnprocessableContent(detail, code="mfa_verified_factor_exists")
    factor = store.insert_factor(
        conn,
        new_id(),
        person.user.id,
        "phone",
        body.friendly_name,
        phone=body.phone,
        lifetime_s=factor_models.FACTOR_LIFETIME_S,
    )
    return factor_models.Enrolled(id=factor.id, type=factor.kind, friendly_name=factor.name, phone=body.phone)


def send(conn: Connection, person: Caller, factor: rows.Factor, challenge: rows.FactorChallenge) -> None:
    """Send the code of a challenge. Raise TooManyRequests: a message costs somebody money."""
    interval_s, per_day = here.settings.mail_interval_s, here.settings.mails_per_day
    if not here.settings.reaches(factor.phone or ""):
        raise UnprocessableContent("MFA verification is disabled for Phone", code="mfa_phone_verify_not_enabled")
    if not store.count_text(conn, person.user.id, interval_s=interval_s, per_day=per_day):
        detail = "For security purposes, you can only request this once in a while."
        raise TooManyRequests(detail, code="over_sms_send_rate_limit", retry_after_s=max(interval_s, 1))
    phone = factor.phone or ""
    admit_sms(conn, phone, owner=person.user.id if factor.is_verified else None)
    code, is_fixed = new_code(phone)
    store.update_challenge_code(conn, challenge.id, _hashes(challenge, code)[0])
    if not is_fixed:
        hooks.ask_to_send_sms(conn, person.user, phone, code, "sms", factor_models.CHALLENGE_LIFETIME_S)


def check(
    conn: Connection,
    person: Caller,
    factor: rows.Factor,
    body: factor_models.Answered,
    challenge: rows.FactorChallenge,
) -> Problem | None:
    """None if the code is the one that was sent. A wrong one is counted; the caller must commit in both cases."""
    if body.code is None:
        return BadRequest("Code needs to be non-empty", code="validation_failed")
    if too_many := guesses.count(conn, factor):
        return too_many
    sent = bytes(challenge.code_hash or b"")
    if any(hmac.compare_digest(sent, mac) for mac in _hashes(challenge, body.code.get_secret_value())):
        guesses.was_right(conn, factor)
        return None
    return guesses.was_wrong(conn, person, factor)


def _hashes(challenge: rows.FactorChallenge, code: str) -> list[bytes]:
    """Six digits are guessed in no time by whoever reads the table, so their hash is keyed; one for each key."""
    return here.sealer.macs(f"{challenge.id}\n{code}".encode(), "code of a second factor")
