"""Bodies of requests and answers of second factors, in the shape that clients of supabase/auth send and expect."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, SecretStr

from services.auth.models import ClientBody
from services.auth.phones import Phone
from shared.routing import Answer, Path

CHALLENGE_LIFETIME_S = 300
FACTOR_LIFETIME_S = 900  # of one that nobody has verified: time to find, or install, an authenticator app
Name = Annotated[str, Field(max_length=120)]


class FactorPath(Path):
    factor_id: UUID


class Enrolment(ClientBody):
    """Which members count depends on `factor_type`."""

    factor_type: Literal["totp", "phone", "webauthn"]
    friendly_name: Name = Field("", description="tells a user's factors apart; none may bear the name of another")
    phone: Phone | None = None
    issuer: str | None = Field(None, max_length=120, description="of totp: what the authenticator app shows")


class KeyResponse(ClientBody):
    """What `navigator.credentials` gave, in the JSON form of WebAuthn level 3."""

    type: Literal["create", "request"]
    credential_response: dict[str, Any]


class Answered(ClientBody):
    """The answer to a challenge."""

    challenge_id: UUID
    code: SecretStr | None = Field(None, min_length=1, max_length=32)
    webauthn: KeyResponse | None = None


class RecoveryEnrolment(ClientBody):
    may_be_missing = True

    friendly_name: Name | None = Field(None, min_length=1)


class RecoveryCode(ClientBody):
    code: SecretStr = Field(min_length=1, max_length=64, description="case, spaces and hyphens do not matter")


class TotpSeed(Answer):
    """Shown once. `qr_code` is an SVG; clients make a data URL of it."""

    qr_code: str = Field(repr=False)
    secret: str = Field(repr=False)
    uri: str = Field(repr=False)


class Enrolled(Answer):
    id: UUID
    type: str
    friendly_name: str
    totp: TotpSeed | None = None
    phone: str | None = None


class Challenge(Answer):
    """`expires_at` is in Unix seconds."""

    id: UUID
    type: str
    expires_at: int
    webauthn: dict[str, Any] | None = None


class FactorId(Answer):
    id: UUID


class RecoveryCodes(Answer):
    """The codes, shown this once."""

    id: UUID
    type: Literal["recovery_code"] = "recovery_code"
    friendly_name: str
    total: int
    codes: list[str] = Field(repr=False)


class RecoveryStatus(Answer):
    id: UUID
    type: Literal["recovery_code"] = "recovery_code"
    total: int
    remaining: int
