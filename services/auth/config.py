"""Settings of the auth service, beside those of every component."""

import base64
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, HttpUrl, SecretStr, TypeAdapter, field_validator, model_validator

from services.auth.places import FORBIDDEN_SCHEMES, Places
from services.auth.relying_party import RelyingParty
from shared.settings import PostgresUrl, Settings

MIGRATIONS = Path(__file__).parent / "migrations"


class AuthSettings(Settings):
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
        False, description="a new password needs the nonce of `reauthenticate` once the session is a day old"
    )
    guests: bool = Field(False, description="people may come in without an address (anonymous sign-in)")
    guests_per_place: int = Field(30, ge=1, description="guests from one place in LOG_IN_WINDOW_S, then 429")
    guest_kept_s: int = Field(
        2_592_000, ge=3_600, description="a guest without a living session is deleted so long after the log-in"
    )
    autoconfirm: bool = Field(False, description="take addresses as confirmed at sign-up: only for closed systems")
    password_min_length: int = Field(8, ge=6, le=64, description="characters a new password has at least")
    password_hashers: int = Field(2, ge=1, le=64, description="argon2 computations at once in a process, 19 MiB each")
    password_wait_s: float = Field(5, gt=0, le=60, description="how long a request waits for one of them, then 503")
    log_in_tries: int = Field(10, ge=1, description="tries at one address from one place in a window, then 429")
    log_in_window_s: int = Field(900, ge=1, description="length of that window")
    confirmation_lifetime_s: int = Field(86_400, ge=60, description="how long the link and code of a sign-up are good")
    code_lifetime_s: int = Field(3_600, ge=60, le=86_400, description="how long every other link and code is good")
    mail_interval_s: int = Field(60, ge=0, description="least time between two mails of one kind to one address")
    mails_per_day: int = Field(10, ge=1, description="mails to one address in 24 hours, as long as the last link works")
    wrong_codes_per_day: int = Field(20, ge=5, description="wrong codes in 24 hours; then only links confirm")
    refresh_reuse_interval_s: int = Field(
        10, ge=0, le=120, description="how long an exchanged refresh token yields its successor again"
    )
    session_idle_s: int = Field(7_776_000, ge=3_600, description="a session nobody refreshes for so long has ended")
    webauthn_rp_id: str = Field("", description="domain that passkeys are bound to, for good; empty: PUBLIC_URL's host")
    webauthn_rp_name: str = Field("Gatehouse", min_length=1, description="what a device shows of it with a passkey")
    webauthn_origins: str = Field(
        "", description="pages and apps that may ask for passkeys, separated by commas; empty: PUBLIC_URL's origin"
    )
    cleanup_interval_s: int = Field(60, ge=1, description="how often the worker deletes what has expired")

    @field_validator("secret_keys")
    @classmethod
    def _hold_32_bytes(cls, value: SecretStr) -> SecretStr:
        decode_keys(value)
        return value

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

    @cached_property
    def places(self) -> Places:
        """Where a link may lead."""
        return Places(self.site_url, filter(None, (url.strip() for url in self.redirect_urls.split(","))))


def decode_keys(value: SecretStr) -> list[bytes]:
    """The secret keys as bytes; raise ValueError (without the value) unless each is 32 bytes in base64."""
    try:
        keys = [base64.b64decode(key.strip(), validate=True) for key in value.get_secret_value().split(",")]
    except ValueError:  # binascii.Error is one
        keys = []
    if not keys or any(len(key) != 32 for key in keys):
        raise ValueError("each key must be 32 bytes in base64, several separated by commas")
    return keys
