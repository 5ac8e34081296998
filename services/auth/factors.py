"""Second factors: enrolled, asked for, answered, removed."""

from collections.abc import Callable, Mapping
from uuid import UUID

from services.auth import authenticator_apps, factor_models, guesses, models, rows, security_keys, store, texted_codes
from services.auth.alerts import tell_of_factor
from services.auth.assurance import Caller, require_aal2, require_caller, require_step_up, step_up
from services.auth.metrics import FACTOR_CHECKS
from services.auth.parts import here
from services.auth.sessions import session_answer
from services.auth.throttles import place_of
from shared.errors import BadRequest, NotFound, Problem, UnprocessableContent
from shared.postgres import Connection
from shared.routing import Blueprint, user

bp = Blueprint("factors", __name__, url_prefix="/auth/v1")

MAX_FACTORS = 10
METHODS = {"totp": "totp", "webauthn": "mfa/webauthn", "phone": "mfa/phone"}


@bp.post("/factors")
@user
def enrol_factor(body: factor_models.Enrolment) -> factor_models.Enrolled:
    """Begin with a new factor: it counts once a challenge for it was answered."""
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        if body.phone is not None:
            store.delete_unverified_number(conn, person.user.id, body.phone)
        require_room(conn, person, body.friendly_name)
        return ENROL[body.factor_type](conn, person, body)


@bp.post("/factors/<factor_id>/challenge")
@user
def challenge_factor(path: factor_models.FactorPath) -> factor_models.Challenge:
    """Ask for the factor. The question is this session's own, and voids the one it was asked before."""
    with here.db.transaction() as conn:
        return ask(conn, require_caller(conn, locked=True), path.factor_id)


@bp.post("/factors/<factor_id>/verify")
@user
def verify_factor(path: factor_models.FactorPath, body: factor_models.Answered) -> models.Session:
    """Answer the challenge: the session is aal2, and sessions that did not show a second factor end."""
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        session = judge(conn, person, path.factor_id, body)
        owner = store.get_user(conn, person.user.id)
    # Only now, after the commit: a wrong code must count.
    if isinstance(session, Problem) or owner is None:
        raise session if isinstance(session, Problem) else guesses.refusal()
    return session_answer(owner, session)


@bp.delete("/factors/<factor_id>")
@user
def remove_factor(path: factor_models.FactorPath) -> tuple[factor_models.FactorId, int]:
    """Remove a factor; sessions that stand on it are aal1 again. A verified one only with aal2."""
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        factor = _own_factor(conn, person, path.factor_id)
        if factor.kind == "recovery_code":
            raise UnprocessableContent("Use DELETE /factors/recovery-codes for these", code="validation_failed")
        if factor.is_verified:
            require_aal2(person, "unenroll verified factor", UnprocessableContent)
            _keep_another(conn, person, factor)
        remove(conn, person, factor)
    return factor_models.FactorId(id=factor.id), 200


def ask(conn: Connection, person: Caller, factor_id: UUID) -> factor_models.Challenge:
    """A new challenge for a factor of this person, held by this transaction."""
    factor = _askable_factor(conn, person, factor_id)
    challenge = store.put_challenge(conn, factor.id, person.session.id, lifetime_s=factor_models.CHALLENGE_LIFETIME_S)
    if factor.kind == "phone":
        texted_codes.send(conn, person, factor, challenge)
    webauthn = security_keys.question(conn, person, factor, challenge) if factor.kind == "webauthn" else None
    expires_at = int(challenge.expires_at.timestamp())
    return factor_models.Challenge(id=challenge.id, type=factor.kind, expires_at=expires_at, webauthn=webauthn)


def judge(conn: Connection, person: Caller, factor_id: UUID, body: factor_models.Answered) -> rows.Session | Problem:
    """The session with aal2, or why not: then, too, the caller must commit, for a wrong code must count.

    The person is held by this transaction. Raise for an answer that is none to a challenge of theirs.
    """
    factor = _askable_factor(conn, person, factor_id)
    if not factor.is_verified:
        require_step_up(person, "verify a new factor")
    challenge = _asked(conn, person, factor, body.challenge_id)
    refusal = CHECK[factor.kind](conn, person, factor, body, challenge)
    outcome = refusal or _accept(conn, person, factor, challenge)
    FACTOR_CHECKS.labels(factor.kind, refusal.code if refusal else "succeeded").inc()
    return outcome


