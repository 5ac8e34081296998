"""What a client reads first: OpenID Connect Discovery 1.0 and RFC 8414 tell it every address and what is offered."""

from flask import Response, after_this_request

from services.auth.oauth.clients import AUTH_METHODS, BASIC, CODE, OWN, PERSONAL, POST, REFRESH
from services.auth.oauth.issuing import issuer_of
from services.auth.oauth.routes import protocol_blueprint
from services.auth.parts import here
from shared.routing import Answer, public

bp = protocol_blueprint("oauth_metadata", __name__)
# RFC 8414, section 3.1, puts the well-known part before the path of the issuer.
before_path = protocol_blueprint("oauth_server_metadata", __name__, "/.well-known/oauth-authorization-server")
MAX_AGE_S = 600
CLAIMS = """
    iss sub aud exp iat auth_time nonce acr amr at_hash sid email email_verified phone_number phone_number_verified
    name given_name family_name preferred_username picture locale zoneinfo updated_at
"""


class Metadata(Answer):
    """OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2; RFC 9207, section 3."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    end_session_endpoint: str
    jwks_uri: str
    scopes_supported: list[str]
    response_types_supported: list[str]
    response_modes_supported: list[str]
    grant_types_supported: list[str]
    code_challenge_methods_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    subject_types_supported: list[str]
    id_token_signing_alg_values_supported: list[str]
    acr_values_supported: list[str]
    claims_supported: list[str]
    prompt_values_supported: list[str]
    authorization_response_iss_parameter_supported: bool
    request_parameter_supported: bool
    request_uri_parameter_supported: bool
    claims_parameter_supported: bool


@bp.get("/.well-known/openid-configuration")
@public
def describe_provider() -> Metadata:
    """Everything a client of OpenID Connect has to know."""
    return _metadata()


@bp.get("/.well-known/oauth-authorization-server")
@public
def describe_server() -> Metadata:
    """The same, where some clients of OAuth look for it."""
    return _metadata()


@before_path.get("/auth/oauth")
@public
def describe_server_by_rfc_8414() -> Metadata:
    """The same, where RFC 8414 has it."""
    return _metadata()


def _metadata() -> Metadata:
    @after_this_request
    def let_it_be_kept(response: Response) -> Response:
        response.headers["Cache-Control"] = f"public, max-age={MAX_AGE_S}"
        return response

    base = issuer_of(here.settings)
    return Metadata(
        issuer=base,
        authorization_endpoint=f"{base}/authorize",
        token_endpoint=f"{base}/token",
        userinfo_endpoint=f"{base}/userinfo",
        revocation_endpoint=f"{base}/revoke",
        introspection_endpoint=f"{base}/introspect",
        end_session_endpoint=f"{base}/logout",
        jwks_uri=f"{here.settings.public_url}/auth/v1/.well-known/jwks.json",
        scopes_supported=list(PERSONAL),
        response_types_supported=["code"],
        response_modes_supported=["query"],
        grant_types_supported=[CODE, REFRESH, OWN],
        code_challenge_methods_supported=["S256"],
        token_endpoint_auth_methods_supported=list(AUTH_METHODS),
        revocation_endpoint_auth_methods_supported=list(AUTH_METHODS),
        introspection_endpoint_auth_methods_supported=[BASIC, POST],
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=["ES256"],
        acr_values_supported=["aal1", "aal2"],
        claims_supported=CLAIMS.split(),
        prompt_values_supported=["none", "login", "consent"],
        authorization_response_iss_parameter_supported=True,
        request_parameter_supported=False,
        request_uri_parameter_supported=False,
        claims_parameter_supported=False,
    )
