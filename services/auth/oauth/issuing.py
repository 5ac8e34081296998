"""The tokens that clients get.

A third party's access token is no session of the person: its issuer and its audience are the provider's own, so that
every component of the house refuses it. Only a client of the house may ask for the house's API, and then gets what a
log-in gives: a session that its owner sees and ends, and tokens of it.
"""

import hashlib
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.auth import hooks, rows, store
from services.auth.config import AuthSettings
from services.auth.oauth.clients import OPENID, PERSONAL, Client
from services.auth.parts import here
from services.auth.sealing import Sealer
from services.auth.tokens import (
    RefreshToken,
    SigningKey,
    decode_refresh_token,
    encode_refresh_token,
    mint_access_token,
    signed_jwt,
)
from shared.ids import new_id
from shared.tokens import TOKEN_LIFETIME_S

ACCESS_TYP = "at+jwt"  # RFC 9068
OF_GRANT = "oauth refresh token"
# What logged somebody in, in the words of RFC 8176.
METHODS = {
    "password": "pwd",
    "otp": "otp",
    "totp": "otp",
    "mfa/phone": "sms",
    "mfa/webauthn": "hwk",
    "mfa/recovery_code": "otp",
    "passkey": "hwk",
}


def issuer_of(settings: AuthSettings) -> str:
    """The provider's own name; that of the house's access tokens (`ISSUER`) is another."""
    return f"{settings.public_url}/auth/oauth"


def access_token(
    grant: store.Grant, client: Client, user: rows.User, session: rows.Session | None, scopes: list[str]
) -> str:
    """A token of ten minutes. Not while a connection is held, for the key may have to be read."""
    key = here.keys.signing_key()
    if grant.opens_session and session is not None:
        return mint_access_token(here.settings, key, user, session, _as_client(client, scopes)).token
    claims = {
        "sub": str(user.id),
        "aud": grant.resource or issuer_of(here.settings),
        "grant_id": str(grant.id),
        "scope": " ".join(scopes),
        **_authentication(grant),
    }
    return _signed(key, client, claims)


def _as_client(client: Client, scopes: list[str]) -> Any:
    """What is added to the house's token: who holds it. The scopes are those that were agreed to, and none beyond what
    the person's roles give, whatever a client was registered for."""

    def more(user: rows.User, session: rows.Session, claims: dict[str, object]) -> Mapping[str, object]:
        allowed = {*PERSONAL, *here.settings.scope_of(user.all_roles).split()}
        own = {"client_id": str(client.id), "scope": " ".join(scope for scope in scopes if scope in allowed)}
        return {**hooks.more_claims(user, session, {**claims, **own}), **own}

    return more


def service_token(client: Client, scope: str) -> str:
    """A token for the client itself, no person: `role: service`, at the house's API."""
    settings = here.settings
    claims = {
        "iss": settings.issuer,
        "aud": settings.audience,
        "sub": str(client.id),
        "role": "service",
        "scope": scope,
        "aal": "aal1",
    }
    return _signed(here.keys.signing_key(), client, claims)


def id_token(grant: store.Grant, client: Client, claims: Mapping[str, object], access: str) -> str:
    """Who the person is, for the client (OpenID Connect Core, section 2). It opens nothing."""
    now = int(time.time())
    about = {
        "iss": issuer_of(here.settings),
        "aud": str(client.id),
        "iat": now,
        "exp": now + TOKEN_LIFETIME_S,
        **claims,
        **_authentication(grant),
        "at_hash": half_hash(access),
    }
    if grant.nonce is not None:
        about["nonce"] = grant.nonce
    if grant.session_id is not None:
        about["sid"] = str(grant.session_id)
    return signed_jwt(here.keys.signing_key(), about)


def refresh_token(sealer: Sealer, grant_id: UUID, number: int) -> str:
    return encode_refresh_token(sealer, grant_id, number, OF_GRANT)


def read_refresh_token(sealer: Sealer, token: str) -> RefreshToken | None:
    """Grant (as `session_id`) and number, or None if it was not made here for a grant."""
    return decode_refresh_token(sealer, token, OF_GRANT)


def personal_claims(user: rows.User, scopes: list[str]) -> dict[str, Any]:
    """What these scopes tell of a person (OpenID Connect Core, section 5.4)."""
    claims: dict[str, Any] = {"sub": str(user.id)}
    if "email" in scopes and user.email:
        claims |= {"email": user.email, "email_verified": user.email_confirmed_at is not None}
    if "phone" in scopes and user.phone:
        claims |= {"phone_number": f"+{user.phone}", "phone_number_verified": user.phone_confirmed_at is not None}
    if "profile" in scopes:
        names = {name: user.user_metadata.get(name) for name in PROFILE}
        claims |= {name: value for name, value in names.items() if isinstance(value, str) and 0 < len(value) <= 500}
        claims["updated_at"] = int(user.updated_at.timestamp())
    return claims


PROFILE = (
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
)


def is_about_a_person(scopes: list[str]) -> bool:
    """True if an ID token was asked for."""
    return OPENID in scopes


def half_hash(token: str) -> str:
    """`at_hash` (OpenID Connect Core, section 3.1.3.6) for ES256."""
    return urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).rstrip(b"=").decode()


def methods_of(amr: list[Any], aal: str) -> list[str]:
    """`amr` of RFC 8176: ways of proof in the order they were given, and `mfa` where there were two."""
    said = [str(one.get("method", "")) for one in amr if isinstance(one, dict)]
    found = [METHODS.get(method, method) for method in reversed(said)]
    return list(dict.fromkeys([*found, *(["mfa"] if aal == "aal2" and len(found) > 1 else [])]))


def _authentication(grant: store.Grant) -> dict[str, object]:
    return {"auth_time": grant.auth_time, "acr": grant.aal, "amr": methods_of(grant.amr, grant.aal)}


def _signed(key: SigningKey, client: Client, claims: Mapping[str, object]) -> str:
    now = int(time.time())
    about = {
        "iss": issuer_of(here.settings),
        **claims,
        "client_id": str(client.id),
        "iat": now,
        "exp": now + TOKEN_LIFETIME_S,
        "jti": str(new_id()),
    }
    return signed_jwt(key, about, ACCESS_TYP)
