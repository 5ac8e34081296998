"""The few pages this service shows: readable on a phone, without script, and closed to everything else (CSP)."""

import base64
import hashlib
from html import escape

from flask import Response

from services.auth.passwords import MAX_LENGTH

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
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the address of the page holds the secret
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


def ask(token_hash: str, kind: str, redirect_to: str | None, *, password_min_length: int | None) -> Response:
    """A button that sends the secret on; with a length, also a field for the password to set."""
    hidden = {"token_hash": token_hash, "type": kind, "redirect_to": redirect_to or ""}
    inputs = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in hidden.items() if value
    )
    return _page(
        "Confirm your e-mail address",
        f'<form method="post" action="verify/confirm">{inputs}{_password_field(password_min_length)}'
        "<button>Confirm my address</button></form>",
    )


def _password_field(min_length: int | None) -> str:
    if min_length is None:
        return ""
    return (
        "<p>Somebody signed up with this address more than once, with different passwords. None of them counts.</p>"
        f'<label>Choose your password, {min_length} characters or more<input type="password" name="password" '
        f'required minlength="{min_length}" maxlength="{MAX_LENGTH}" autocomplete="new-password"></label>'
    )


def confirmed(redirect_to: str | None) -> Response:
    """The end of the way, with a link to the app if one is known."""
    onward = f'<a class="button" href="{escape(redirect_to)}">Back to the app</a>' if redirect_to else ""
    return _page("Your address is confirmed", f"<p>You can log in now.</p>{onward}")


def expired() -> Response:
    return _page(
        "This link does not work any more",
        "<p>It was used already, or it is too old. Ask for a new mail in the app.</p>",
        status=403,
    )


def _page(title: str, content: str, status: int = 200) -> Response:
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{content}</main></body></html>"
    )
    return Response(html, status, headers=HEADERS, content_type="text/html; charset=utf-8")
