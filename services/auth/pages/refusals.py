"""Pages that end a way: something went wrong, or somebody has left."""

from collections.abc import Mapping
from http import HTTPStatus

from flask import Response

import shared.app
from services.auth.pages.layout import show
from services.auth.pages.words import say
from shared.errors import Problem
from shared.routing import Blueprint


def refusal(title: str, text: str, status: int) -> Response:
    """Why it does not go on. Both are English sentences; they are shown in the reader's language if it has them."""
    return show("said.html", status, title=say(title), text=say(text), onward=None)


def signed_out(onward: str | None = None) -> Response:
    """The end of a session in this browser; `onward` is a checked address to go on to."""
    return show(
        "said.html",
        title=say("You are logged out"),
        text=say("You can close this window now."),
        onward=onward,
        onward_text=say("Back to the app"),
    )


def pages_of(name: str) -> Blueprint:
    """A blueprint for pages of the provider."""
    bp = Blueprint(name, __name__, url_prefix="/auth/oauth")
    show_problems(bp)
    return bp


def ask_to_log_out(account: str, hidden: Mapping[str, str], *, leads_to: str | None = None) -> Response:
    """A button that logs out, for an app asked and cannot show whom it means. `hidden` holds a `form_token`."""
    return show("log_out.html", leads_to=leads_to, title=say("Log out?"), account=account, hidden=hidden)


def show_problems(bp: Blueprint) -> None:
    """Let every problem of this blueprint's routes be a page: who calls them is a person with a browser."""
    bp.register_error_handler(Exception, answer_problem)


def answer_problem(error: Exception) -> Response:
    """The problem as a page, logged as everywhere."""
    problem = shared.app.problem_of(error)
    title = _title(problem)
    answer = refusal(title, problem.detail if problem.status < 500 else "Please try again in a moment.", problem.status)
    answer.headers.update(problem.headers)
    return answer


def _title(problem: Problem) -> str:
    match problem.status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return "Too many tries"
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return "Something went wrong"
        case _:
            return "This does not work"
