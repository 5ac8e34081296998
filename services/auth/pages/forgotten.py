"""The page for a forgotten password: a mail with a link sets a new one. It tells nobody whether an account is there."""

from flask import Response

from services.auth.browser import LOG_IN_PATH, form_token, require_form_token, require_return_to, visitor
from services.auth.pages.entry import PURPOSE, AddressForm, ReturnQuery, email_of, with_return
from services.auth.pages.layout import show
from services.auth.pages.reasons import reason
from services.auth.pages.refusals import pages_of
from services.auth.pages.robots import require_no_robot
from services.auth.pages.words import say
from services.auth.passwordless import send_recovery
from shared.errors import Problem
from shared.routing import public

bp = pages_of("forgotten_pages")


@bp.get("/login/forgotten", status=200)
@public
def show_forgotten(query: ReturnQuery) -> Response:
    """The page that asks for the address."""
    return _ask(require_return_to(query.return_to), "")


@bp.post("/login/forgotten", status=200)
@public
def recover_with_page(form: AddressForm) -> Response:
    """Mail the link to the user with this address, if there is one; the answer is the same for every address."""
    return_to = require_return_to(form.return_to)
    try:
        require_form_token(visitor(), PURPOSE)
        require_no_robot()
        email = email_of(form.typed)
        send_recovery(email)
    except Problem as problem:
        return _ask(return_to, form.typed, problem)
    return show(
        "said.html",
        title=say("Look into your mail"),
        text=say(
            "If there is an account for {address}, a mail on how to set a new password is on its way.", address=email
        ),
        onward=with_return(LOG_IN_PATH, return_to, login_hint=form.typed),
        onward_text=say("Back to log in"),
    )


def _ask(return_to: str, email: str, problem: Problem | None = None) -> Response:
    answer = show(
        "forgotten.html",
        problem.status if problem else 200,
        captcha=True,
        title=say("Forgot your password?"),
        refused=reason(problem) if problem else "",
        form_token=form_token(visitor(), PURPOSE),
        return_to=return_to,
        email=email,
        back=with_return(LOG_IN_PATH, return_to),
    )
    answer.headers.update(problem.headers if problem else {})
    return answer
