"""Recovery codes: ten, shown once, each good for one log-in without the other factors.

A code is 80 random bits, so nobody guesses one, neither here nor with the table at hand: a fast keyed hash is enough,
and a slow one would only make ten codes cost ten times its work. For the same reason there is no count of wrong ones:
it would be a way to lock somebody out. The key of a set's hashes lies sealed beside it, so that it outlives a change of
SECRET_KEYS.
"""

import hmac
import secrets

from services.auth import factor_models, models, rows, store
from services.auth.alerts import tell_of_factor
from services.auth.assurance import Caller, require_aal2, require_caller, step_up
from services.auth.factors import remove, require_room
from services.auth.metrics import FACTOR_CHECKS
from services.auth.parts import here
from services.auth.sealing import context_of
from services.auth.sessions import session_answer
from shared.errors import NotFound, UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, user

bp = Blueprint("recovery_codes", __name__, url_prefix="/auth/v1")

CODES = 10
LENGTH = 16
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: 5 bits a character, none looks like another
LOOKALIKES = str.maketrans("oil", "011", " -\t\n\r")
METHOD = "mfa/recovery_code"
KEY_BYTES = 32
NAME = "Recovery codes"


@bp.get("/factors/recovery-codes")
@user
def get_recovery_codes() -> factor_models.RecoveryStatus:
    """How many codes are left."""
    with here.db.transaction() as conn:
        factor = _own_set(conn, require_caller(conn))
        count = store.count_recovery_codes(conn, factor.id)
    return factor_models.RecoveryStatus(id=factor.id, total=count.total, remaining=count.remaining)


@bp.post("/factors/recovery-codes")
@user
def make_recovery_codes(body: factor_models.RecoveryEnrolment) -> factor_models.RecoveryCodes:
    """The first set of codes, for a session with aal2 of somebody who has another factor."""
    name = body.friendly_name or NAME
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        require_aal2(person, "generate recovery codes")
        if store.lock_recovery_factor(conn, person.user.id) is not None:
            detail = "Recovery codes are already enrolled for this user, use regenerate to rotate them"
            raise UnprocessableContent(detail, code="mfa_verified_factor_exists")
        require_room(conn, person, name)
        if not person.user.has_second_factor:
            detail = "At least one other verified factor is required to generate recovery codes"
            raise UnprocessableContent(detail, code="mfa_recovery_codes_sole_factor")
        factor = _insert(conn, person, name)
        tell_of_factor(conn, person, "factor_added", factor)
        return _fill(conn, factor)


@bp.post("/factors/recovery-codes/regenerate")
@user
def replace_recovery_codes() -> factor_models.RecoveryCodes:
    """Ten new codes; those before are void."""
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        require_aal2(person, "regenerate recovery codes")
        factor = _own_set(conn, person)
        tell_of_factor(conn, person, "recovery_codes_replaced", factor)
        return _fill(conn, factor)


@bp.post("/factors/recovery-codes/verify")
@user
def verify_recovery_code(body: factor_models.RecoveryCode) -> models.Session:
    """Use one code up: the session is aal2, and its owner gets a mail."""
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        session = use(conn, person, body.code.get_secret_value())
    if session is None:
        raise UnprocessableContent("Invalid recovery code entered", code="mfa_verification_failed")
    return session_answer(person.user, session)


def use(conn: Connection, person: Caller, code: str) -> rows.Session | None:
    """Use a code up: the session of the person, held by this transaction, with aal2; None for a wrong code."""
    session, factor = None, store.lock_recovery_factor(conn, person.user.id)
    if factor and store.consume_recovery_code(conn, factor.id, [_hash(factor, code)]):
        session = step_up(conn, person, METHOD, factor.id)
        remaining = store.count_recovery_codes(conn, factor.id).remaining
        tell_of_factor(conn, person, "recovery_code_used", factor, remaining=str(remaining))
    FACTOR_CHECKS.labels("recovery_code", "succeeded" if session else "mfa_verification_failed").inc()
    return session


@bp.delete("/factors/recovery-codes")
@user
def remove_recovery_codes() -> tuple[factor_models.FactorId, int]:
    """Void all codes; sessions that stand on one are aal1 again."""
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        require_aal2(person, "delete recovery codes")
        factor = _own_set(conn, person)
        remove(conn, person, factor)
    return factor_models.FactorId(id=factor.id), 200


def normalise(code: str) -> str:
    """One spelling of what somebody typed: case, spaces and hyphens do not count, look-alikes are the same."""
    return code.lower().translate(LOOKALIKES)


def _own_set(conn: Connection, person: Caller) -> rows.Factor:
    factor = store.lock_recovery_factor(conn, person.user.id)
    if factor is None:
        raise NotFound("The user has not enrolled recovery codes", code="mfa_factor_not_found")
    return factor


def _insert(conn: Connection, person: Caller, name: str) -> rows.Factor:
    factor_id, key = new_id(), secrets.token_bytes(KEY_BYTES)
    sealed = here.sealer.seal(key, context_of("factors", factor_id))
    return store.insert_factor(conn, factor_id, person.user.id, "recovery_code", name, seed=sealed, lifetime_s=None)


def _fill(conn: Connection, factor: rows.Factor) -> factor_models.RecoveryCodes:
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(CODES)]
    store.replace_recovery_codes(conn, factor.id, [_hash(factor, code) for code in codes])
    return factor_models.RecoveryCodes(id=factor.id, friendly_name=factor.name, total=len(codes), codes=codes)


def _hash(factor: rows.Factor, code: str) -> bytes:
    key = here.sealer.open(bytes(factor.seed_sealed or b""), context_of("factors", factor.id))
    return hmac.digest(key, normalise(code).encode(), "sha256")
