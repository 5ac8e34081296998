"""Authenticator apps as second factors: a seed that both sides know, and codes of half a minute that work once."""

from urllib.parse import urlsplit

from services.auth import factor_models, guesses, rows, store, totp
from services.auth.assurance import Caller
from services.auth.parts import here
from services.auth.sealing import context_of
from shared.errors import BadRequest, Problem
from shared.ids import new_id
from shared.postgres import Connection


def enrol(conn: Connection, person: Caller, body: factor_models.Enrolment) -> factor_models.Enrolled:
    factor_id, seed = new_id(), totp.new_seed()
    issuer = body.issuer or urlsplit(here.settings.site_url).hostname or urlsplit(here.settings.public_url).hostname
    uri = totp.uri(seed, person.user.email or person.user.phone or str(person.user.id), issuer or "Gatehouse")
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
    if too_many := guesses.count(conn, factor):
        return too_many
    seed = here.sealer.open(bytes(factor.seed_sealed or b""), context_of("factors", factor.id)).decode()
    step = totp.step_of(seed, body.code.get_secret_value())
    if step is None:
        return guesses.was_wrong(conn, person, factor)
    if not store.update_step_used(conn, factor.id, step):
        return guesses.refusal()  # a code that was used before is no guess
    guesses.was_right(conn, factor)
    return None
