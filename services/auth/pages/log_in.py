"""The log-in page of the provider: password. It leads back to the request for authorization that it came from."""

from urllib.parse import parse_qs, urlsplit

from flask import Response
from pydantic import Field, SecretStr

from services.auth import grants
from services.auth.addresses import normalise
from services.auth.browser import form_token, keep, let_in, require_form_token, require_return_to, visitor
from services.auth.metrics import LOG_INS
from services.auth.models import ClientQuery
from services.auth.pages.layout import show
from services.auth.pages.refusals import refusal, show_problems
from services.auth.pages.ways import ways
from services.auth.pages.words import say
from services.auth.parts import here
from services.auth.passwords import MAX_LENGTH
from shared.errors import BadRequest, Forbidden, Problem, TooManyRequests, Unavailable
from shared.routing import Blueprint, Form, public

bp = Blueprint("log_in_pages", __name__, url_prefix="/auth/oauth")
show_problems(bp)

PURPOSE = "log in"


class LogInQuery(ClientQuery):
    return_to: str = Field("", description="the request for authorization to go back to, from its path on")
    login_hint: str = Field("", description="the address to begin with")


class LogInForm(Form):
    form_token: str = ""
    return_to: str = ""
    email: str = Field("", max_length=1_000)
    password: SecretStr = SecretStr("")


@bp.get("/login", status=200)
@public
def show_log_in(query: LogInQuery) -> Response:
    """The page that asks who somebody is; also who is logged in here, for they may be somebody else."""
    require_return_to(query.return_to)
    return _ask(query.return_to, query.login_hint[:254])


@bp.post("/login", status=200)
@public
def log_in_with_page(form: LogInForm) -> Response:
    """Log in with a password, as the JSON endpoint does, and give the browser a session."""
    return_to = require_return_to(form.return_to)
    try:
        require_form_token(visitor(), PURPOSE)
        proof = grants.prove(_normalised(form.email), _password(form))
    except Problem as problem:
        return _ask(return_to, form.email[:254], problem)
    with here.db.transaction() as conn:
        entered, session = grants.enter(conn, proof)
        token = let_in(conn, session)
    LOG_INS.labels("succeeded").inc()
    if entered.has_second_factor:
        return refusal("This does not work", "This account has a second factor: log in with the app.", 403)
    return keep(Response(status=303, headers={"Location": return_to}), token)


def _ask(return_to: str, email: str, problem: Problem | None = None) -> Response:
    answer = show(
        "log_in.html",
        problem.status if problem else 200,
        leads_to=_leads_to(return_to),
        title=say("Log in"),
        refused=_reason(problem) if problem else "",
        wrong=problem is not None and problem.status == 400,
        focus="password" if email else "email",
        form_token=form_token(visitor(), PURPOSE),
        return_to=return_to,
        email=email,
        password_max_length=MAX_LENGTH,
        ways=ways(return_to),
    )
    answer.headers.update(problem.headers if problem else {})
    return answer


def _reason(problem: Problem) -> str:
    match problem:
        case TooManyRequests():
            return say("Too many tries. Wait a moment, then try again.")
        case Unavailable():
            return say("Too many people are logging in just now. Try again in a moment.")
        case Forbidden(code="form_token_invalid"):
            return say("The page was open for too long, or your browser keeps no cookies. Try again.")
        case BadRequest(code="email_not_confirmed"):
            return say("Confirm your e-mail address first: we sent you a mail.")
        case BadRequest(code="user_banned"):
            return say("This account is blocked.")
        case _:
            return say("Address or password is wrong.")


def _normalised(email: str) -> str:
    try:
        return normalise(email.strip())
    except ValueError:
        raise BadRequest("Invalid login credentials", code="validation_failed") from None


def _password(form: LogInForm) -> str:
    password = form.password.get_secret_value()
    if not 1 <= len(password) <= MAX_LENGTH:
        raise BadRequest("Invalid login credentials", code="validation_failed")
    return password


def _leads_to(return_to: str) -> str | None:
    """Where the answer to this form may lead in the end, if the app has the person's consent already."""
    said = parse_qs(urlsplit(return_to).query).get("redirect_uri")
    return said[0] if said else None
