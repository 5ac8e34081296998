"""The authorization code: PKCE with S256 always, one client, one place, one use (OAuth 2.1, section 4.1)."""

import re
import secrets
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge

from services.auth import rows, store
from services.auth.codes import hash_of_link
from services.auth.oauth import issuing
from services.auth.oauth.clients import OFFLINE, REFRESH, Client
from services.auth.oauth.endings import end_grant, end_surplus, refuse_code
from services.auth.oauth.errors import InvalidTargetError
from services.auth.oauth.provider import CLIENT_AUTHENTICATION, Asked, provider
from services.auth.parts import here
from services.auth.pkce import S256, Challenge
from services.auth.sessions import open_session
from shared.ids import new_id
from shared.postgres import Connection
from shared.tokens import TOKEN_LIFETIME_S

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url of a SHA-256
MAX_NONCE = 255


@dataclass(frozen=True)
class Owner:
    """Whoever agrees: a person, and how they are logged in."""

    user: rows.User
    session: rows.Session
    auth_time: int


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTHENTICATION
    request: Asked

    @staticmethod
    def validate_authorization_redirect_uri(request: Asked, client: Client) -> str:
        """The place, which must be named, and registered. Raise InvalidRequestError, with no place to lead to."""
        place: str | None = request.payload.redirect_uri
        if not place:
            raise InvalidRequestError("redirect_uri is missing.")
        if not client.check_redirect_uri(place):
            raise InvalidRequestError("redirect_uri is not registered for this client.")
        return place

    def generate_authorization_code(self) -> str:
        return secrets.token_urlsafe(32)

    def save_authorization_code(self, code: str, request: Asked) -> None:
        """Keep the hash of the code, with what it stands for, and remember the consent."""
        owner: Owner = request.user
        client: Client = request.client
        data = request.payload.data
        scopes = request.scope.split()
        resource = resource_of(request, client)
        new = store.NewGrant(
            id=new_id(),
            client_id=client.id,
            user_id=owner.user.id,
            session_id=owner.session.id,
            opens_session=resource == here.settings.public_url,
            scopes=scopes,
            resource=resource,
            redirect_uri=request.payload.redirect_uri,
            code_challenge=data["code_challenge"],
            nonce=data.get("nonce"),
            auth_time=owner.auth_time,
            aal=owner.session.aal,
            amr=owner.session.amr,
        )
        with here.db.transaction() as conn:
            store.put_oauth_consent(conn, owner.user.id, client.id, scopes, [resource] if resource else [])
            store.insert_oauth_grant(conn, new, hash_of_link(code), lifetime_s=here.settings.oauth_code_lifetime_s)
            end_surplus(conn, owner.user.id, client.id, begun=False)

    def query_authorization_code(self, code: str, client: Client) -> store.Grant:
        """Use the code up, right or wrong: what is wrong says that somebody else has it. Raise InvalidGrantError.

        Who comes first has a grant that has begun before anybody else is heard. A second use by who has the verifier,
        too, ends it: two have all it takes. Who only found an old code, in a log or a history, logs nobody out with it.
        """
        with here.db.transaction() as conn:
            store.lock_user_of_oauth_code(conn, hash_of_link(code))
            grant = store.consume_oauth_code(conn, hash_of_link(code))
            if grant is None:
                reused = store.get_reused_oauth_grant(conn, hash_of_link(code))
                if reused is not None and self._is_from_who_asked(reused, client):
                    end_grant(conn, reused, "code_reused")
            elif not self._is_from_who_asked(grant, client):
                refuse_code(conn, grant)
                grant = None
            else:
                grant = _begin(conn, grant, client)
        if grant is None:
            raise InvalidGrantError("The code is not good, or not good any more.")
        return grant

    def _is_from_who_asked(self, grant: store.Grant, client: Client) -> bool:
        data = self.request.payload.data
        is_same = grant.client_id == client.id and grant.redirect_uri == data.get("redirect_uri")
        is_same = is_same and data.get("resource", grant.resource) == grant.resource
        return is_same and Challenge(grant.code_challenge, S256).is_met_by(data.get("code_verifier", ""))

    def delete_authorization_code(self, authorization_code: store.Grant) -> None:
        """It was used up when it was presented."""

    def authenticate_user(self, authorization_code: store.Grant) -> rows.User | None:
        with here.db.transaction() as conn:
            return store.get_user(conn, authorization_code.user_id)

    def generate_token(
        self, user: rows.User, scope: str, include_refresh_token: bool = True, **_: Any
    ) -> dict[str, Any]:
        grant = self.request.authorization_code
        return tokens_of(grant, self.request.client, user, scope.split(), number=0)


