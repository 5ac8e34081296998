"""A code by mail in place of a password, or to confirm an address: asked for on the log-in page, typed on its own."""

from flask import Response
from pydantic import SecretStr, ValidationError

from services.auth import bodies
from services.auth.browser import LOG_IN_PATH, form_token, require_form_token, require_return_to, visitor
from services.auth.confirmation import enter_by_secret
from services.auth.pages.entry import PURPOSE, AddressForm, Seat, email_of, lead_to, leads_to, with_return
from services.auth.pages.layout import show
from services.auth.pages.log_in import ask_to_log_in
from services.auth.pages.reasons import reason
from services.auth.pages.refusals import pages_of
from services.auth.pages.robots import require_no_robot
from services.auth.pages.words import say
from services.auth.passwordless import send_code_to_user
from shared.errors import Forbidden, Problem
from shared.routing import public

bp = pages_of("code_pages")


class CodeForm(AddressForm):
    code: SecretStr = SecretStr("")


@bp.post("/login/code", status=200)
@public
def send_code_from_page(form: AddressForm) -> Response:
    """Mail a code to the user with this address, if there is one; the answer is the same for every address."""
    return_to = require_return_to(form.return_to)
    try:
        require_form_token(visitor(), PURPOSE)
        require_no_robot()
        email = email_of(form.typed)
        send_code_to_user(email)
    except Problem as problem:
        return ask_to_log_in(return_to, form.typed, problem)
    return ask_for_code(return_to, form.typed)


@bp.post("/login/code/check", status=200)
@public
def log_in_with_code_page(form: CodeForm) -> Response:
    """Log in with the code of a mail. That of a sign-up confirms the address, too."""
    return_to, seat = require_return_to(form.return_to), Seat()
    try:
        require_form_token(visitor(), PURPOSE)
        entered = enter_by_secret(_typed(form), seat.take)
    except Problem as problem:
        return ask_for_code(return_to, form.typed, problem)
    if entered is None:  # half of a change of address: no kind of these codes is one
        return lead_to(with_return(LOG_IN_PATH, return_to))
    return seat.lead_on(*entered, return_to)


def ask_for_code(return_to: str, email: str, problem: Problem | None = None) -> Response:
    """The page for the code that was sent to this address, if anything was."""
    answer = show(
        "code.html",
        problem.status if problem else 200,
        leads_to=leads_to(return_to),
        captcha=True,
        title=say("Look into your mail"),
        refused=reason(problem) if problem else "",
        form_token=form_token(visitor(), PURPOSE),
        return_to=return_to,
        email=email,
        back=with_return(LOG_IN_PATH, return_to, login_hint=email),
    )
    answer.headers.update(problem.headers if problem else {})
    return answer


def _typed(form: CodeForm) -> bodies.Verification:
    code = "".join(form.code.get_secret_value().split())
    try:
        return bodies.Verification(type="email", email=form.typed, token=SecretStr(code))
    except ValidationError:
        raise Forbidden("Token has expired or is invalid", code="otp_expired") from None
