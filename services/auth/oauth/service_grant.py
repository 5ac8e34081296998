"""Client credentials: a token for a service itself, no person (OAuth 2.1, section 4.2)."""

from typing import Any

from authlib.oauth2.rfc6749 import InvalidScopeError
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant

from services.auth.oauth import issuing
from services.auth.oauth.errors import InvalidTargetError
from services.auth.oauth.provider import BY_SECRET, Asked, provider
from services.auth.parts import here
from shared.tokens import TOKEN_LIFETIME_S


class ServiceGrant(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = BY_SECRET
    request: Asked

    def generate_token(self, scope: str | None = None, **_: Any) -> dict[str, Any]:
        """Raise InvalidScopeError for more than was registered, InvalidTargetError for another place than the house."""
        client = self.request.client
        allowed = client.get_allowed_scope(scope)
        if not allowed:
            raise InvalidScopeError()
        if self.request.payload.data.get("resource", here.settings.public_url) != here.settings.public_url:
            raise InvalidTargetError("A service's token is for the house's own API.")
        return {
            "access_token": issuing.service_token(client, allowed),
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFETIME_S,
            "scope": allowed,
        }


provider.register_grant(ServiceGrant)