def tokens_of(grant: store.Grant, client: Client, user: rows.User, scopes: list[str], *, number: int) -> dict[str, Any]:
    """What the client gets. Raise InvalidGrantError if the session that the grant hangs on is gone."""
    session = None
    if grant.opens_session and grant.session_id is not None:
        with here.db.transaction() as conn:
            session = store.get_session(conn, grant.session_id)
        if session is None:
            raise InvalidGrantError("The session has ended.")
    access = issuing.access_token(grant, client, user, session, scopes)
    tokens: dict[str, Any] = {
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFETIME_S,
        "scope": " ".join(scopes),
    }
    if client.check_grant_type(REFRESH):
        tokens["refresh_token"] = issuing.refresh_token(here.sealer, grant.id, number)
    if issuing.is_about_a_person(grant.scopes):
        tokens["id_token"] = issuing.id_token(grant, client, issuing.personal_claims(user, scopes), access)
    return tokens


def lifetime_of(client: Client) -> int:
    """How long a grant lives from now on: as long as one may refresh it, or as its one access token."""
    return here.settings.oauth_grant_idle_s if client.check_grant_type(REFRESH) else TOKEN_LIFETIME_S


def _begin(conn: Connection, grant: store.Grant, client: Client) -> store.Grant | None:
    """The code was right. What hangs on a session from now on: the house's own app has one of its own, a third party
    shares the browser's, unless the person agreed to access while they are away (offline_access)."""
    session_id = None if OFFLINE in grant.scopes else grant.session_id
    if grant.opens_session:
        user = store.get_user(conn, grant.user_id)
        if user is None:
            return None
        session = open_session(conn, user, rows.BY_OAUTH_CODE)
        if grant.session_id is not None:
            store.copy_assurance(conn, session.id, of=grant.session_id)
        session_id = session.id
    store.update_oauth_grant_begun(conn, grant.id, session_id=session_id, lifetime_s=lifetime_of(client))
    end_surplus(conn, grant.user_id, client.id, begun=True)
    return store.get_oauth_grant(conn, grant.id)


def resource_of(request: Asked, client: Client) -> str | None:
    """The one place that the token is for (RFC 8707), if one is named. Raise InvalidTargetError for what is not the
    client's to ask for: the house's own API is for clients of the house alone."""
    named = list(dict.fromkeys(request.payload.datalist.get("resource", [])))
    if not named:
        return None
    allowed = {*client.resources, *([here.settings.public_url] if client.is_first_party else [])}
    if len(named) > 1 or named[0] not in allowed:
        raise InvalidTargetError("This client may not ask for that resource.")
    return named[0]


class S256Only(CodeChallenge):  # type: ignore[misc]
    """PKCE for every client, and never `plain`. The verifier was judged with the code, while its row was held."""

    def validate_code_challenge(self, grant: CodeGrant, result: None) -> None:
        data = grant.request.payload.data
        if data.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(data.get("code_challenge", "")):
            raise InvalidRequestError("PKCE is needed: code_challenge with code_challenge_method=S256.")

    def validate_code_verifier(self, grant: CodeGrant, result: None) -> None:
        """Nothing is left to judge."""


class Details:
    """What OpenID Connect and RFC 8707 add to the request."""

    def validate(self, grant: CodeGrant, result: None) -> None:
        request: Asked = grant.request
        data = request.payload.data
        if "request" in data or "request_uri" in data:
            which = "request" if "request" in data else "request_uri"
            raise InvalidRequestError("Request objects are not offered.", error=f"{which}_not_supported")
        if data.get("response_mode", "query") != "query":
            raise InvalidRequestError("The only response_mode is query.")
        if len(data.get("nonce", "")) > MAX_NONCE:
            raise InvalidRequestError("nonce is too long.")
        if not re.fullmatch(r"\d{1,9}|", data.get("max_age", "")):
            raise InvalidRequestError("max_age is no number of seconds.")
        resource_of(request, request.client)

    def __call__(self, grant: CodeGrant) -> None:
        grant.register_hook("after_validate_authorization_request_payload", self.validate)


provider.register_grant(CodeGrant, [S256Only(required=True), Details()])
