"""What a provider says of a person in an ID token (OpenID Connect Core 1.0, section 3.1.3.7), held against attack."""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import Any

from services.auth.addresses import normalise
from services.auth.external.provider import LEEWAY_S, Provider
from shared.errors import BadRequest, Unauthorized

MAX_SUBJECT = 255
MAX_TEXT = 1_024
NAMES = ("name", "given_name", "family_name", "nickname", "preferred_username", "picture", "locale")
CUSTOM = ("hd", "is_private_email", "auth_time")


@dataclass(frozen=True)
class Account:
    """An account elsewhere: `provider` and `subject` are who it is, whatever address it has today."""

    provider: str
    subject: str
    email: str | None
    email_verified: bool
    client_id: str
    data: dict[str, Any] = field(repr=False)

    @property
    def proven_email(self) -> str | None:
        """The address, if the provider vouches for it."""
        return self.email if self.email_verified else None


def verify(provider: Provider, token: str, *, nonce: str | None, access_token: str | None = None) -> Account:
    """The account that an ID token speaks of.

    `nonce` is what the app kept; the token holds the SHA-256 of it in hexadecimal. Raise BadRequest(bad_id_token), or
    Unavailable when the keys cannot be fetched; then the token stays as good as it was.
    """
    try:
        claims, algorithm = provider.claims(token)
    except Unauthorized as error:
        detail = "Unacceptable audience in id_token" if error.code == "token_audience" else "Bad ID token"
        raise refusal(f"{detail}: {error.detail}" if detail == "Bad ID token" else detail) from error
    _check(provider, claims)
    if not provider.settings.skip_nonce_check:
        _check_nonce(claims, nonce)
    if access_token and claims.get("at_hash") is not None:
        _check_hash(claims["at_hash"], access_token, algorithm)
    return account_of(provider, claims)


def account_of(provider: Provider, claims: dict[str, Any]) -> Account:
    """What these claims say of a person, as clients of supabase/auth read it (`identity_data`)."""
    email = _address(claims.get("email"))
    said = claims.get("email_verified")
    is_verified = email is not None and (said is True or said == "true")
    data: dict[str, Any] = {"iss": claims["iss"], "sub": claims["sub"], "provider_id": claims["sub"]}
    data |= {name: claims[name] for name in NAMES if _is_text(claims.get(name))}
    if "name" in data:
        data["full_name"] = data["name"]
    if "picture" in data:
        data["avatar_url"] = data["picture"]
    if email is not None:
        data["email"] = email
    data |= {"email_verified": is_verified, "phone_verified": False}
    custom = {name: _plain(claims[name]) for name in CUSTOM if _is_plain(claims.get(name))}
    if custom:
        data["custom_claims"] = custom
    return Account(provider.name, claims["sub"], email, is_verified, _client_of(claims), data)


def refusal(detail: str) -> BadRequest:
    return BadRequest(detail, code="bad_id_token")


def hash_of_nonce(nonce: str) -> str:
    """As the token holds it."""
    return hashlib.sha256(nonce.encode()).hexdigest()


def _check(provider: Provider, claims: dict[str, Any]) -> None:
    """What the signature, the issuer, the audience and the times leave open."""
    if not _is_text(claims["sub"]) or len(claims["sub"]) > MAX_SUBJECT:
        raise refusal("Missing sub claim in id_token")
    if time.time() - int(claims["iat"]) > provider.settings.max_age_s + LEEWAY_S:
        raise refusal("Bad ID token: it was made too long ago.")
    ours, audience = provider.settings.client_ids, claims["aud"]
    party = claims.get("azp")
    if party is not None and party not in ours:
        raise refusal("Bad ID token: it was made for another party (azp).")
    if isinstance(audience, list) and len(audience) > 1 and party is None:
        raise refusal("Bad ID token: of several audiences none is named as the one it was made for (azp).")


def _check_nonce(claims: dict[str, Any], nonce: str | None) -> None:
    said = claims.get("nonce")
    if bool(said) != bool(nonce):
        raise refusal("Passed nonce and nonce in id_token should either both exist or not.")
    if nonce and not _is_same(said, hash_of_nonce(nonce)):
        raise refusal("Nonces mismatch")


def _check_hash(said: Any, access_token: str, algorithm: str) -> None:
    """`at_hash` binds the access token to this one: the left half of its hash (section 3.1.3.6)."""
    digest = hashlib.new("sha512" if algorithm == "EdDSA" else "sha256", access_token.encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if not _is_same(said, half):
        raise refusal("Bad ID token: it does not go with the access token (at_hash).")


def _is_same(said: Any, wanted: str) -> bool:
    return isinstance(said, str) and hmac.compare_digest(said.encode(errors="replace"), wanted.encode())


def _client_of(claims: dict[str, Any]) -> str:
    audience = claims["aud"]
    first: str = audience if isinstance(audience, str) else claims.get("azp") or audience[0]
    return first


def _address(said: Any) -> str | None:
    """Its one spelling; an address that is none counts for nothing."""
    try:
        return normalise(said) if isinstance(said, str) and len(said) <= 254 else None
    except ValueError:
        return None


def _is_text(value: Any) -> bool:
    """One line that a person can read: what a database or a page stumbles over is left out."""
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _is_plain(value: Any) -> bool:
    return _is_text(value) or isinstance(value, bool | int)


def _plain(value: Any) -> Any:
    """Apple says `"true"` where it means true."""
    return value == "true" if value in ("true", "false") else value
