"""The few pages this service shows: readable on a phone, without script, and closed to everything else (CSP)."""

import base64
import hashlib
from html import escape

from flask import Response

from services.auth.passwords import MAX_LENGTH
from services.auth.places import form_source

STYLE = """
body{margin:0;font:1.125rem/1.5 system-ui,sans-serif;color:#1c1e21;background:#f4f5f7}
main{max-width:26rem;margin:12vh auto 0;padding:2rem;background:#fff;border-radius:1rem}
h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.25}
button,a.button{display:block;box-sizing:border-box;width:100%;padding:.9rem;border:0;border-radius:.6rem;background:#1a56db;
color:#fff;font:inherit;font-weight:600;text-align:center;text-decoration:none}
input[type=password]{display:block;box-sizing:border-box;width:100%;margin:.5rem 0 1rem;padding:.9rem;
border:1px solid #8a8f98;border-radius:.6rem;font:inherit}
@media(max-width:30rem){main{margin:0;min-height:100vh;border-radius:0;box-sizing:border-box}}
@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#111316}main{background:#1b1e23}}
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
WORDS = {
    "signup": ("Confirm your e-mail address", "Confirm my address"),
    "email": ("Confirm your e-mail address", "Confirm my address"),
    "invite": ("You are invited", "Accept"),
    "magiclink": ("Log in", "Log in"),
    "recovery": ("Reset your password", "Go on"),
}
OF_A_CHANGE = ("Change your e-mail address", "Agree to the change")


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
    title, button = WORDS.get(kind, OF_A_CHANGE)
    hidden = {"token_hash": secret, "type": kind, "redirect_to": place or ""}
    inputs = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in hidden.items() if value
    )
    again = f'<p role="alert">{escape(refused)}</p>' if refused else ""
    return _page(
        title,
        f'{again}<form method="post" action="verify/confirm">{inputs}'
        f"{_password_field(password_min_length, is_contested)}<button>{button}</button></form>",
        leads_to=place,
    )


def _password_field(min_length: int | None, is_contested: bool) -> str:
    if min_length is None:
        return ""
    why = "Somebody signed up with this address more than once, with different passwords. None of them counts."
    return (
        f"{f'<p>{why}</p>' if is_contested else ''}"
        f'<label>Choose your password, {min_length} characters or more<input type="password" name="password" '
        f'required minlength="{min_length}" maxlength="{MAX_LENGTH}" autocomplete="new-password"></label>'
    )


def lead_to(onward: str) -> Response:
    """To the app, at once. What is on the address stays out of every cache and Referer."""
    return Response(status=303, headers={**_headers(None), "Location": onward})


def done(kind: str) -> Response:
    """The end of the way, where there is no place to lead to."""
    said = "Your password is set." if kind == "recovery" else "You can log in now."
    return _page("Your address is confirmed", f"<p>{said}</p>")


def type_the_code() -> Response:
    """A link that logs in has nothing to log in to where no place is set."""
    return _page("Log in", "<p>Type the six digits of the mail into the app.</p>")


def halfway(onward: str | None) -> Response:
    """The first of the two addresses of a change agreed."""
    said = "Now confirm the mail that we sent to your other address. The change is made when both have agreed."
    return _page("One of two is done", f"<p>{said}</p>{_button(onward)}")


def expired(onward: str | None) -> Response:
    """A link that is of no use; the app is told as it expects, if there is a place to lead to."""
    said = "It was used already, or it is too old. Ask for a new mail in the app."
    return _page("This link does not work any more", f"<p>{said}</p>{_button(onward)}", status=403)


def _button(onward: str | None) -> str:
    return f'<a class="button" href="{escape(onward)}">Back to the app</a>' if onward else ""


def _headers(leads_to: str | None) -> dict[str, str]:
    """Browsers hold `form-action` against the place that the answer to the form leads to, too."""
    targets = f"'self' {form_source(leads_to)}" if leads_to else "'self'"
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action {targets}; "
            "frame-ancestors 'none'; base-uri 'none'"
        ),
        "Referrer-Policy": "no-referrer",  # the address of the page holds the secret
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
    }


def _page(title: str, content: str, status: int = 200, *, leads_to: str | None = None) -> Response:
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{content}</main></body></html>"
    )
    return Response(html, status, headers=_headers(leads_to), content_type="text/html; charset=utf-8")
