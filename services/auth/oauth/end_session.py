"""Logging out because an app asks for it (OpenID Connect RP-Initiated Logout 1.0)."""

from typing import Any
from uuid import UUID

import jwt
from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from authlib.oidc.rpinitiated import EndSessionEndpoint, EndSessionRequest
from flask import Response, request

from services.auth import pages, store
from services.auth.browser import Browser, form_token, log_out, require_form_token, signed_in
from services.auth.oauth.endings import end_grant
from services.auth.oauth.issuing import issuer_of
from services.auth.oauth.models import LogOutQuery
from services.auth.oauth.provider import provider, this_request
from services.auth.pages import show_problems
from services.auth.parts import here
from shared.postgres import Connection
from shared.routing import Blueprint, public

bp = Blueprint("oauth_end_session", __name__, url_prefix="/auth/oauth")
show_problems(bp)
PURPOSE = "log out"
NAME = EndSessionEndpoint.ENDPOINT_NAME


class EndSession(EndSessionEndpoint):  # type: ignore[misc]
    def get_server_jwks(self) -> dict[str, Any]:
        return {"keys": here.keys.public_keys()}

    def get_algorithms(self) -> list[str]:
        return ["ES256"]

    def _validate_id_token_hint(self, id_token_hint: str) -> dict[str, Any]:
        """An ID token of ours, however old; an access token is none. Raise InvalidRequestError.

        One whose key is gone says nothing any more: then the person is asked, as if there were none.
        """
        if _is_of_a_key_that_is_gone(id_token_hint):
            return {}
        try:
            claims: dict[str, Any] = super()._validate_id_token_hint(id_token_hint)
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidRequestError("id_token_hint is no ID token of ours.") from error
        if claims.get("iss") != issuer_of(here.settings) or "client_id" in claims:
            raise InvalidRequestError("id_token_hint is no ID token of ours.")
        return claims


def _is_of_a_key_that_is_gone(id_token_hint: str) -> bool:
    try:
        kid = jwt.get_unverified_header(id_token_hint).get("kid")
    except jwt.PyJWTError:
        return False
    return isinstance(kid, str) and kid not in {key["kid"] for key in here.keys.public_keys()}


provider.register_endpoint(EndSession)


@bp.get("/logout", status=200)
@public
def ask_to_log_out(query: LogOutQuery) -> Response:
    """End the session of this browser: at once if the app shows an ID token of the person, else on a button."""
    return _log_out()


@bp.post("/logout", status=200)
@public
def log_out_with_page() -> Response:
    """The same: the button of the page, or an app that sends its request as a form."""
    return _log_out()


def _log_out() -> Response:
    try:
        asked: EndSessionRequest = provider.validate_endpoint_request(NAME, this_request())
    except OAuth2Error as error:
        return pages.refusal("This does not work", error.description or "The request cannot be answered.", 400)
    with here.db.transaction() as conn:
        browser = signed_in(conn)
        if browser is not None and not _is_sure(asked, browser):
            return _ask(asked, browser)
        answer = _farewell(asked)
        if browser is not None:
            answer = log_out(conn, browser, answer)
        _end_own_session(conn, asked)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _is_sure(asked: EndSessionRequest, browser: Browser) -> bool:
    """True if the app knows whom it logs out, or the person pressed the button. A stranger's page can do neither."""
    if asked.id_token_claims is not None and asked.id_token_claims.get("sub") == str(browser.user.id):
        return True
    if request.method == "POST" and "form_token" in request.form:
        require_form_token(browser, PURPOSE)
        return True
    return False


def _ask(asked: EndSessionRequest, browser: Browser) -> Response:
    names = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")
    hidden = {name: value for name, value in asked.request.payload.data.items() if name in names}
    account = browser.user.email or browser.user.phone or str(browser.user.id)
    token = form_token(browser, PURPOSE)
    return pages.ask_to_log_out(account, {**hidden, "form_token": token}, leads_to=asked.redirect_uri)


def _farewell(asked: EndSessionRequest) -> Response:
    """To the registered place, if the app showed whose it is; else a page that says so."""
    if asked.redirect_uri is None:
        return pages.signed_out()
    return Response(status=303, headers={"Location": asked.redirect_uri, "Referrer-Policy": "no-referrer"})


def _end_own_session(conn: Connection, asked: EndSessionRequest) -> None:
    """An app of the house has a session of its own, which it logs out of with its ID token."""
    claims = asked.id_token_claims or {}
    try:
        session_id = UUID(claims.get("sid", ""))
    except ValueError:
        return
    grant = store.get_oauth_grant_of_session(conn, session_id)
    if grant is not None and str(grant.client_id) == claims.get("aud") and str(grant.user_id) == claims.get("sub"):
        end_grant(conn, grant, "logged_out")
