"""Passkeys: registered by who is logged in, and then a way to log in that needs neither address nor password."""

import logging
from typing import Any
from uuid import UUID

from services.auth import ceremonies, challenges, models, passkey_models, rows, store
from services.auth.alerts import alert
from services.auth.assurance import Caller, require_caller, require_step_up
from services.auth.metrics import FACTOR_CHECKS
from services.auth.parts import here
from services.auth.passkey_makers import maker_of
from services.auth.sessions import Also, nothing, open_session, session_answer
from shared.errors import BadRequest, NotFound, UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection
from shared.routing import Blueprint, public, user

bp = Blueprint("passkeys", __name__, url_prefix="/auth/v1")
log = logging.getLogger(__name__)

MAX_PASSKEYS = 10
METHOD = "passkey"


@bp.post("/passkeys/registration/options")
@user
def begin_passkey_registration() -> passkey_models.Options:
    """What `navigator.credentials.create` takes, for this session alone."""
    with here.db.transaction() as conn:
        person = require_caller(conn)
        _require_room(conn, person)
        known = store.list_credentials(conn, person.user.id)
    challenge_id = new_id()
    challenge = challenges.made(here.sealer, challenges.REGISTRATION, challenge_id, person.session.id)[0]
    options = ceremonies.creation_options(here.settings.relying_party, person.user, known, challenge, is_passkey=True)
    return _asked(challenge_id, options)


@bp.post("/passkeys/registration/verify")
@user
def finish_passkey_registration(body: passkey_models.Response) -> passkey_models.Passkey:
    """Keep the passkey that was made."""
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        _require_room(conn, person)
        made = _made(person, body)
        _use(conn, body.challenge_id)
        key = store.insert_credential(conn, made, person.user.id, maker_of(made.aaguid))
        if key is None:
            raise UnprocessableContent("This credential is already registered", code="webauthn_credential_exists")
        _tell(conn, person, "passkey_added", key)
    return passkey_models.Passkey.of(key)


@bp.post("/passkeys/authentication/options")
@public
def begin_passkey_log_in() -> passkey_models.Options:
    """What `navigator.credentials.get` takes. It names nobody: the authenticator offers the passkeys it has."""
    challenge_id = new_id()
    challenge = challenges.made(here.sealer, challenges.LOG_IN, challenge_id)[0]
    options = ceremonies.request_options(here.settings.relying_party, [], challenge, is_passkey=True)
    return _asked(challenge_id, options)


@bp.post("/passkeys/authentication/verify")
@public
def log_in_with_passkey(body: passkey_models.Response) -> models.Session:
    """A session with aal2: the passkey is something one has, and it has verified its user."""
    return session_answer(*enter_by_passkey(body))


def enter_by_passkey(body: passkey_models.Response, also: Also = nothing) -> tuple[rows.User, rows.Session]:
    """A session for whoever has shown a passkey, and what `also` does with it. Raise BadRequest."""
    entered = None
    with here.db.transaction() as conn:
        key, shown = _shown(conn, body)
        _use(conn, body.challenge_id)
        owner = store.get_user(conn, key.user_id)
        moved_on = store.update_credential_used(
            conn, key.id, sign_count=shown.sign_count, is_backed_up=shown.is_backed_up
        )
        if owner is not None and not moved_on:
            # There may be two of this key (WebAuthn level 3, section 6.1.1).
            alert(conn, owner, "key_refused", session_id=None, factor_id=key.id, factor_type=METHOD)
        elif owner is not None:
            entered = _enter(conn, owner, key, also)
    # Only now, after the commit: the owner must hear of a key that somebody may have copied.
    FACTOR_CHECKS.labels(METHOD, "succeeded" if entered else "webauthn_verification_failed").inc()
    if entered is None:
        raise _refused("the counter of the key fell back")
    return entered


@bp.get("/passkeys")
@user
def list_passkeys() -> passkey_models.Passkeys:
    """The caller's passkeys, oldest first; ten at most, so there are no pages."""
    with here.db.transaction() as conn:
        keys = _passkeys(conn, require_caller(conn).user.id)
    return passkey_models.Passkeys([passkey_models.Passkey.of(key) for key in keys])


