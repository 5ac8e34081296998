"""What clients call: token, revocation, introspection, userinfo. Errors are those of RFC 6749, not problems."""

from typing import Any

from flask import Response, request

from services.auth import store
from services.auth.oauth import code_grant, inspection, refresh_grant, service_grant
from services.auth.oauth.clients import OPENID
from services.auth.oauth.issuing import issuer_of, personal_claims
from services.auth.oauth.models import Introspected, OAuthError, Person, PresentedForm, TokenForm, Tokens
from services.auth.oauth.provider import answer, provider, this_request
from services.auth.parts import here
from shared.errors import Forbidden
from shared.routing import Blueprint, public
from shared.tokens import bearer, refusal

GRANTS = (code_grant.CodeGrant, refresh_grant.RefreshGrant, service_grant.ServiceGrant)  # registered with the provider
REVOCATION, INTROSPECTION = inspection.Revocation.ENDPOINT_NAME, inspection.Introspection.ENDPOINT_NAME


def protocol_blueprint(name: str, import_name: str, url_prefix: str = "/auth/oauth") -> Blueprint:
    """Routes whose errors have the form of the protocol."""
    bp = Blueprint(name, import_name, url_prefix=url_prefix)
    bp.abp_responses = {**bp.abp_responses, "4XX": OAuthError}
    return bp


bp = protocol_blueprint("oauth", __name__)


@bp.post("/token", status=200)
@public
def exchange_for_tokens(form: TokenForm) -> Tokens | Response:
    """A code, a refresh token or a client's own secret (`grant_type`) for tokens."""
    return answer(lambda: provider.create_token_response(this_request()))


@bp.post("/revoke", status=200)
@public
def revoke_token(form: PresentedForm) -> Response:
    """End what a token stands for (RFC 7009). 200 for what is unknown, too."""
    return answer(lambda: provider.create_endpoint_response(REVOCATION, this_request()))


@bp.post("/introspect", status=200)
@public
def introspect_token(form: PresentedForm) -> Introspected | Response:
    """What a token is worth now (RFC 7662), to clients with a secret."""
    return answer(lambda: provider.create_endpoint_response(INTROSPECTION, this_request()))


@bp.get("/userinfo", status=200)
@public
def show_person() -> Person | Response:
    """Who granted the access token, as far as its scopes tell."""
    return _person()


@bp.post("/userinfo", status=200)
@public
def show_person_too() -> Person | Response:
    """The same: OpenID Connect Core, section 5.3.1, wants both methods."""
    return _person()


def _person() -> Response:
    token = inspection.find(bearer(request.headers.get("Authorization")))
    at_home = (issuer_of(here.settings), here.settings.audience)
    if token is None or token.is_refresh or token.grant is None or token.audience not in at_home:
        raise refusal("token_refused", "The token is not good here, or not good any more.")
    if OPENID not in token.scopes:
        challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="openid"'}
        raise Forbidden("The token lacks the scope openid.", code="insufficient_scope", headers=challenge)
    with here.db.transaction() as conn:
        user = store.get_user(conn, token.grant.user_id)
    if user is None:
        raise refusal("token_refused", "The token is not good here, or not good any more.")
    claims: dict[str, Any] = personal_claims(user, token.scopes)
    return provider.handle_response(200, claims, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