def require_room(conn: Connection, person: Caller, name: str) -> None:
    """Raise unless the caller, held by this transaction, may have one more factor, of this name."""
    store.delete_unverified_factors(conn, person.user.id)
    factors = store.list_factors(conn, person.user.id)
    require_step_up(person, "enroll a new factor")
    if any(factor.name == name for factor in factors):
        detail = "A factor with this friendly name exists already"
        raise UnprocessableContent(detail, code="mfa_factor_name_conflict")
    if len(factors) >= MAX_FACTORS:
        detail = "Maximum number of factors reached, unenroll to continue"
        raise UnprocessableContent(detail, code="too_many_enrolled_mfa_factors")


def remove(conn: Connection, person: Caller, factor: rows.Factor) -> None:
    """Delete the factor and let the sessions that stand on it fall back. A verified one is mailed about."""
    store.lower_sessions(conn, person.user.id, factor.id)
    store.delete_factor(conn, factor.id)
    if factor.is_verified:
        tell_of_factor(conn, person, "factor_removed", factor)


def _own_factor(conn: Connection, person: Caller, factor_id: UUID) -> rows.Factor:
    factor = store.lock_factor(conn, person.user.id, factor_id)
    if factor is None:
        raise NotFound("Factor not found", code="mfa_factor_not_found")
    return factor


def _askable_factor(conn: Connection, person: Caller, factor_id: UUID) -> rows.Factor:
    factor = _own_factor(conn, person, factor_id)
    if factor.kind not in CHECK:
        raise BadRequest("Use POST /factors/recovery-codes/verify for these", code="validation_failed")
    return factor


def _asked(conn: Connection, person: Caller, factor: rows.Factor, challenge_id: UUID) -> rows.FactorChallenge:
    challenge = store.get_challenge(conn, challenge_id, factor.id, person.session.id)
    if challenge is None:
        detail = "MFA factor with the provided challenge ID not found"
        raise UnprocessableContent(detail, code="mfa_factor_not_found")
    if challenge.is_over:
        raise _over()
    return challenge


def _over() -> UnprocessableContent:
    detail = "This challenge has expired or was answered, create a new one"
    return UnprocessableContent(detail, code="mfa_challenge_expired")


def _accept(conn: Connection, person: Caller, factor: rows.Factor, challenge: rows.FactorChallenge) -> rows.Session:
    if not store.consume_challenge(conn, challenge.id):
        raise _over()
    store.update_proved(conn, factor.id, place_of(factor.id))
    store.delete_unverified_factors(conn, person.user.id, factor.kind)
    session = step_up(conn, person, METHODS[factor.kind], factor.id)
    if not factor.is_verified:
        tell_of_factor(conn, person, "factor_added", factor)
    return session


def _keep_another(conn: Connection, person: Caller, removed: rows.Factor) -> None:
    """Recovery codes are for when another factor is lost: they never stand alone."""
    others = [factor for factor in store.list_factors(conn, person.user.id) if factor.id != removed.id]
    kinds = {factor.kind for factor in others if factor.is_verified}
    if kinds == {"recovery_code"}:
        detail = "Recovery codes cannot be the only verified factor: enroll another factor, or delete them first"
        raise UnprocessableContent(detail, code="mfa_recovery_codes_sole_factor")


ENROL: Mapping[str, Callable[[Connection, Caller, factor_models.Enrolment], factor_models.Enrolled]] = {
    "totp": authenticator_apps.enrol,
    "webauthn": security_keys.enrol,
    "phone": texted_codes.enrol,
}
Check = Callable[[Connection, Caller, rows.Factor, factor_models.Answered, rows.FactorChallenge], Problem | None]
CHECK: Mapping[str, Check] = {
    "totp": authenticator_apps.check,
    "webauthn": security_keys.check,
    "phone": texted_codes.check,
}
