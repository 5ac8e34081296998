"""Tokens this service issues: access tokens (signed JWTs) and refresh tokens (session and number, authenticated)."""

import base64
import binascii
import hmac
import json
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.utils import der_to_raw_signature

from services.auth.config import AuthSettings
from services.auth.rows import Session, User
from services.auth.sealing import Sealer
from shared.ids import new_id
from shared.tokens import TOKEN_LIFETIME_S

REFRESH = struct.Struct(">B16sI")  # version, session id, number
REFRESH_VERSION = 1
MAC_BYTES = 32
OF_SESSION = "refresh token"
OF_IMPERSONATION = "refresh token of who acts for somebody"  # nothing to a service that knows of no such thing
ECDSA_SHA256 = ECDSA(SHA256())
SERVICES = UUID("3f3f6ac8-8d0f-4f2c-9b1e-6a1de2b1d9a7")  # namespace of the fixed ids of services


@dataclass(frozen=True)
class SigningKey:
    """The private key that signs now."""

    kid: str
    private_key: EllipticCurvePrivateKey


@dataclass(frozen=True)
class AccessToken:
    token: str
    expires_at: int
    expires_in: int

    def __repr__(self) -> str:
        return f"AccessToken(expires_at={self.expires_at})"


@dataclass(frozen=True)
class RefreshToken:
    """What a refresh token names."""

    session_id: UUID
    number: int


MoreClaims = Callable[[User, Session, dict[str, object]], Mapping[str, object]]


def mint_access_token(
    settings: AuthSettings, key: SigningKey, user: User, session: Session, more_claims: MoreClaims
) -> AccessToken:
    """A token of ten minutes, or for what is left of the session. `user_metadata` stays out: it is the person's to
    fill, and every request carries this.

    `more_claims` is asked for what the operator adds. Who acts for the person is in `act` (RFC 8693, section 4.1).
    """
    claims: dict[str, object] = {
        "sub": str(user.id),
        "sid": str(session.id),
        "role": user.role,
        "scope": settings.scope_of(user.all_roles),
        "aal": session.aal,
        "amr": session.amr,
        "is_anonymous": user.is_anonymous,
        "email": user.email,
        "app_metadata": user.app_metadata,
    }
    if session.impersonated_by is not None:
        claims["act"] = {"sub": str(session.impersonated_by)}
    return _sign(settings, key, _lifetime_s(session), {**claims, **more_claims(user, session, claims)})


def _lifetime_s(session: Session) -> int:
    if session.not_after is None:
        return TOKEN_LIFETIME_S
    return max(1, min(TOKEN_LIFETIME_S, int(session.not_after.timestamp() - time.time())))


def mint_service_token(settings: AuthSettings, key: SigningKey, name: str, scope: str, lifetime_s: int) -> AccessToken:
    """A token for another service or an operator's program; the same name always has the same `sub`."""
    subject = str(uuid5(SERVICES, name))
    return _sign(settings, key, lifetime_s, {"sub": subject, "role": "service", "scope": scope, "aal": "aal1"})


def _sign(settings: AuthSettings, key: SigningKey, lifetime_s: int, claims: dict[str, object]) -> AccessToken:
    now = int(time.time())
    claims = {
        "iss": settings.issuer,
        "aud": settings.audience,
        **claims,
        "iat": now,
        "exp": now + lifetime_s,
        "jti": str(new_id()),
    }
    return AccessToken(signed_jwt(key, claims), now + lifetime_s, lifetime_s)


def signed_jwt(key: SigningKey, claims: Mapping[str, object], typ: str = "JWT") -> str:
    """RFC 7515, compact, ES256: what PyJWT makes, in half the time. `typ` says what it is for (RFC 8725, 3.11)."""
    signed = b".".join((_header(key.kid, typ), _base64url(json.dumps(claims, separators=(",", ":")).encode())))
    signature = der_to_raw_signature(key.private_key.sign(signed, ECDSA_SHA256), key.private_key.curve)
    return b".".join((signed, _base64url(signature))).decode()


@lru_cache(16)
def _header(kid: str, typ: str) -> bytes:
    return _base64url(json.dumps({"alg": "ES256", "kid": kid, "typ": typ}, separators=(",", ":")).encode())


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def encode_refresh_token(sealer: Sealer, session_id: UUID, number: int, purpose: str = OF_SESSION) -> str:
    """The refresh token with this number; the same every time, so a lost answer can be given again.

    One made for a `purpose` is nothing for another.
    """
    message = REFRESH.pack(REFRESH_VERSION, session_id.bytes, number)
    mac = sealer.macs(message, purpose)[0]
    return _base64url(message + mac).decode()


def decode_refresh_token(sealer: Sealer, token: str, purpose: str = OF_SESSION) -> RefreshToken | None:
    """What the token names, or None if this service did not make it: judged before the database is asked."""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        message, mac = data[: REFRESH.size], data[REFRESH.size :]
        version, session_id, number = REFRESH.unpack(message)
    except (binascii.Error, struct.error, ValueError):
        return None
    if version != REFRESH_VERSION or len(mac) != MAC_BYTES:
        return None
    if not any(hmac.compare_digest(mac, own) for own in sealer.macs(message, purpose)):
        return None
    return RefreshToken(UUID(bytes=session_id), number)
