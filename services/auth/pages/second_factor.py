"""The page for the second factor, for whoever has shown the first one in this browser and has one."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response
from pydantic import Field, SecretStr

from services.auth import factor_models, factors, recovery_codes, rows
from services.auth.browser import (
    LOG_IN_PATH,
    Browser,
    form_token,
    halfway_in,
    keep,
    renew,
    require_form_token,
    require_return_to,
    signed_in,
)
from services.auth.pages.entry import (
    SECOND_FACTOR_PATH,
    ReturnForm,
    ReturnQuery,
    lead_to,
    leads_to,
    with_return,
)
from services.auth.pages.layout import show
from services.auth.pages.reasons import reason
from services.auth.pages.refusals import pages_of
from services.auth.pages.script import credential_of
from services.auth.pages.words import say
from services.auth.parts import here
from shared.errors import BadRequest, Problem, UnprocessableContent
from shared.postgres import Connection
from shared.routing import public

bp = pages_of("second_factor_page")

PURPOSE = "second factor"
FIRST_OFFERED = ("webauthn", "totp", "phone", "recovery_code")
Offered = Mapping[str, Any]


class FactorQuery(ReturnQuery):
    factor: str = Field("", description="the id of the factor to be asked for")


class FactorForm(ReturnForm):
    factor: str = ""
    code: SecretStr = SecretStr("")
    challenge_id: str = ""
    credential: str = Field("", max_length=20_000, description="what `navigator.credentials.get` gave, as JSON")


@bp.get("/login/second-factor", status=200)
@public
def show_second_factor(query: FactorQuery) -> Response:
    """Ask for one of the person's factors. Who has shown all they need goes on, who has shown nothing goes back."""
    return_to = require_return_to(query.return_to)
    with here.db.transaction() as conn:
        browser = halfway_in(conn, locked=True)
        if browser is None:
            return lead_to(return_to if signed_in(conn) else with_return(LOG_IN_PATH, return_to))
        factor = _chosen(browser, query.factor)
        challenge = _question(conn, browser, factor)
    return _ask(browser, factor, return_to, challenge)


@bp.post("/login/second-factor/text", status=200)
@public
def send_text_from_page(form: FactorForm) -> Response:
    """Send the code of a phone, and ask for it."""
    return_to = require_return_to(form.return_to)
    with here.db.transaction() as conn:
        browser = halfway_in(conn, locked=True)
        if browser is None:
            return lead_to(with_return(LOG_IN_PATH, return_to))
    factor = _chosen(browser, form.factor)
    try:
        require_form_token(browser, PURPOSE)
        with here.db.transaction() as conn:
            challenge = factors.ask(conn, browser.caller, UUID(factor["id"]))
    except Problem as problem:
        return _ask(browser, factor, return_to, problem=problem)
    return _ask(browser, factor, return_to, challenge)


@bp.post("/login/second-factor", status=200)
@public
def answer_with_page(form: FactorForm) -> Response:
    """The answer: the session is as good as one with two factors, and the browser gets another cookie."""
    return_to = require_return_to(form.return_to)
    with here.db.transaction() as conn:
        browser = halfway_in(conn, locked=True)
        if browser is None:
            return lead_to(return_to if signed_in(conn) else with_return(LOG_IN_PATH, return_to))
        factor = _chosen(browser, form.factor)
        outcome = _judged(conn, browser, factor, form)
        token = "" if isinstance(outcome, Problem) else renew(conn, browser)
    # Only now, after the commit: a wrong code must count.
    if isinstance(outcome, Problem):
        return _asked_again(browser, factor, form, outcome)
    return keep(lead_to(return_to), token)


