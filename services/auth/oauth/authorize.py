"""The authorization endpoint: who is there, do they agree, and back to the app with a code.

Nobody is ever led to a place that the client did not register: what is wrong before that is known ends on a page. Every
answer that does lead back says whose it is (`iss`, RFC 9207).
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AccessDeniedError, InvalidRequestError, OAuth2Error
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core.errors import ConsentRequiredError, InteractionRequiredError, LoginRequiredError
from flask import Response, request
from werkzeug.datastructures import MultiDict

from services.auth import audit, pages, store
from services.auth.browser import Browser, form_token, require_form_token, signed_in, to_log_in
from services.auth.oauth import redirects
from services.auth.oauth.clients import Client
from services.auth.oauth.code_grant import CodeGrant, Owner, resource_of
from services.auth.oauth.issuing import issuer_of
from services.auth.oauth.models import AuthorizationQuery
from services.auth.oauth.provider import Asked, provider, this_request
from services.auth.oauth.requests import keep_request
from services.auth.pages import show_problems
from services.auth.parts import here
from shared.errors import Forbidden
from shared.postgres import Connection
from shared.routing import Blueprint, public

bp = Blueprint("oauth_authorize", __name__, url_prefix="/auth/oauth")
show_problems(bp)
PATH = "/auth/oauth/authorize"
OWN_NAMES = frozenset({"decision", "form_token", "begun"})
BEGUN_FOR_S = 900
RESPONSE_TYPE = re.compile(r"[A-Za-z0-9_ ]{0,100}")  # RFC 6749, appendix A.3
EVERYTHING = "do everything here that you can do yourself"


@bp.get("/authorize", status=200)
@public
def ask_for_authorization(query: AuthorizationQuery) -> Response:
    """An app asks for access (OAuth 2.1, OpenID Connect): log-in and consent as far as they are needed, then a code."""
    return _answer(lambda: _proceed(this_request()))


@bp.post("/authorize", status=200)
@public
def decide_on_authorization() -> Response:
    """What the person decided; or the request of an app that sends it as a form, which goes on as a GET.

    A form that comes from elsewhere brings no cookie.
    """
    return _answer(_decide if "decision" in request.form else _go_on)


def _go_on() -> Response:
    asked = this_request()
    return Response(status=303, headers={"Location": f"{PATH}?{urlencode(asked.payload.data)}"})


def _proceed(asked: Asked) -> Response:
    _require_readable(asked)
    grant = provider.get_consent_grant(asked)
    prompts = _prompts(asked)
    if here.settings.oauth_consent_url:
        if "none" in prompts:
            raise InteractionRequiredError(redirect_uri=grant.redirect_uri)
        return Response(status=303, headers={"Location": keep_request(asked)})
    with here.db.transaction() as conn:
        browser = signed_in(conn)
        is_agreed = browser is not None and has_agreed(conn, asked, browser.user.id)
    if browser is None or browser.user.is_anonymous or not is_fresh(asked, browser.auth_time, _begun(asked)):
        if "none" in prompts:
            raise LoginRequiredError(redirect_uri=grant.redirect_uri)
        return to_log_in(_back_to(asked), login_hint=asked.payload.data.get("login_hint"))
    if is_agreed and "consent" not in prompts:
        return give_code(grant, owner_of(browser))
    if "none" in prompts:
        raise ConsentRequiredError(redirect_uri=grant.redirect_uri)
    return _ask(asked, browser)


def _ask(asked: Asked, browser: Browser) -> Response:
    client: Client = asked.client
    scopes = asked.scope.split()
    if resource_of(asked, client) == here.settings.public_url:
        scopes.append(EVERYTHING)
    sent = {name: value for name, value in asked.payload.data.items() if name not in OWN_NAMES}
    hidden = {**sent, "form_token": form_token(browser, _purpose(asked))}
    account = browser.user.email or browser.user.phone or str(browser.user.id)
    return pages.consent(client.name, asked.payload.redirect_uri, scopes, hidden, account)


def _decide() -> Response:
    """Only what this browser was shown can be decided on: the form's token holds the whole request."""
    with here.db.transaction() as conn:
        browser = signed_in(conn)
    if browser is None:
        raise Forbidden("You are not logged in any more. Go back to the app and try again.", code="session_not_found")
    given = MultiDict((name, value) for name, value in request.form.items(multi=True) if name not in OWN_NAMES)
    asked = Asked("POST", given, request.headers)
    _require_readable(asked)
    require_form_token(browser, _purpose(asked))
    grant = provider.get_consent_grant(asked)
    if request.form["decision"] != "allow":
        raise AccessDeniedError(redirect_uri=grant.redirect_uri)
    return give_code(grant, owner_of(browser))


