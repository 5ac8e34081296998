"""What clients send and get, in the shapes of the protocol; what is wrong is judged by the protocol's own rules."""

from pydantic import Field

from services.auth.models import ClientQuery
from shared.routing import Answer, Form


class ClientForm(Form):
    """Who asks: a public client by its id alone; others by Basic, or with the secret, as they are registered."""

    client_id: str | None = None
    client_secret: str | None = None


class TokenForm(ClientForm):
    """RFC 6749, sections 4.1.3, 4.4.2 and 6; RFC 7636, section 4.5; RFC 8707, section 2.2."""

    grant_type: str | None = Field(None, description="authorization_code, refresh_token or client_credentials")
    code: str | None = None
    redirect_uri: str | None = None
    code_verifier: str | None = None
    refresh_token: str | None = None
    scope: str | None = None
    resource: str | None = None


class PresentedForm(ClientForm):
    """RFC 7009, section 2.1; RFC 7662, section 2.1."""

    token: str | None = None
    token_type_hint: str | None = Field(
        None, description="access_token or refresh_token; either way both are looked for"
    )


class AuthorizationQuery(ClientQuery):
    """RFC 6749, section 4.1.1; RFC 7636, section 4.3; OpenID Connect Core, section 3.1.2.1; RFC 8707, section 2.1."""

    response_type: str | None = Field(None, description="code")
    client_id: str | None = None
    redirect_uri: str | None = Field(None, description="one that is registered")
    code_challenge: str | None = None
    code_challenge_method: str | None = Field(None, description="S256")
    scope: str | None = Field(None, description="without it all that is registered")
    state: str | None = None
    nonce: str | None = None
    prompt: str | None = Field(None, description="none, login, select_account or consent")
    max_age: str | None = Field(None, description="seconds since the last log-in, at most")
    login_hint: str | None = None
    resource: str | None = None


class LogOutQuery(ClientQuery):
    """OpenID Connect RP-Initiated Logout 1.0, section 2."""

    id_token_hint: str | None = None
    client_id: str | None = None
    post_logout_redirect_uri: str | None = None
    state: str | None = None


class OAuthError(Answer):
    """RFC 6749, section 5.2."""

    error: str = Field(examples=["invalid_grant"])
    error_description: str = ""


class Tokens(Answer):
    """RFC 6749, section 5.1; OpenID Connect Core, section 3.1.3.3."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str
    refresh_token: str | None = None
    id_token: str | None = None


class Introspected(Answer):
    """RFC 7662, section 2.2; only `active` where the token is not good, or not for the one who asks."""

    active: bool
    client_id: str | None = None
    token_type: str | None = None
    scope: str | None = None
    sub: str | None = None
    aud: str | None = None
    iss: str | None = None
    exp: int | None = None
    iat: int | None = None


class Person(Answer):
    """OpenID Connect Core, section 5.3.2; what the scopes of the token tell."""

    sub: str
    email: str | None = None
    email_verified: bool | None = None
    phone_number: str | None = None
    phone_number_verified: bool | None = None
    name: str | None = None
    updated_at: int | None = None
