"""Whose accounts people may log in with: one setting, a JSON object with a member for each provider."""

import ipaddress
import json
import re
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
OURS = frozenset({"email", "phone", "anonymous", "anonymous_users", "web3", "sso"})
# What is known of a provider by its name; whatever the setting says goes before it.
WELL_KNOWN: dict[str, dict[str, Any]] = {
    "apple": {
        "issuer": "https://appleid.apple.com",
        "label": "Apple",
        "scopes": ["openid", "email", "name"],
        "client_authentication": "client_secret_post",
        "response_mode": "form_post",
    },
    "google": {"issuer": "https://accounts.google.com", "label": "Google"},
}


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_safe_address(url: str, *, loopback: bool) -> bool:
    """True for https; for plain http on this very machine only where `loopback` is meant. One reading only."""
    try:
        parts = urlsplit(url)
        is_plain = bool(parts.hostname) and "@" not in parts.netloc and not re.search(r"[\s\\]|[^\x21-\x7e]", url)
        return is_plain and (
            (parts.scheme == "https" and (loopback or not is_loopback(url)))
            or (parts.scheme == "http" and loopback and is_loopback(url))
        )
    except ValueError:
        return False


def _is_issuer(url: str) -> str:
    if not is_safe_address(url, loopback=True) or "?" in url or "#" in url:
        raise ValueError("must be an https address (http only on loopback) without query and fragment")
    return url


class ProviderSettings(BaseModel):
    """One provider. The first of `client_ids` is the one of the web; the others are those of apps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[str, AfterValidator(_is_issuer)]
    client_ids: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = Field(min_length=1)
    client_secret: SecretStr = SecretStr("")
    client_authentication: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    response_mode: Literal["query", "form_post"] = "query"
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    label: str = Field("", max_length=40)
    skip_nonce_check: bool = False
    email_optional: bool = False
    max_age_s: int = Field(3_600, ge=60, le=86_400)
    team_id: str = ""
    key_id: str = ""
    private_key: SecretStr = SecretStr("")

    @field_validator("scopes")
    @classmethod
    def _ask_for_an_id_token(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("must hold openid")
        return value

    @model_validator(mode="after")
    def _key_is_whole(self) -> Self:
        given = [bool(self.team_id), bool(self.key_id), bool(self.private_key.get_secret_value())]
        if any(given) and not all(given):
            raise ValueError("team_id, key_id and private_key go together")
        if all(given):
            self.signing_key  # noqa: B018 — read now, so that a mistake is told now
        return self

    @cached_property
    def signing_key(self) -> EllipticCurvePrivateKey | None:
        """Apple's .p8, which signs what stands in for a client secret."""
        if not self.team_id:
            return None
        try:
            key = load_pem_private_key(self.private_key.get_secret_value().encode(), password=None)
        except (ValueError, TypeError):
            raise ValueError("private_key must be the text of a .p8 file") from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise ValueError("private_key must be the text of a .p8 file: a P-256 key in PEM")
        return key

    @property
    def has_secret(self) -> bool:
        return self.signing_key is not None or bool(self.client_secret.get_secret_value())

    @property
    def is_on_loopback(self) -> bool:
        return is_loopback(self.issuer)


class ExternalSettings(BaseModel):
    providers: SecretStr = Field(
        SecretStr(""), description="whose accounts people may log in with: JSON, see docs/sign-in-with.md"
    )
    link_verified_addresses: bool = Field(
        False, description="an account elsewhere joins the account here whose address both have confirmed"
    )

    @field_validator("providers")
    @classmethod
    def _are_providers(cls, value: SecretStr) -> SecretStr:
        decode_providers(value)
        return value

    @cached_property
    def identity_providers(self) -> dict[str, ProviderSettings]:
        """By name."""
        return decode_providers(self.providers)


def decode_providers(value: SecretStr) -> dict[str, ProviderSettings]:
    """What the JSON says. Raise ValueError that names every wrong field, and shows no value."""
    try:
        found = json.loads(value.get_secret_value() or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object with a member for each provider")
    providers, wrong = {}, []
    for name, given in found.items():
        if not NAME.fullmatch(name) or name in OURS:
            wrong.append("a provider's name must be small letters, digits, - and _, and none of this service's own")
            continue
        try:
            known = WELL_KNOWN.get(name, {})
            providers[name] = ProviderSettings.model_validate({**known, **given} if isinstance(given, dict) else given)
        except ValidationError as error:
            for one in error.errors(include_input=False, include_url=False):
                where = ".".join(str(part) for part in (name, *one["loc"]))
                wrong.append(f"{where}: {one['msg'].removeprefix('Value error, ')}")
    issuers = [provider.issuer for provider in providers.values()]
    if len(set(issuers)) != len(issuers):
        wrong.append("two providers have the same issuer")
    if wrong:
        raise ValueError("; ".join(wrong))
    return providers