@bp.patch("/passkeys/<passkey_id>")
@user
def rename_passkey(path: passkey_models.PasskeyPath, body: passkey_models.Renaming) -> passkey_models.Passkey:
    """Give a passkey the name its owner knows it by."""
    with here.db.transaction() as conn:
        person = require_caller(conn)
        key = store.update_passkey_name(conn, person.user.id, path.passkey_id, body.friendly_name)
    if key is None:
        raise _not_found()
    return passkey_models.Passkey.of(key)


@bp.delete("/passkeys/<passkey_id>")
@user
def remove_passkey(path: passkey_models.PasskeyPath) -> None:
    """Remove a passkey; sessions that stand on it are aal1 again. Whoever has a second factor needs aal2."""
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        require_step_up(person, "delete a passkey")
        key = store.delete_passkey(conn, person.user.id, path.passkey_id)
        if key is None:
            raise _not_found()
        store.lower_sessions(conn, person.user.id, key.id)
        _tell(conn, person, "passkey_removed", key)


def _require_room(conn: Connection, person: Caller) -> None:
    """A passkey is a way to aal2: whoever has a second factor must have shown it before another way is opened."""
    require_step_up(person, "register a passkey")
    if len(_passkeys(conn, person.user.id)) >= MAX_PASSKEYS:
        raise UnprocessableContent("Maximum number of passkeys reached", code="too_many_passkeys")


def _passkeys(conn: Connection, user_id: UUID) -> list[rows.Credential]:
    return [key for key in store.list_credentials(conn, user_id) if key.factor_id is None]


def _asked(challenge_id: UUID, options: dict[str, Any]) -> passkey_models.Options:
    expires_at = int(challenges.expires_at(challenge_id))
    return passkey_models.Options(challenge_id=challenge_id, options=options, expires_at=expires_at)


def _made(person: Caller, body: passkey_models.Response) -> rows.NewKey:
    _require_alive(body.challenge_id)
    expected = challenges.made(here.sealer, challenges.REGISTRATION, body.challenge_id, person.session.id)
    try:
        return ceremonies.register(here.settings.relying_party, body.credential, expected, is_passkey=True)
    except ceremonies.Refused as error:
        raise _refused(error) from error


def _shown(conn: Connection, body: passkey_models.Response) -> tuple[rows.Credential, ceremonies.Shown]:
    """The passkey of a response and what it shows; an unknown passkey and a wrong response are refused alike."""
    _require_alive(body.challenge_id)
    expected = challenges.made(here.sealer, challenges.LOG_IN, body.challenge_id)
    try:
        credential_id, user_handle = ceremonies.names(body.credential)
        key = store.get_passkey(conn, credential_id)
        if key is None or user_handle != key.user_id.bytes:
            raise ceremonies.Refused("no such passkey of this user")
        return key, ceremonies.authenticate(
            here.settings.relying_party, body.credential, expected, key, is_passkey=True
        )
    except ceremonies.Refused as error:
        raise _refused(error) from error


def _enter(
    conn: Connection, owner: rows.User, key: rows.Credential, also: Also
) -> tuple[rows.User, rows.Session] | None:
    user = store.update_signed_in(conn, owner.id, password_hash=None)
    if user is None:
        return None
    opened = open_session(conn, user, METHOD)
    at = opened.amr[0]["timestamp"]
    session = store.raise_session(conn, opened.id, method=METHOD, proved_by=key.id, at=at)
    if session is None:
        return None
    also(conn, session)
    return user, session


def _require_alive(challenge_id: UUID) -> None:
    if not challenges.is_alive(challenge_id):
        raise BadRequest("Challenge has expired", code="webauthn_challenge_expired")


def _use(conn: Connection, challenge_id: UUID) -> None:
    if not store.use_challenge(conn, challenge_id, expires_at=challenges.expires_at(challenge_id)):
        raise BadRequest("Challenge not found or already used", code="webauthn_challenge_not_found")


def _tell(conn: Connection, person: Caller, change: str, key: rows.Credential) -> None:
    maker = maker_of(key.aaguid)
    session_id = person.session.id
    alert(conn, person.user, change, session_id=session_id, factor_id=key.id, factor_type=METHOD, provider=maker)


def _refused(reason: object) -> BadRequest:
    log.info("a passkey was refused", extra={"reason": str(reason)})
    return BadRequest("Credential verification failed", code="webauthn_verification_failed")


def _not_found() -> NotFound:
    return NotFound("Passkey not found", code="passkey_not_found")
