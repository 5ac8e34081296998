"""What a token that somebody presents is worth now: its signature, and whether what it stands for is still alive."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from flask import current_app

from services.auth import store
from services.auth.oauth import issuing
from services.auth.oauth.clients import Client
from services.auth.oauth.endings import end_grant
from services.auth.oauth.issuing import ACCESS_TYP, issuer_of
from services.auth.oauth.provider import BY_SECRET, CLIENT_AUTHENTICATION, Asked, provider
from services.auth.parts import here
from shared.errors import Unauthorized
from shared.postgres import Connection
from shared.tokens import LEEWAY_S, Verifier


@dataclass(frozen=True)
class Presented:
    """A token that is good now. `grant` is what it hangs on; a service's own token has none."""

    claims: dict[str, Any]
    client_id: UUID
    grant: store.Grant | None
    is_refresh: bool = False
    is_stale: bool = False  # a refresh token that was exchanged

    @property
    def audience(self) -> str:
        return str(self.claims.get("aud", ""))

    @property
    def scopes(self) -> list[str]:
        return str(self.claims.get("scope", "")).split()

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.id

    def is_expired(self) -> bool:
        return self.is_stale

    def is_revoked(self) -> bool:
        """False: what has ended is not found at all."""
        return False


def find(text: str) -> Presented | None:
    """An access or refresh token of any client, if it is good now."""
    return _access(text) if text.count(".") == 2 else _refresh(text)


def _access(text: str) -> Presented | None:
    claims = read_jwt(text)
    client_id = _id(claims.get("client_id")) if claims else None
    if claims is None or client_id is None:
        return None
    if claims.get("role") == "service":
        with here.db.transaction() as conn:
            is_known = store.get_oauth_client(conn, client_id) is not None
        return Presented(claims, client_id, None) if is_known else None
    with here.db.transaction() as conn:
        grant = _grant_of(conn, claims)
    return Presented(claims, client_id, grant) if grant and grant.client_id == client_id else None


def _grant_of(conn: Connection, claims: dict[str, Any]) -> store.Grant | None:
    """By its id, or, in a token of the house, by the session that it opened."""
    grant_id, session_id = _id(claims.get("grant_id")), _id(claims.get("sid"))
    if grant_id is not None:
        return store.get_oauth_grant(conn, grant_id)
    return store.get_oauth_grant_of_session(conn, session_id) if session_id is not None else None


def _refresh(text: str) -> Presented | None:
    token = issuing.read_refresh_token(here.sealer, text)
    if token is None:
        return None
    with here.db.transaction() as conn:
        grant = store.get_oauth_grant(conn, token.session_id)
    if grant is None or token.number > grant.refresh_issued:
        return None
    is_stale = token.number < grant.refresh_issued
    claims = {"sub": str(grant.user_id), "scope": grant.get_scope(), "iss": issuer_of(here.settings)}
    return Presented(claims, grant.client_id, grant, is_refresh=True, is_stale=is_stale)


def read_jwt(text: str) -> dict[str, Any] | None:
    """The claims of an access token that was signed here for a client, of the provider or of the house; None if it is
    anything else. An ID token is anything else."""
    verifier: Verifier = current_app.extensions["verifier"]
    try:
        key = verifier.keys.get(verifier.kid(text))
        claims: dict[str, Any] = jwt.decode(
            text,
            key,
            algorithms=["ES256"],
            issuer=[issuer_of(here.settings), here.settings.issuer],
            leeway=LEEWAY_S,
            options={"require": ["iss", "aud", "sub", "exp", "iat"], "verify_aud": False},
        )
        typ = jwt.get_unverified_header(text).get("typ")
    except (Unauthorized, jwt.PyJWTError):
        return None
    is_of_the_house = claims["iss"] == here.settings.issuer and claims["aud"] == here.settings.audience
    return claims if typ == ACCESS_TYP or is_of_the_house else None


def _id(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


class Revocation(RevocationEndpoint):  # type: ignore[misc]
    """RFC 7009. The end of any token of a grant is the end of the grant."""

    CLIENT_AUTH_METHODS = CLIENT_AUTHENTICATION

    def query_token(self, token_string: str, token_type_hint: str | None) -> Presented | None:
        return find(token_string)

    def authenticate_token(self, request: Asked, client: Client) -> Presented | None:
        """Another client's token is as unknown as one that never was: the answer tells nothing (section 2.1)."""
        self.check_params(request, client)
        token = find(request.form["token"])
        return token if token and token.check_client(client) else None

    def revoke_token(self, token: Presented, request: Asked) -> None:
        """A service's own access token cannot be called back; it ends in ten minutes by itself."""
        if token.grant is not None:
            with here.db.transaction() as conn:
                end_grant(conn, token.grant, "revoked")


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    """RFC 7662, for clients with a secret: about their own tokens, and about those made for a resource they serve."""

    CLIENT_AUTH_METHODS = BY_SECRET

    def query_token(self, token_string: str, token_type_hint: str | None) -> Presented | None:
        return find(token_string)

    def check_permission(self, token: Presented, client: Client, request: Asked) -> bool:
        is_for_it = client.is_resource_server and not token.is_refresh and token.audience in client.resources
        return token.check_client(client) or is_for_it

    def introspect_token(self, token: Presented) -> dict[str, Any]:
        shown = ("iss", "aud", "sub", "scope", "exp", "iat", "jti", "auth_time", "acr", "amr")
        about = {name: token.claims[name] for name in shown if name in token.claims}
        kind = {} if token.is_refresh else {"token_type": "Bearer"}
        return {"active": True, "client_id": str(token.client_id), **kind, **about}


provider.register_endpoint(Revocation)
provider.register_endpoint(Introspection)
