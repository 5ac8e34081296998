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
    captcha_provider: Literal["", "turnstile", "hcaptcha"] = Field(
        "", description="who judges the captchas that apps show: `turnstile` or `hcaptcha`; empty: none is asked for"
    )
    captcha_secret: SecretStr = Field(SecretStr(""), description="the secret of the site at that provider")
    captcha_url: str = Field("", description="where its `siteverify` is, if not where the provider says")
    captcha_hostnames: str = Field(
        "", description="where a captcha may have been solved, separated by commas; empty: anywhere"
    )
    captcha_action: str = Field("", description="the action that a captcha must have been shown for; empty: any")
    captcha_timeout_s: float = Field(3, gt=0, le=10, description="how long the provider has to answer")
    captcha_fail_open: bool = Field(False, description="requests pass while the provider fails; else they get 503")

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
    def siteverify_url(self) -> str:
        return self.captcha_url or SITEVERIFY[self.captcha_provider]
