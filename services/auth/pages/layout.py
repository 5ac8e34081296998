"""What every page has: one look, and headers that close it to everything else. Readable on a phone, without script."""

import base64
import hashlib
import re
import secrets
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from flask import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.auth.pages.robots import Widget, widget
from services.auth.pages.words import say, tag
from services.auth.parts import here
from services.auth.places import FORBIDDEN_SCHEMES, WEB

FOLDER = Path(__file__).parent / "templates"
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
AUTHORITY = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["say"] = say
    return made


@cache
def _style() -> tuple[str, str]:
    """The style sheet, and its hash for the policy: it is in the page itself, and nothing else may be."""
    style = (FOLDER / "style.css").read_text("utf-8")
    return style, base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def show(
    template: str,
    status: int = 200,
    *,
    leads_to: str | None = None,
    has_secret_address: bool = False,
    script: bool = False,
    captcha: bool = False,
    **values: object,
) -> Response:
    """A page. `leads_to` is where the answer to its form may lead; `script` lets the one script of ours run, and
    `captcha` shows one where the operator wants it."""
    robots = widget() if captcha else None
    nonce = secrets.token_urlsafe(16) if script or robots else ""
    html = (
        _templates()
        .get_template(template)
        .render(
            lang=tag(), style=_style()[0], nonce=nonce, site=here.settings.webauthn_rp_name, robots=robots,
            site_key=here.settings.captcha_site_key, captcha_action=here.settings.captcha_action, **values,
        )
    )  # fmt: skip
    headers = page_headers(leads_to, has_secret_address=has_secret_address, nonce=nonce, robots=robots)
    return Response(html, status, headers=headers, content_type="text/html; charset=utf-8")


def page_headers(
    leads_to: str | None, *, has_secret_address: bool = False, nonce: str = "", robots: Widget | None = None
) -> dict[str, str]:
    """Nothing is loaded, framed or cached. Browsers hold `form-action` against the place that the answer leads to, too.

    Only own pages see the address of a page as their Referer, and of one that holds a secret not even they.
    """
    targets = " ".join(filter(None, ("'self'", form_source(leads_to))))
    scripts = f"script-src 'nonce-{nonce}'; " if nonce else ""
    if robots is not None:
        scripts = f"script-src 'nonce-{nonce}' {robots.sources}; frame-src {robots.sources}; "
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{_style()[1]}'; {scripts}form-action {targets}; "
            "frame-ancestors 'none'; base-uri 'none'"
        ),
        # `no-referrer` would hide from us, too, that a form came from our own page: browsers send `Origin: null` then.
        "Referrer-Policy": "no-referrer" if has_secret_address else "same-origin",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
        "Content-Language": tag(),
        "Vary": "Accept-Language, Cookie",
    }


def form_source(place: str | None) -> str:
    """The place as a source in `form-action`: its origin, or the scheme of an app; nothing for what cannot be one.

    It may be a stranger's words: nothing of it can end the directive and begin another.
    """
    try:
        parts = urlsplit(place or "")
    except ValueError:
        return ""
    scheme = parts.scheme.lower()
    if scheme in FORBIDDEN_SCHEMES or not SCHEME.fullmatch(scheme):
        return ""
    if scheme not in WEB or parts.netloc.startswith("["):  # a policy has no way to write an IPv6 address
        return f"{scheme}:"
    return f"{scheme}://{parts.netloc}" if AUTHORITY.fullmatch(parts.netloc) else ""
