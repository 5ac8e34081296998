"""The captcha of a page, where the operator wants one: the one thing that needs a script and comes from elsewhere.

Whoever cannot solve one goes in with a passkey, or with the app."""

from dataclasses import dataclass

from flask import request

from services.auth.captcha_check import require_solved
from services.auth.parts import here


@dataclass(frozen=True)
class Widget:
    """What a provider's documents say to put into a page, and where its script may load from."""

    script: str
    css_class: str
    field: str
    sources: str


WIDGETS = {
    "turnstile": Widget(
        "https://challenges.cloudflare.com/turnstile/v0/api.js",
        "cf-turnstile",
        "cf-turnstile-response",
        "https://challenges.cloudflare.com",
    ),
    "hcaptcha": Widget(
        "https://js.hcaptcha.com/1/api.js",
        "h-captcha",
        "h-captcha-response",
        "https://hcaptcha.com https://*.hcaptcha.com",
    ),
}


def widget() -> Widget | None:
    """What to show, if a captcha is asked for and the pages know the site's key."""
    settings = here.settings
    return WIDGETS[settings.captcha_provider] if settings.captcha_provider and settings.captcha_site_key else None


def require_no_robot() -> None:
    """Hold the form against the captcha, as the JSON endpoints do; without the site's key nobody has solved one.

    Call it while no connection is held. Raise BadRequest(captcha_failed), or Unavailable(captcha_unavailable).
    """
    provider = here.settings.captcha_provider
    if provider:
        require_solved(request.form.get(WIDGETS[provider].field, ""))
