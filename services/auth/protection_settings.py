"""Settings of what slows down guessing and floods (see `throttles.py`, `captcha.py`)."""

from typing import Literal, Self

from pydantic import BaseModel, Field, HttpUrl, SecretStr, TypeAdapter, field_validator, model_validator

SITEVERIFY = {
    "turnstile": "https://challenges.cloudflare.com/turnstile/v0/siteverify",
    "hcaptcha": "https://api.hcaptcha.com/siteverify",
}


class ProtectionSettings(BaseModel):
    log_in_tries: int = Field(
        10, ge=1, description="wrong tries at one account from one place at once, and as many in a window; then pauses"
    )
    log_in_tries_per_account: int = Field(
        50, ge=1, description="the same from all places together where its owner never logged in"
    )
    log_in_tries_per_place: int = Field(100, ge=1, description="the same at all accounts together, from one place")
    log_in_window_s: int = Field(3_600, ge=1, description="length of that window")
    guests_per_place: int = Field(30, ge=1, description="guests from one place at once, and as many in a window")
    sms_per_hour: int = Field(1_000, ge=1, description="SMS that may be ordered in all, in any hour")
    sms_per_day: int = Field(5_000, ge=1, description="the same in any 24 hours")
    sms_per_number: int = Field(
        10, ge=1, description="SMS to one number at once, whoever orders them, and as many in 24 hours"
    )
    sms_per_block: int = Field(30, ge=1, description="SMS to numbers that differ in the last three digits, in an hour")
    sms_per_place: int = Field(30, ge=1, description="SMS that one place orders, in an hour")
    sms_prefixes: str = Field(
        "", description="beginnings of the numbers that get SMS, as `1,44,4930`, separated by commas; empty: all do"
    )
    mails_per_hour: int = Field(10_000, ge=1, description="mails that may be ordered in all, in any hour")
    mails_per_place: int = Field(500, ge=1, description="mails that one place orders, in an hour")
    captcha_provider: Literal["", "turnstile", "hcaptcha"] = Field(
        "", description="who judges the captchas that apps show: `turnstile` or `hcaptcha`; empty: none is asked for"
    )
    captcha_secret: SecretStr = Field(SecretStr(""), description="the secret of the site at that provider")
    captcha_site_key: str = Field(
        "",
        description="public key of the site, for the captcha of the log-in pages; empty: only passkeys log in there",
    )
    captcha_url: str = Field("", description="where its `siteverify` is, if not where the provider says")
    captcha_hostnames: str = Field(
        "", description="where a captcha may have been solved, separated by commas; empty: anywhere"
    )
    captcha_action: str = Field("", description="the action that a captcha must have been shown for; empty: any")
    captcha_timeout_s: float = Field(3, gt=0, le=10, description="how long the provider has to answer")
    captcha_fail_open: bool = Field(False, description="requests pass while the provider fails; else they get 503")

    @field_validator("sms_prefixes")
    @classmethod
    def _are_digits(cls, value: str) -> str:
        if not all(prefix.strip().isascii() and prefix.strip().isdigit() for prefix in value.split(",") if value):
            raise ValueError("each must be digits without a plus, several separated by commas")
        return value

    @field_validator("captcha_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value:
            TypeAdapter(HttpUrl).validate_python(value)
        return value

    @model_validator(mode="after")
    def _captcha_has_a_secret(self) -> Self:
        if self.captcha_provider and not self.captcha_secret.get_secret_value():
            raise ValueError("CAPTCHA_SECRET is missing")
        return self

    @property
    def prefixes_called(self) -> tuple[str, ...]:
        return tuple(prefix.strip() for prefix in self.sms_prefixes.split(",") if prefix.strip())

    @property
    def siteverify_url(self) -> str:
        return self.captcha_url or SITEVERIFY[self.captcha_provider]