def give_code(grant: CodeGrant, owner: Owner) -> Response:
    """Lead back with a code. What was agreed to is in the log."""
    with here.db.transaction() as conn:
        client_id, scope = str(grant.request.client.id), grant.request.scope
        audit.note(
            conn, "grant.made", owner.user.id, actor=owner.user.id, session_id=owner.session.id,
            client=client_id, scope=scope,
        )  # fmt: skip
    response: Response = provider.create_authorization_response(grant.request, grant_user=owner, grant=grant)
    return response


def has_agreed(conn: Connection, asked: Asked, user_id: UUID) -> bool:
    """True if nobody need be asked: they agreed before, or the app is the house's own; and only this app gets what is
    sent to its place. Any app may claim the scheme of another one: there a person is asked each time (RFC 8252, 8.6).
    """
    client: Client = asked.client
    if not redirects.is_assured(asked.payload.redirect_uri):
        return False
    resource = resource_of(asked, client)
    resources = [resource] if resource else []
    return client.is_first_party or store.has_oauth_consent(conn, user_id, client.id, asked.scope.split(), resources)


def is_fresh(asked: Asked, auth_time: int, begun: int) -> bool:
    """True if the log-in is as new as `prompt` and `max_age` want it, seen from when the request came first."""
    max_age = asked.payload.data.get("max_age")
    if max_age and auth_time < begun - int(max_age):
        return False
    return not ({"login", "select_account"} & set(_prompts(asked)) and auth_time < begun)


def owner_of(browser: Browser) -> Owner:
    return Owner(browser.user, browser.session, browser.auth_time)


def lead_back(error: OAuth2Error, asked: Asked | None) -> str | None:
    """Where an error is told, if there is such a place."""
    if not error.redirect_uri:
        return None
    told = dict(error.get_body())
    if asked is not None and asked.payload.state:
        told["state"] = asked.payload.state
    told["iss"] = issuer_of(here.settings)
    place: str = add_params_to_uri(error.redirect_uri, list(told.items()))
    return place


def _require_readable(asked: Asked) -> None:
    """Authlib repeats a response type that it does not know in an error, where not every character may stand."""
    if not RESPONSE_TYPE.fullmatch(asked.payload.data.get("response_type", "")):
        raise InvalidRequestError("response_type is malformed.")


def _prompts(asked: Asked) -> list[str]:
    prompts: list[str] = asked.payload.data.get("prompt", "").split()
    if "none" in prompts and len(prompts) > 1:
        raise InvalidRequestError("prompt=none stands alone.", redirect_uri=asked.payload.redirect_uri)
    return prompts


def _answer(asked_for: Callable[[], Response]) -> Response:
    """The answer; or the error, where it belongs: with the app if that is known to be it, else on a page."""
    try:
        response = asked_for()
    except OAuth2Error as error:
        place = lead_back(error, _quietly())
        if place is None:
            said = error.description or "The app sent a request that cannot be answered."
            return pages.refusal("This does not work", said, 400)
        response = Response(status=303, headers={"Location": place})
    response.headers["Cache-Control"] = "no-store"
    if response.status_code == 303:
        response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _quietly() -> Asked | None:
    try:
        return this_request()
    except OAuth2Error:
        return None


def _canonical(asked: Asked) -> bytes:
    said = sorted((name, value) for name, value in asked.payload.data.items() if name not in OWN_NAMES)
    return json.dumps(said).encode()


def _purpose(asked: Asked) -> str:
    return f"consent {hashlib.sha256(_canonical(asked)).hexdigest()}"


def _back_to(asked: Asked) -> str:
    """This very request, and when it came: the log-in that follows is new enough for it, and only for it."""
    sent = {name: value for name, value in asked.payload.data.items() if name not in OWN_NAMES}
    begun = str(_begun(asked))
    return f"{PATH}?{urlencode({**sent, 'begun': f'{begun}.{_macs(asked, begun)[0]}'})}"


def _begun(asked: Asked) -> int:
    """When the request came first, in Unix seconds: now, unless it says otherwise in our own hand."""
    now = int(time.time())
    begun, _, mac = asked.payload.data.get("begun", "").partition(".")
    if not begun.isdecimal() or not any(hmac.compare_digest(own, mac) for own in _macs(asked, begun)):
        return now
    return int(begun) if now - BEGUN_FOR_S <= int(begun) <= now else now


def _macs(asked: Asked, begun: str) -> list[str]:
    message = begun.encode() + b"\n" + _canonical(asked)
    return [mac.hex() for mac in here.sealer.macs(message, "authorization request")]


class Issuer(IssuerParameter):  # type: ignore[misc]
    def __init__(self, server: Any) -> None:
        self(server)

    def get_issuer(self) -> str:
        return issuer_of(here.settings)


provider.register_extension(Issuer)
