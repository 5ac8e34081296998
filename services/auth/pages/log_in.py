"""The log-in page of the provider: password or passkey, and the ways to a code, a new password or a new account."""

from uuid import UUID

from flask import Response
from pydantic import Field, SecretStr, ValidationError

from services.auth import grants, passkey_models
from services.auth.browser import LOG_IN_PATH, form_token, require_form_token, require_return_to, visitor
from services.auth.metrics import LOG_INS
from services.auth.pages.entry import (
    MAX_ADDRESS,
    PURPOSE,
    AddressForm,
    ReturnForm,
    ReturnQuery,
    Seat,
    address_of,
    leads_to,
    with_return,
)
from services.auth.pages.layout import show
from services.auth.pages.reasons import reason
from services.auth.pages.refusals import pages_of
from services.auth.pages.robots import require_no_robot
from services.auth.pages.script import credential_of
from services.auth.pages.ways import ways
from services.auth.pages.words import say
from services.auth.parts import here
from services.auth.passkeys import begin_passkey_log_in, enter_by_passkey
from services.auth.passwords import MAX_LENGTH
from shared.errors import BadRequest, Problem
from shared.routing import public

bp = pages_of("log_in_page")


class LogInQuery(ReturnQuery):
    login_hint: str = Field("", description="the address to begin with")


class PasswordForm(AddressForm):
    password: SecretStr = SecretStr("")


class PasskeyForm(ReturnForm):
    challenge_id: str = ""
    credential: str = Field("", max_length=20_000, description="what `navigator.credentials.get` gave, as JSON")


@bp.get("/login", status=200)
@public
def show_log_in(query: LogInQuery) -> Response:
    """The page that asks who somebody is; also who is logged in here, for they may be somebody else."""
    return ask_to_log_in(require_return_to(query.return_to), query.login_hint[:MAX_ADDRESS])


@bp.post("/login", status=200)
@public
def log_in_with_page(form: PasswordForm) -> Response:
    """Log in with a password, as the JSON endpoint does, and give the browser a session."""
    return_to, seat = require_return_to(form.return_to), Seat()
    try:
        require_form_token(visitor(), PURPOSE)
        require_no_robot()
        proof = grants.prove(address_of(form.typed), _password(form))
        with here.db.transaction() as conn:
            entered, session = grants.enter(conn, proof)
            seat.take(conn, session)
    except Problem as problem:
        return ask_to_log_in(return_to, form.typed, problem)
    LOG_INS.labels("succeeded").inc()
    return seat.lead_on(entered, session, return_to)


@bp.post("/login/passkey", status=200)
@public
def log_in_with_passkey_page(form: PasskeyForm) -> Response:
    """Log in with a passkey, which the page's script has asked the device for."""
    return_to, seat = require_return_to(form.return_to), Seat()
    try:
        require_form_token(visitor(), PURPOSE)
        entered, session = enter_by_passkey(_shown(form), seat.take)
    except Problem as problem:
        return ask_to_log_in(return_to, "", problem)
    return seat.lead_on(entered, session, return_to)


def ask_to_log_in(return_to: str, email: str, problem: Problem | None = None) -> Response:
    """The page, with what was typed before and why that was not enough."""
    passkey = begin_passkey_log_in()
    answer = show(
        "log_in.html",
        problem.status if problem else 200,
        leads_to=leads_to(return_to),
        script=True,
        captcha=True,
        title=say("Log in"),
        refused=reason(problem) if problem else "",
        is_wrong=problem is not None and problem.code in ("invalid_credentials", "not_an_address"),
        focus="password" if email and (problem is None or problem.code != "not_an_address") else "email",
        form_token=form_token(visitor(), PURPOSE),
        return_to=return_to,
        email=email,
        takes_numbers=here.settings.sms_is_on,
        password_max_length=MAX_LENGTH,
        passkey=passkey,
        ways=ways(return_to),
        forgotten=with_return(f"{LOG_IN_PATH}/forgotten", return_to),
        sign_up=with_return(f"{LOG_IN_PATH}/sign-up", return_to),
    )
    answer.headers.update(problem.headers if problem else {})
    return answer


def _password(form: PasswordForm) -> str:
    """Too long is wrong, too: it is not worth the work."""
    password = form.password.get_secret_value()
    if not 1 <= len(password) <= MAX_LENGTH:
        raise BadRequest(*grants.WRONG[:1], code=grants.WRONG[1])
    return password


def _shown(form: PasskeyForm) -> passkey_models.Response:
    try:
        challenge_id, credential = UUID(form.challenge_id), credential_of(form.credential)
        return passkey_models.Response(challenge_id=challenge_id, credential=credential)
    except (ValueError, ValidationError) as error:
        raise BadRequest("Credential verification failed", code="webauthn_verification_failed") from error
