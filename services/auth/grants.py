"""The ways to a session at `POST /token`, one for each `grant_type`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.auth import bodies, models, rows, store
from services.auth.bodies import need
from services.auth.captcha_check import require_captcha
from services.auth.codes import hash_of_link
from services.auth.external.carried import Carried
from services.auth.external.grants import by_id_token
from services.auth.failures import note_failed_log_in
from services.auth.metrics import LOG_INS
from services.auth.parts import here
from services.auth.refresh import exchange
from services.auth.sessions import open_session, session_answer
from services.auth.throttles import Guess
from shared.errors import BadRequest, NotFound, TooManyRequests, UnprocessableContent
from shared.postgres import Connection

# Codes and statuses are those of supabase/auth: clients act on them.
WRONG = ("Invalid login credentials", "invalid_credentials")


@dataclass(frozen=True)
class Proof:
    """A password that was right. `guess` is how the try was counted, `new_hash` what replaces an outdated hash."""

    user: rows.User
    guess: Guess
    new_hash: str | None = field(repr=False)


def by_password(body: bodies.Grant) -> models.Session:
    """Unknown address, wrong password: the same answer after the same work."""
    address = body.phone if body.phone is not None and body.email is None else need(body.email, "email")
    password = need(body.password, "password").get_secret_value()
    require_captcha(body)
    proof = prove(address, password)
    with here.db.transaction() as conn:
        entered, session = enter(conn, proof)
    LOG_INS.labels("succeeded").inc()
    return session_answer(entered, session)


def prove(address: str, password: str) -> Proof:
    """Slow on purpose: call it before a connection is held. Raise BadRequest, or TooManyRequests."""
    guess = Guess.at(address)
    user = _verified(address, password, guess)
    is_outdated = here.passwords.is_outdated(user.password_hash or "")
    return Proof(user, guess, here.passwords.hash(password) if is_outdated else None)


def enter(conn: Connection, proof: Proof) -> tuple[rows.User, rows.Session]:
    """A session for whoever knew the password. Raise BadRequest if it was changed while it was being verified."""
    user = proof.user
    entered = store.update_signed_in(conn, user.id, password_hash=user.password_hash, new_hash=proof.new_hash)
    if entered is None:
        raise _refused_log_in(*WRONG)
    proof.guess.was_right(conn)
    return entered, open_session(conn, entered, "password")


def _verified(address: str, password: str, guess: Guess) -> rows.User:
    """The user whose password this is. A try counts before it is judged, so that many at once do not slip through."""
    is_email, decoy = "@" in address, here.decoys.hash_for(address)
    try:
        with here.db.transaction() as conn:
            user = store.get_user_by_email(conn, address) if is_email else store.get_user_by_phone(conn, address)
            guess.count(conn, user.id if user else None)
    except TooManyRequests:
        LOG_INS.labels("throttled").inc()
        raise
    is_right = here.passwords.verify(user.password_hash if user else None, password, decoy=decoy)
    refusal = _refusal_of(user, is_right=is_right, is_email=is_email)
    if refusal is not None or user is None:
        detail, code = refusal or WRONG
        note_failed_log_in(address, user, "password", code)
        raise _refused_log_in(detail, code)
    return user


def _refusal_of(user: rows.User | None, *, is_right: bool, is_email: bool) -> tuple[str, str] | None:
    """Why somebody with this password is not let in, or None."""
    if user is None or not is_right:
        return WRONG
    if not is_email and user.phone_confirmed_at is None:
        return "Phone not confirmed", "phone_not_confirmed"
    if is_email and user.email_confirmed_at is None:
        return "Email not confirmed", "email_not_confirmed"
    return None


def by_refresh_token(body: bodies.Grant) -> models.Session:
    """Fresh tokens of the same session."""
    return exchange(need(body.refresh_token, "refresh_token").get_secret_value())


def by_auth_code(body: bodies.Grant) -> models.Session:
    """The code that a link left in the browser, from the app that kept the verifier (PKCE). One try, right or wrong."""
    code = need(body.auth_code, "auth_code").get_secret_value()
    verifier = need(body.code_verifier, "code_verifier").get_secret_value()
    code_hash = hash_of_link(code)
    with here.db.transaction() as conn:
        used = store.consume_auth_code(conn, code_hash)
        is_met = used is not None and not used.is_expired and used.challenge.is_met_by(verifier)
        sealed = used.carried_sealed if used and is_met else None
        carried = Carried.open(code_hash, sealed) if sealed is not None else None
        if used is None or not is_met:
            entered = None
        else:
            entered = carried.enter(conn, used.user_id) if carried else _enter_by_code(conn, used)
    if entered is not None:
        return carried.answer(*entered) if carried else session_answer(*entered)
    if used is None:
        raise NotFound("invalid flow state, no valid flow state found", code="flow_state_not_found")
    if used.is_expired:
        raise UnprocessableContent("invalid flow state, flow state has expired", code="flow_state_expired")
    raise BadRequest("code challenge does not match previously saved code verifier", code="bad_code_verifier")


def _enter_by_code(conn: Connection, used: store.AuthCode) -> tuple[rows.User, rows.Session] | None:
    user = store.update_signed_in(conn, used.user_id, password_hash=None)
    return (user, open_session(conn, user, used.method)) if user else None


def _refused_log_in(detail: str, code: str) -> BadRequest:
    LOG_INS.labels(code).inc()
    return BadRequest(detail, code=code)


GRANTS: Mapping[str, Callable[[bodies.Grant], models.Session]] = {
    "password": by_password,
    "refresh_token": by_refresh_token,
    "pkce": by_auth_code,
    "id_token": by_id_token,
}
