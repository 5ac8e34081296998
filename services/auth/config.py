"""Settings of the auth service, beside those of every component."""

import base64
import re
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, HttpUrl, SecretStr, TypeAdapter, field_validator, model_validator

from services.auth.addresses import normalise
from services.auth.external.settings import ExternalSettings
from services.auth.oauth.settings import OAuthSettings
from services.auth.ownership import OwnerSettings
from services.auth.phones import normalise_phone
from services.auth.places import FORBIDDEN_SCHEMES, Places
from services.auth.protection_settings import ProtectionSettings
from services.auth.relying_party import RelyingParty
from services.auth.scopes import RoleSettings
from services.auth.webhooks import decode_secrets
from shared.settings import PostgresUrl, Settings

HOOKS = ("send_sms", "send_mail", "before_user_created", "access_token")
MIGRATIONS = Path(__file__).parent / "migrations"


class AuthSettings(ExternalSettings, OAuthSettings, OwnerSettings, ProtectionSettings, RoleSettings, Settings):
    database_url: PostgresUrl = Field(description="postgresql://role:password@host:port/database")
    secret_keys: SecretStr = Field(
        description="base64 of 32 random bytes, or several separated by commas: the first one writes, all read"
    )
    public_url: str = Field(description="base URL of the gateway as clients see it; links in mails start with it")
    site_url: str = Field("", description="where a link in a mail leads in the end, when the app named no place")
    redirect_urls: str = Field(
        "", description="places an app may name as redirect_to, separated by commas; `*`, `**` and `?` as in places.py"
    )
    password_reauthentication: bool = Field(
        False, description="a new password needs the nonce of `reauthenticate` once the log-in is a day old"
    )
    guests: bool = Field(False, description="people may come in without an address (anonymous sign-in)")
    guest_kept_s: int = Field(
        2_592_000, ge=3_600, description="a guest without a living session is deleted so long after the log-in"
    )
    autoconfirm: bool = Field(False, description="take addresses as confirmed at sign-up: only for closed systems")
    password_min_length: int = Field(8, ge=6, le=64, description="characters a new password has at least")
    password_hashers: int = Field(2, ge=1, le=64, description="argon2 computations at once in a process, 19 MiB each")
    password_wait_s: float = Field(5, gt=0, le=60, description="how long a request waits for one of them, then 503")
    password_queue: int = Field(
        4, ge=0, description="requests that may wait for one of them; the next gets 503 at once"
    )
    breaches_url: str = Field(
        "", description="service that knows breached passwords, asked with k-anonymity when one is set; empty: none"
    )
    confirmation_lifetime_s: int = Field(86_400, ge=60, description="how long the link and code of a sign-up are good")
    code_lifetime_s: int = Field(3_600, ge=60, le=86_400, description="how long every other link and code is good")
    mail_interval_s: int = Field(60, ge=0, description="least time between two mails of one kind to one address")
    mails_per_day: int = Field(10, ge=1, description="mails to one address in 24 hours, as long as the last link works")
    wrong_codes_per_day: int = Field(20, ge=5, description="wrong codes in 24 hours; then only links confirm")
    refresh_reuse_interval_s: int = Field(
        10, ge=0, le=120, description="how long an exchanged refresh token yields its successor again"
    )
    session_idle_s: int = Field(7_776_000, ge=3_600, description="a session nobody refreshes for so long has ended")
    session_lifetime_s: int = Field(0, ge=0, description="a session ends so long after its log-in; 0: it need not")
    browser_idle_s: int = Field(
        1_209_600, ge=300, le=34_560_000, description="a browser not seen on the log-in pages for so long logs in again"
    )
    sessions_per_user: int = Field(
        100, ge=1, le=1_000, description="with one more, the session that was not seen for longest ends"
    )
    webauthn_rp_id: str = Field("", description="domain that passkeys are bound to, for good; empty: PUBLIC_URL's host")
    webauthn_rp_name: str = Field("Gatehouse", min_length=1, description="what a device shows of it with a passkey")
    webauthn_origins: str = Field(
        "", description="pages and apps that may ask for passkeys, separated by commas; empty: PUBLIC_URL's origin"
    )
    sms_lifetime_s: int = Field(600, ge=30, le=86_400, description="how long the code of an SMS is good")
    test_codes: SecretStr = Field(
        SecretStr(""), description="`address=code` or `+number=code`, separated by commas: fixed codes, nothing is sent"
    )
    hook_send_sms_url: str = Field("", description="is called to send an SMS; without it there are no phone numbers")
    hook_send_mail_url: str = Field("", description="is called to send a mail, in place of notify")
    hook_before_user_created_url: str = Field("", description="is asked whether a sign-up is welcome")
    hook_access_token_url: str = Field("", description="is asked for further claims of an access token")
    hook_secrets: SecretStr = Field(
        SecretStr(""), description="`v1,whsec_` and base64, several separated by `|`: every call is signed with each"
    )
    hook_timeout_s: float = Field(3, gt=0, le=10, description="time budget of one call of a hook")
    hook_fail_open: str = Field(
        "", description="`before_user_created`, `access_token` or both: their failure is passed over, not a refusal"
    )
    key_publish_s: int = Field(
        660, ge=0, description="a signing key is published so long before it signs: the JWKS' max-age and a minute"
    )
    key_retire_s: int = Field(
        86_520, ge=700, description="a signing key verifies so long after the next has taken its place"
    )
    new_device_mails: bool = Field(True, description="a log-in on a device not seen before is mailed to the person")
    cleanup_interval_s: int = Field(60, ge=1, description="how often the worker deletes what has expired")

    @field_validator("secret_keys")
    @classmethod
    def _hold_32_bytes(cls, value: SecretStr) -> SecretStr:
        decode_keys(value)
        return value

    @field_validator("hook_secrets")
    @classmethod
    def _are_secrets_of_hooks(cls, value: SecretStr) -> SecretStr:
        decode_secrets(value.get_secret_value())
        return value

    @field_validator("test_codes")
    @classmethod
    def _are_codes(cls, value: SecretStr) -> SecretStr:
        decode_codes(value)
        return value

    @field_validator("hook_send_sms_url", "hook_send_mail_url", "hook_before_user_created_url", "hook_access_token_url")
    @classmethod
    def _is_address_of_hook(cls, value: str) -> str:
        if value:
            TypeAdapter(HttpUrl).validate_python(value)
        return value

    @model_validator(mode="after")
    def _hooks_are_signed(self) -> Self:
        if any(map(self.hook_url, HOOKS)) and not self.hook_secrets.get_secret_value():
            raise ValueError("HOOK_SECRETS is missing: calls of hooks are signed")
        if not self.hooks_that_fail_open <= {"before_user_created", "access_token"}:
            raise ValueError("HOOK_FAIL_OPEN names a hook that it is not for")
        return self

    @model_validator(mode="after")
    def _confirmed_means_confirmed(self) -> Self:
        if self.autoconfirm and self.link_verified_addresses:
            raise ValueError("LINK_VERIFIED_ADDRESSES trusts confirmed addresses: with AUTOCONFIRM nobody confirms any")
        return self

    @model_validator(mode="after")
    def _is_another_issuer_than_the_provider(self) -> Self:
        if self.issuer == f"{self.public_url}/auth/oauth":
            raise ValueError("ISSUER is the OAuth provider's own: tokens of third parties would open the house")
        return self

    @field_validator("public_url")
    @classmethod
    def _is_base_url(cls, value: str) -> str:
        TypeAdapter(HttpUrl).validate_python(value)
        return value.rstrip("/")

    @field_validator("site_url", "redirect_urls")
    @classmethod
    def _are_safe_places(cls, value: str) -> str:
        for url in filter(None, value.split(",")):
            if urlsplit(url.strip()).scheme.lower() in FORBIDDEN_SCHEMES:
                raise ValueError(f"{url.strip()} is not a place to lead people to")
        return value

    @model_validator(mode="after")
    def _asks_for_passkeys_of_its_own(self) -> Self:
        try:
            self.relying_party  # noqa: B018 — made now, so that a mistake is told now
        except ValueError as error:
            raise ValueError(f"WEBAUTHN_ORIGINS: {error}") from error
        return self

    @cached_property
    def relying_party(self) -> RelyingParty:
        """Who asks for passkeys, and where."""
        named = [origin.strip() for origin in self.webauthn_origins.split(",") if origin.strip()]
        return RelyingParty.of(self.webauthn_rp_id, self.webauthn_rp_name, named, self.public_url)

    def hook_url(self, hook: str) -> str:
        """Where a hook of HOOKS is, or nothing."""
        return str(getattr(self, f"hook_{hook}_url"))

    @property
    def hooks_that_fail_open(self) -> frozenset[str]:
        return frozenset(filter(None, (name.strip() for name in self.hook_fail_open.split(","))))

    @property
    def sms_is_on(self) -> bool:
        """True if some number can log in, be it one of those with a fixed code."""
        return bool(self.hook_send_sms_url) or any("@" not in to for to in self.fixed_codes)

    def reaches(self, phone: str) -> bool:
        """True if this number gets its codes, or needs none sent."""
        is_called = bool(self.hook_send_sms_url) and (not self.sms_prefixes or phone.startswith(self.prefixes_called))
        return is_called or phone in self.fixed_codes

    @cached_property
    def fixed_codes(self) -> dict[str, str]:
        """Codes of test addresses and numbers, for those who review an app."""
        return decode_codes(self.test_codes)

    @cached_property
    def places(self) -> Places:
        """Where a link may lead."""
        return Places(self.site_url, filter(None, (url.strip() for url in self.redirect_urls.split(","))))


def decode_codes(value: SecretStr) -> dict[str, str]:
    """`address=code` pairs by address or number; raise ValueError (without the value)."""
    codes = {}
    for pair in filter(None, (pair.strip() for pair in value.get_secret_value().split(","))):
        to, _, code = pair.rpartition("=")
        if not re.fullmatch(r"[0-9]{6}", code):
            raise ValueError("each must be an address or number, an equals sign and six digits")
        codes[normalise(to) if "@" in to else normalise_phone(to)] = code
    return codes


def decode_keys(value: SecretStr) -> list[bytes]:
    """The secret keys as bytes; raise ValueError (without the value) unless each is 32 bytes in base64."""
    try:
        keys = [base64.b64decode(key.strip(), validate=True) for key in value.get_secret_value().split(",")]
    except ValueError:  # binascii.Error is one
        keys = []
    if not keys or any(len(key) != 32 for key in keys):
        raise ValueError("each key must be 32 bytes in base64, several separated by commas")
    return keys
