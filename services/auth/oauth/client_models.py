"""Clients as administrators register them, in the shape of supabase/auth (`auth.admin.oauth`)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field

from services.auth.models import ClientBody
from services.auth.oauth import clients
from services.auth.oauth.redirects import require_registrable
from services.auth.places import UNCLEAR
from shared.routing import Answer, Path

MAX_PLACES = 10  # as GoTrue has it
MAX_NAME = 100


def _page(uri: str) -> str:
    if uri and (len(uri) > 2048 or urlsplit(uri).scheme != "https" or UNCLEAR.search(uri)):
        raise ValueError("is not the https address of a page")
    return uri


def require_name(text: str) -> str:
    """One line that people can read. Raise ValueError."""
    if len(text) > MAX_NAME or not text.isprintable() or not text.strip():
        raise ValueError("is not one line of readable text")
    return text.strip()


def _scope(text: str) -> str:
    scopes = clients.require_scopes(text.split())
    if not scopes or not set(scopes) <= set(clients.PERSONAL):
        raise ValueError(f"may hold {' '.join(clients.PERSONAL)}, and nothing else")
    return " ".join(scopes)


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(require_name)]
Place = Annotated[str, AfterValidator(require_registrable)]
Places = Annotated[list[Place], Field(min_length=1, max_length=MAX_PLACES)]
MorePlaces = Annotated[list[Place], Field(max_length=MAX_PLACES)]
Page = Annotated[str, AfterValidator(_page)]
GrantTypes = Annotated[list[Literal["authorization_code", "refresh_token"]], Field(min_length=1, max_length=2)]
AuthMethod = Literal["none", "client_secret_basic", "client_secret_post"]


class ClientPath(Path):
    client_id: UUID


class NewOAuthClient(ClientBody):
    """A third party's app. Clients of the house, and services, are registered at the command line alone."""

    client_name: Name
    redirect_uris: Places
    post_logout_redirect_uris: MorePlaces = Field(default_factory=list)
    grant_types: GrantTypes | None = Field(None, description="without it both")
    response_types: list[Literal["code"]] | None = None
    scope: Annotated[str, Field(max_length=1000), AfterValidator(_scope)] = " ".join(clients.PERSONAL)
    token_endpoint_auth_method: AuthMethod = clients.BASIC
    client_uri: Page = ""
    logo_uri: Page = ""


class OAuthClientChange(ClientBody):
    """What is given is set. A client cannot become public, or cease to be."""

    client_name: Name | None = None
    redirect_uris: Places | None = None
    post_logout_redirect_uris: MorePlaces | None = None
    grant_types: GrantTypes | None = None
    token_endpoint_auth_method: AuthMethod | None = None
    client_uri: Page | None = None
    logo_uri: Page | None = None


class OAuthClient(Answer):
    client_id: UUID
    client_name: str
    client_type: Literal["public", "confidential"]
    token_endpoint_auth_method: str
    registration_type: Literal["manual"] = "manual"
    client_uri: str
    logo_uri: str
    redirect_uris: list[str]
    post_logout_redirect_uris: list[str]
    grant_types: list[str]
    response_types: list[str]
    scope: str
    resources: list[str]
    is_first_party: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, client: clients.Client) -> "OAuthClient":
        return cls(**_shown(client))


class OAuthClientWithSecret(OAuthClient):
    """The one answer that holds the secret."""

    client_secret: str | None = Field(repr=False)

    @classmethod
    def with_secret(cls, client: clients.Client, secret: str | None) -> "OAuthClientWithSecret":
        return cls(**_shown(client), client_secret=secret)


class OAuthClientPage(Answer):
    clients: Sequence[OAuthClient]
    aud: str = "authenticated"


def _shown(client: clients.Client) -> dict[str, object]:
    return {
        "client_id": client.id,
        "client_name": client.name,
        "client_type": "public" if client.is_public else "confidential",
        "token_endpoint_auth_method": client.auth_method,
        "client_uri": client.client_uri,
        "logo_uri": client.logo_uri,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "grant_types": client.grant_types,
        "response_types": ["code"] if clients.CODE in client.grant_types else [],
        "scope": " ".join(client.scopes),
        "resources": client.resources,
        "is_first_party": client.is_first_party,
        "created_at": client.created_at,
        "updated_at": client.updated_at,
    }
