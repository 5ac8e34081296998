"""Pages that end a way: something went wrong, or somebody has left."""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from flask import Response

import shared.app
from services.auth.pages.layout import show
from services.auth.pages.words import knows, say
from shared.errors import Problem
from shared.routing import Blueprint

DETAILS: Mapping[str, Callable[[], str]] = {
    "bad_return_to": lambda: say("This page was opened on its own. Go back to the app and log in from there."),
    "form_token_invalid": lambda: say("The page was open for too long, or your browser keeps no cookies. Try again."),
    "session_not_found": lambda: say("You are not logged in any more. Go back to the app and try again."),
}


def refusal(title: str, text: str, status: int) -> Response:
    """Why it does not go on. Both are English sentences, shown in the reader's language if it has them."""
    foreign = "" if knows(text) else "en"
    return show("said.html", status, title=say(title), text=say(text), text_lang=foreign, onward=None)


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
    answer = refusal(*_words(problem), problem.status)
    answer.headers.update(problem.headers)
    return answer


def _words(problem: Problem) -> tuple[str, str]:
    """Title and text."""
    match problem.status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return say("Too many tries"), say("Wait a moment, then try again.")
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return say("Something went wrong"), say("Try again in a moment.")
        case _:
            return say("This does not work"), DETAILS.get(problem.code, lambda: problem.detail)()
