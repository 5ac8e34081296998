"""The page that makes an account: address and password, then the code of the mail. A taken address looks like a free
one."""

from flask import Response
from pydantic import SecretStr

from services.auth import hooks, rows
from services.auth.browser import LOG_IN_PATH, form_token, require_form_token, require_return_to, visitor
from services.auth.pages.codes import ask_for_code
from services.auth.pages.entry import PURPOSE, AddressForm, ReturnQuery, Seat, email_of, leads_to, with_return
from services.auth.pages.layout import show
from services.auth.pages.reasons import reason
from services.auth.pages.refusals import pages_of
from services.auth.pages.robots import require_no_robot
from services.auth.pages.words import language, say
from services.auth.parts import here
from services.auth.passwords import MAX_LENGTH
from services.auth.routes import sign_up_with_password
from shared.errors import Problem, UnprocessableContent
from shared.routing import public

bp = pages_of("sign_up_pages")


class SignUpForm(AddressForm):
    password: SecretStr = SecretStr("")


@bp.get("/login/sign-up", status=200)
@public
def show_sign_up(query: ReturnQuery) -> Response:
    """The page that asks for an address and a password."""
    return _ask(require_return_to(query.return_to), "")


@bp.post("/login/sign-up", status=200)
@public
def sign_up_with_page(form: SignUpForm) -> Response:
    """Make an account, as the JSON endpoint does, in the reader's language; then ask for the code of the mail."""
    return_to, seat = require_return_to(form.return_to), Seat()
    try:
        require_form_token(visitor(), PURPOSE)
        require_no_robot()
        made = _sign_up(form, seat)
    except Problem as problem:
        return _ask(return_to, form.typed, problem)
    return seat.lead_on(*made, return_to) if isinstance(made, tuple) else ask_for_code(return_to, form.typed)


def _sign_up(form: SignUpForm, seat: Seat) -> rows.User | tuple[rows.User, rows.Session]:
    email, password, metadata = email_of(form.typed), form.password.get_secret_value(), {"locale": language()}
    if len(password) > MAX_LENGTH:
        raise UnprocessableContent("Choose a shorter password.", code="weak_password")
    refusal = hooks.refusal_of_user(email, None, metadata)
    if refusal is not None:
        raise refusal
    return sign_up_with_password(email, password, metadata, also=seat.take)


def _ask(return_to: str, email: str, problem: Problem | None = None) -> Response:
    answer = show(
        "sign_up.html",
        problem.status if problem else 200,
        leads_to=leads_to(return_to),
        captcha=True,
        title=say("Create an account"),
        refused=reason(problem) if problem else "",
        is_weak=problem is not None and problem.code == "weak_password",
        form_token=form_token(visitor(), PURPOSE),
        return_to=return_to,
        email=email,
        min_length=here.settings.password_min_length,
        max_length=MAX_LENGTH,
        log_in=with_return(LOG_IN_PATH, return_to),
    )
    answer.headers.update(problem.headers if problem else {})
    return answer
