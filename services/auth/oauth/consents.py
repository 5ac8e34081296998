"""What people granted, as they list and take it back; and consent in a page of the app's own, as GoTrue has it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from authlib.oauth2.rfc6749 import AccessDeniedError, OAuth2Error
from pydantic import Field, RootModel

from services.auth import audit, store
from services.auth.assurance import Caller, require_caller
from services.auth.browser import Browser
from services.auth.models import ClientBody, ClientQuery
from services.auth.oauth.authorize import give_code, has_agreed, is_fresh, lead_back, owner_of
from services.auth.oauth.clients import Client
from services.auth.oauth.code_grant import CodeGrant
from services.auth.oauth.endings import end_grants_of_user
from services.auth.oauth.provider import provider
from services.auth.oauth.requests import asked_again
from services.auth.parts import here
from shared.errors import BadRequest, Forbidden, NotFound
from shared.routing import Answer, Blueprint, Path, user

bp = Blueprint("oauth_consents", __name__, url_prefix="/auth/v1")


class RequestPath(Path):
    authorization_id: str = Field(max_length=64)


class Decision(ClientBody):
    action: Literal["approve", "deny"]


class ClientChoice(ClientQuery):
    client_id: UUID


class ShownClient(Answer):
    """What a person is shown of a client."""

    id: UUID
    name: str
    uri: str
    logo_uri: str

    @classmethod
    def of(cls, client: Client) -> "ShownClient":
        return cls(id=client.id, name=client.name, uri=client.client_uri, logo_uri=client.logo_uri)


class ShownPerson(Answer):
    id: UUID
    email: str


class Details(Answer):
    """What the app's page shows."""

    authorization_id: str
    redirect_uri: str
    client: ShownClient
    user: ShownPerson
    scope: str


class Redirect(Answer):
    """Where the browser goes next."""

    redirect_url: str


class DetailsOrRedirect(RootModel[Details | Redirect]):
    """What to ask; or where to go on, if that was agreed to before."""


class ShownGrant(Answer):
    """What a person agreed to let a client have."""

    client: ShownClient
    scopes: list[str]
    granted_at: datetime


class ShownGrants(RootModel[list[ShownGrant]]):
    """Everything a person agreed to, the newest first."""


@bp.get("/oauth/authorizations/<authorization_id>")
@user
def show_authorization_request(path: RequestPath) -> DetailsOrRedirect:
    """What an app asks for, for the page that asks the caller; or where to go on."""
    grant, person, is_agreed = _found(path.authorization_id)
    if is_agreed:
        return DetailsOrRedirect(Redirect(redirect_url=_code(grant, person)))
    asked = grant.request
    details = Details(
        authorization_id=path.authorization_id,
        redirect_uri=asked.payload.redirect_uri,
        client=ShownClient.of(asked.client),
        user=ShownPerson(id=person.user.id, email=person.user.email or ""),
        scope=asked.scope,
    )
    return DetailsOrRedirect(details)


@bp.post("/oauth/authorizations/<authorization_id>/consent", status=200)
@user
def decide_on_authorization_request(path: RequestPath, body: Decision) -> Redirect:
    """Say yes or no to what an app asks for, once; where the browser goes next."""
    grant, person, _ = _found(path.authorization_id)
    with here.db.transaction() as conn:
        if not store.consume_oauth_request(conn, path.authorization_id):
            raise _unknown()
    if body.action == "approve":
        return Redirect(redirect_url=_code(grant, person))
    refusal = lead_back(AccessDeniedError(redirect_uri=grant.redirect_uri), grant.request)
    return Redirect(redirect_url=refusal or "")


@bp.get("/user/oauth/grants")
@user
def list_grants() -> ShownGrants:
    """The apps that the caller gave access to."""
    with here.db.transaction() as conn:
        person = require_caller(conn)
        found = store.list_oauth_consents(conn, person.user.id)
    return ShownGrants([_shown(consent) for consent in found])


@bp.delete("/user/oauth/grants")
@user
def revoke_grant(query: ClientChoice) -> None:
    """Take back what an app was given: its tokens are refused from now on, and it has to ask anew."""
    with here.db.transaction() as conn:
        person = require_caller(conn, locked=True)
        if not store.delete_oauth_consent(conn, person.user.id, query.client_id):
            raise NotFound("You gave this app no access.", code="oauth_consent_not_found")
        end_grants_of_user(conn, person.user.id, "ended_by_user", client_id=query.client_id)
        audit.note(conn, "grant.revoked", person.user.id, client=str(query.client_id))


def _found(authorization_id: str) -> tuple[CodeGrant, Caller, bool]:
    """The request, checked again, the caller, and whether they agreed before. Raise NotFound, BadRequest, Forbidden."""
    with here.db.transaction() as conn:
        person = require_caller(conn)
        kept = store.get_oauth_request(conn, authorization_id)
    if kept is None:
        raise _unknown()
    asked = asked_again(kept)
    try:
        grant: CodeGrant = provider.get_consent_grant(asked)
    except OAuth2Error as error:  # the client was changed meanwhile
        raise BadRequest("The app's request is not in order.", code="oauth_authorization_not_found") from error
    if not is_fresh(asked, _browser(person).auth_time, int(kept.created_at.timestamp())):
        raise Forbidden("The app wants a new log-in first.", code="reauthentication_needed")
    with here.db.transaction() as conn:
        is_agreed = has_agreed(conn, asked, person.user.id)
    return grant, person, is_agreed and "consent" not in asked.payload.data.get("prompt", "")


def _unknown() -> NotFound:
    return NotFound("There is no such request, or it has expired.", code="oauth_authorization_not_found")


def _code(grant: CodeGrant, person: Caller) -> str:
    return str(give_code(grant, owner_of(_browser(person))).headers["Location"])


def _browser(person: Caller) -> Browser:
    """The caller, as if they had come to the pages here."""
    return Browser("", person.user, person.session)


def _shown(consent: store.Consent) -> ShownGrant:
    client = ShownClient(
        id=consent.client_id, name=consent.client_name, uri=consent.client_uri, logo_uri=consent.logo_uri
    )
    return ShownGrant(client=client, scopes=consent.scopes, granted_at=consent.granted_at)