def _judged(conn: Connection, browser: Browser, factor: Offered, form: FactorForm) -> rows.Session | Problem:
    """The session with its second factor, or why not."""
    person, factor_id, code = browser.caller, UUID(factor["id"]), "".join(form.code.get_secret_value().split())
    try:
        require_form_token(browser, PURPOSE)
        if factor["factor_type"] == "recovery_code":
            return recovery_codes.use(conn, person, code) or _wrong()
        if factor["factor_type"] == "totp":
            challenge_id = factors.ask(conn, person, factor_id).id
        else:
            challenge_id = _uuid(form.challenge_id)
        return factors.judge(conn, person, factor_id, _answer(factor, challenge_id, code, form))
    except Problem as problem:
        return problem


def _answer(factor: Offered, challenge_id: UUID, code: str, form: FactorForm) -> factor_models.Answered:
    if factor["factor_type"] == "webauthn":
        shown = factor_models.KeyResponse(type="request", credential_response=credential_of(form.credential))
        return factor_models.Answered(challenge_id=challenge_id, webauthn=shown)
    if not 1 <= len(code) <= 32:
        raise _wrong()
    return factor_models.Answered(challenge_id=challenge_id, code=SecretStr(code))


def _wrong() -> UnprocessableContent:
    return UnprocessableContent("Invalid code entered", code="mfa_verification_failed")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadRequest("This challenge has expired", code="mfa_challenge_expired") from None


def _question(conn: Connection, browser: Browser, factor: Offered) -> factor_models.Challenge | None:
    """What a security key has to sign; codes need no question before they are there."""
    return factors.ask(conn, browser.caller, UUID(factor["id"])) if factor["factor_type"] == "webauthn" else None


def _verified(browser: Browser) -> list[Offered]:
    verified = [factor for factor in browser.user.factors if factor["status"] == "verified"]
    return sorted(verified, key=lambda factor: FIRST_OFFERED.index(factor["factor_type"]))


def _chosen(browser: Browser, factor_id: str) -> Offered:
    offered = _verified(browser)
    return next((factor for factor in offered if factor["id"] == factor_id), offered[0])


def _asked_again(browser: Browser, factor: Offered, form: FactorForm, problem: Problem) -> Response:
    """The page once more: the question of a text still stands, a security key needs a new one."""
    with here.db.transaction() as conn:
        challenge = _question(conn, browser, factor)
    return _ask(browser, factor, form.return_to, challenge, challenge_id=form.challenge_id, problem=problem)


def _ask(
    browser: Browser,
    factor: Offered,
    return_to: str,
    challenge: factor_models.Challenge | None = None,
    *,
    challenge_id: str = "",
    problem: Problem | None = None,
) -> Response:
    others = [other for other in _verified(browser) if other["id"] != factor["id"]]
    options = challenge.webauthn["credential_options"]["publicKey"] if challenge and challenge.webauthn else {}
    answer = show(
        "second_factor.html",
        problem.status if problem else 200,
        leads_to=leads_to(return_to),
        script=factor["factor_type"] == "webauthn",
        title=say("Second step"),
        refused=_reason(factor, problem) if problem else "",
        form_token=form_token(browser, PURPOSE),
        return_to=return_to,
        factor=factor,
        challenge_id=str(challenge.id) if challenge else challenge_id,
        options=options,
        others=[(_name(other), with_return(SECOND_FACTOR_PATH, return_to, factor=other["id"])) for other in others],
        account=browser.user.email or browser.user.phone or "",
        not_you=with_return(LOG_IN_PATH, return_to),
    )
    answer.headers.update(problem.headers if problem else {})
    return answer


def _reason(factor: Offered, problem: Problem) -> str:
    is_key = factor["factor_type"] == "webauthn" and problem.code == "mfa_verification_failed"
    return say("This key could not be verified.") if is_key else reason(problem)


def _name(factor: Offered) -> str:
    kind = {
        "totp": say("Authenticator app"),
        "webauthn": say("Security key"),
        "phone": say("Text message"),
        "recovery_code": say("Recovery code"),
    }[factor["factor_type"]]
    own = factor["friendly_name"]
    return f"{kind} ({own})" if own and factor["factor_type"] != "recovery_code" else kind
