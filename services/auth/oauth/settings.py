"""Settings of the OAuth provider, part of `AuthSettings`."""

from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator


class OAuthSettings(BaseModel):
    oauth_code_lifetime_s: int = Field(60, ge=10, le=600, description="how long an authorization code is good")
    oauth_grant_idle_s: int = Field(
        7_776_000, ge=3_600, description="what an app was granted ends when it is not refreshed for so long"
    )
    oauth_consent_url: str = Field(
        "", description="page of the app's own that asks for consent; gets authorization_id. Empty: the page here"
    )

    @field_validator("oauth_consent_url")
    @classmethod
    def _is_page(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (parts.scheme in ("https", "http") and parts.netloc and not parts.fragment):
            raise ValueError("must be the https address of a page, without a fragment")
        return value
