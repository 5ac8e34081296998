"""Keys of WebAuthn as second factors: made when the factor is enrolled, shown when it is asked for."""

import logging
from typing import Any

from services.auth import ceremonies, challenges, factor_models, rows, store
from services.auth.alerts import alert
from services.auth.assurance import Caller
from services.auth.parts import here
from shared.errors import BadRequest, Problem, UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection

log = logging.getLogger(__name__)
MISSING = "webauthn with the type of the challenge and a credential_response is required"


def enrol(conn: Connection, person: Caller, body: factor_models.Enrolment) -> factor_models.Enrolled:
    factor = store.insert_factor(
        conn,
        new_id(),
        person.user.id,
        "webauthn",
        body.friendly_name,
        seed=None,
        lifetime_s=factor_models.FACTOR_LIFETIME_S,
    )
    return factor_models.Enrolled(id=factor.id, type=factor.kind, friendly_name=factor.name)


def question(conn: Connection, person: Caller, factor: rows.Factor, challenge: rows.FactorChallenge) -> dict[str, Any]:
    """What `navigator.credentials` takes: `create` until the factor is verified, then `request`."""
    party = here.settings.relying_party
    to_sign = challenges.made(here.sealer, challenges.FACTOR, challenge.id, person.session.id)[0]
    key = store.get_credential_of_factor(conn, factor.id)
    if key is None:
        known = store.list_credentials(conn, person.user.id)
        options = ceremonies.creation_options(party, person.user, known, to_sign, is_passkey=False)
    else:
        options = ceremonies.request_options(party, [key], to_sign, is_passkey=False)
    return {"type": "request" if key else "create", "credential_options": {"publicKey": options}}


def check(
    conn: Connection,
    person: Caller,
    factor: rows.Factor,
    body: factor_models.Answered,
    challenge: rows.FactorChallenge,
) -> Problem | None:
    """None if the key of the factor was made, or shown. The caller must commit in both cases."""
    key = store.get_credential_of_factor(conn, factor.id)
    if body.webauthn is None or body.webauthn.type != ("request" if key else "create"):
        return BadRequest(MISSING, code="validation_failed")
    expected = challenges.made(here.sealer, challenges.FACTOR, challenge.id, person.session.id)
    response, party = body.webauthn.credential_response, here.settings.relying_party
    try:
        if key is None:
            made = ceremonies.register(party, response, expected, is_passkey=False)
            return _keep(conn, person, factor, made)
        shown = ceremonies.authenticate(party, response, expected, key, is_passkey=False)
    except ceremonies.Refused as error:
        log.info("a security key was refused", extra={"reason": str(error)})
        return _refused()
    if store.update_credential_used(conn, key.id, sign_count=shown.sign_count, is_backed_up=shown.is_backed_up):
        return None
    # There may be two of this key (WebAuthn level 3, section 6.1.1).
    session_id = person.session.id
    alert(conn, person.user, "key_refused", session_id=session_id, factor_id=factor.id, factor_type=factor.kind)
    return _refused()


def _keep(conn: Connection, person: Caller, factor: rows.Factor, made: rows.NewKey) -> Problem | None:
    if store.insert_credential(conn, made, person.user.id, factor.name, factor_id=factor.id) is None:
        return UnprocessableContent("This credential is already registered", code="webauthn_credential_exists")
    return None


def _refused() -> UnprocessableContent:
    return UnprocessableContent("The key could not be verified", code="mfa_verification_failed")
