"""The pages that the links of mails open."""

from flask import Response

from services.auth.pages.layout import page_headers, show
from services.auth.pages.words import say
from services.auth.passwords import MAX_LENGTH


def _words(kind: str) -> tuple[str, str]:
    """Title and button."""
    match kind:
        case "signup" | "email":
            return say("Confirm your e-mail address"), say("Confirm my address")
        case "invite":
            return say("You are invited"), say("Accept")
        case "magiclink":
            return say("Log in"), say("Log in")
        case "recovery":
            return say("Reset your password"), say("Go on")
        case _:
            return say("Change your e-mail address"), say("Agree to the change")


def ask(
    secret: str,
    kind: str,
    place: str | None,
    *,
    password_min_length: int | None,
    is_contested: bool,
    refused: str = "",
) -> Response:
    """A button that sends the secret on; with a length, also a field for the password to set.

    `refused` says why the last one was not taken.
    """
    title, button = _words(kind)
    hidden = {"token_hash": secret, "type": kind, "redirect_to": place or ""}
    return show(
        "link.html",
        leads_to=place,
        has_secret_address=True,
        title=title,
        button=button,
        hidden={name: value for name, value in hidden.items() if value},
        password_min_length=password_min_length,
        password_max_length=MAX_LENGTH,
        is_contested=is_contested,
        refused=refused,
    )


def lead_to(onward: str) -> Response:
    """To the app, at once. What is on the address stays out of every cache and Referer."""
    return Response(status=303, headers={**page_headers(None, has_secret_address=True), "Location": onward})


def done(kind: str) -> Response:
    """The end of the way, where there is no place to lead to."""
    said = say("Your password is set.") if kind == "recovery" else say("You can log in now.")
    return _said(say("Your address is confirmed"), said)


def type_the_code() -> Response:
    """A link that logs in has nothing to log in to where no place is set."""
    return _said(say("Log in"), say("Type the six digits of the mail into the app."))


def halfway(onward: str | None) -> Response:
    """The first of the two addresses of a change agreed."""
    said = say("Now confirm the mail that we sent to your other address. The change is made when both have agreed.")
    return _said(say("One of two is done"), said, onward)


def expired(onward: str | None) -> Response:
    """A link that is of no use; the app is told as it expects, if there is a place to lead to."""
    said = say("It was used already, or it is too old. Ask for a new mail in the app.")
    return _said(say("This link does not work any more"), said, onward, status=403)


def _said(title: str, text: str, onward: str | None = None, *, status: int = 200) -> Response:
    return show(
        "said.html",
        status,
        has_secret_address=True,
        title=title,
        text=text,
        onward=onward,
        onward_text=say("Back to the app"),
    )
