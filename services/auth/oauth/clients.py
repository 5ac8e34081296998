"""Clients: who may ask people for access, and for what. Authlib asks `Client` the questions of RFC 6749."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from authlib.oauth2.rfc6749 import ClientMixin

from services.auth.oauth import redirects
from services.auth.places import UNCLEAR

CODE: Final = "authorization_code"
REFRESH: Final = "refresh_token"
OWN: Final = "client_credentials"
NONE: Final = "none"
BASIC: Final = "client_secret_basic"
POST: Final = "client_secret_post"
AUTH_METHODS = (NONE, BASIC, POST)
OPENID, OFFLINE = "openid", "offline_access"
PERSONAL = (OPENID, "email", "phone", "profile", OFFLINE)


@dataclass(frozen=True)
class Client(ClientMixin):  # type: ignore[misc]
    """A registered client. One without a secret is public; one `is_first_party` may ask for the house's own API."""

    id: UUID
    name: str
    secret_hash: bytes | None = field(repr=False)
    auth_method: str
    redirect_uris: list[str]
    post_logout_redirect_uris: list[str]
    grant_types: list[str]
    scopes: list[str]
    resources: list[str]
    is_first_party: bool
    client_uri: str
    logo_uri: str
    created_at: datetime
    updated_at: datetime

    @property
    def is_public(self) -> bool:
        return self.secret_hash is None

    @property
    def is_resource_server(self) -> bool:
        """It asks nobody for anything, but looks at tokens that were made for it."""
        return not self.grant_types

    @property
    def client_metadata(self) -> dict[str, Any]:
        """What Authlib's end-session endpoint reads; the port of a loopback address is left to the app there, too."""
        return {"post_logout_redirect_uris": _Places(self.post_logout_redirect_uris)}

    def get_client_id(self) -> str:
        return str(self.id)

    def get_default_redirect_uri(self) -> None:
        """None: a request names its place, so that nobody guesses which one was meant."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """What was asked for, or everything registered. None, which is an error, if it asks for more than that."""
        asked = list(dict.fromkeys((scope or "").split())) or self.scopes
        return " ".join(asked) if set(asked) <= set(self.scopes) else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirects.is_among(self.redirect_uris, redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        return self.secret_hash is not None and hmac.compare_digest(self.secret_hash, hash_of_secret(client_secret))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.auth_method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and CODE in self.grant_types

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grant_types


class _Places(list[str]):
    def __contains__(self, place: object) -> bool:
        return isinstance(place, str) and redirects.is_among(iter(self), place)


def new_secret() -> tuple[str, bytes]:
    """A secret, shown once, and what is kept of it. 256 random bits need no key, and no slow hash, to be safe."""
    secret = secrets.token_urlsafe(32)
    return secret, hash_of_secret(secret)


def hash_of_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def require_scopes(scopes: Iterable[str]) -> list[str]:
    """Scopes as RFC 6749, section 3.3, spells them, none twice. Raise ValueError."""
    found = list(dict.fromkeys(scopes))
    for scope in found:
        if not scope or len(scope) > 100 or not all(33 <= ord(c) <= 126 and c not in '"\\' for c in scope):
            raise ValueError("is not a list of scopes")
    return found


def require_resource(uri: str) -> str:
    """An absolute URI without a fragment (RFC 8707, section 2). Raise ValueError."""
    if not uri.startswith("https://") or "#" in uri or UNCLEAR.search(uri) or len(uri) > 2048:
        raise ValueError("is not an https URI without a fragment")
    return uri
