"""The page that asks whether an app may have what it wants: who asks, where it leads, which account, what for."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode, urlsplit

from flask import Response, request

from services.auth.browser import LOG_IN_PATH, RETURN_TO
from services.auth.pages.layout import show
from services.auth.pages.words import say
from services.auth.places import WEB
from services.auth.relying_party import LOOPBACK

AUTHORIZE = "/auth/oauth/authorize"


def consent(
    client_name: str,
    place: str,
    scopes: Iterable[str],
    hidden: Mapping[str, str],
    account: str,
    *,
    action: str = AUTHORIZE,
    return_to: str | None = None,
) -> Response:
    """Ask. The form sends `hidden`, and `decision`, which is `allow` or `deny`.

    `place` is the redirect URI that either leads to, as it was checked. Put `form_token` into `hidden`. `return_to` is
    the request that "Not you?" comes back to after another log-in: this very one, where it is a GET.
    """
    return show(
        "consent.html",
        leads_to=place,
        title=say("{client} asks for access", client=client_name),
        client_name=client_name,
        destination=destination(place),
        scopes=[words for scope in scopes if (words := meaning(scope))],
        hidden=hidden,
        account=account,
        action=action,
        other_account=_other_account(return_to or request.full_path.rstrip("?")),
    )


def meaning(scope: str) -> str:
    """A scope in plain words; its own name if we have none for it."""
    known = {
        "openid": say("see who you are"),
        "profile": say("see your name and picture"),
        "email": say("see your e-mail address"),
        "phone": say("see your phone number"),
        "address": say("see your postal address"),
        "do everything here that you can do yourself": say("do everything here that you can do yourself"),
        "offline_access": say("stay connected while you do not use it"),
    }
    return known.get(scope, scope)


def destination(place: str) -> str:
    """Where a redirect URI leads, for a person: the host, or the app on this device."""
    parts = urlsplit(place)
    if parts.scheme.lower() not in WEB:
        return say("an app on this device ({scheme})", scheme=parts.scheme)
    return say("a program on this device") if parts.hostname in LOOPBACK else parts.netloc


def _other_account(return_to: str) -> str | None:
    return f"{LOG_IN_PATH}?{urlencode({'return_to': return_to})}" if RETURN_TO.fullmatch(return_to) else None
