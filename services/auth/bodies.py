"""What clients of supabase/auth send to sign up, to log in, to confirm and to change an account."""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr

from services.auth.addresses import Email
from services.auth.models import ClientBody, ClientQuery, Metadata, Password, RedirectQuery, Secret
from services.auth.phones import Phone
from services.auth.pkce import Challenge
from shared.errors import FieldError, ValidationFailed
from shared.routing import Form
from shared.tokens import MAX_TOKEN_BYTES

T = TypeVar("T")
ForeignToken = Annotated[SecretStr, Field(min_length=1, max_length=MAX_TOKEN_BYTES)]
Channel = Literal["sms", "whatsapp"]

MailType = Literal[
    "signup", "email", "invite", "magiclink", "recovery", "email_change", "email_change_current", "email_change_new"
]
VerifyType = Literal[MailType, "sms", "phone_change"]


class MetaSecurity(ClientBody):
    captcha_token: SecretStr | None = Field(None, description="what the captcha gave the app that showed it")


class CaptchaBody(ClientBody):
    """A request that may need a captcha (see captcha.py)."""

    gotrue_meta_security: MetaSecurity | None = None

    @property
    def captcha_token(self) -> str:
        """What the app says it solved; empty without any."""
        said = self.gotrue_meta_security and self.gotrue_meta_security.captcha_token
        return said.get_secret_value().strip() if said else ""


class PkceBody(ClientBody):
    """Both or neither. With them the link of the mail gives the app a code instead of a session."""

    code_challenge: str | None = Field(None, max_length=256)
    code_challenge_method: str | None = Field(None, max_length=16, description="`s256` or `plain`")

    @property
    def challenge(self) -> Challenge | None:
        """Raise ValidationFailed."""
        return Challenge.of(self.code_challenge, self.code_challenge_method)


class SignUp(CaptchaBody, PkceBody):
    """An address or a number, and a password; or neither, for a guest."""

    email: Email | None = None
    phone: Phone | None = None
    channel: Channel | None = None
    password: Password | None = None
    data: Metadata | None = Field(None, description="becomes user_metadata")


class Merge(ClientBody):
    guest_token: SecretStr = Field(min_length=1, max_length=8192, description="an access token of the guest")


class Otp(CaptchaBody, PkceBody):
    """Either an address or a number."""

    email: Email | None = None
    phone: Phone | None = None
    channel: Channel | None = None
    data: Metadata | None = Field(None, description="becomes user_metadata of a new user")
    create_user: bool | None = Field(True, description="false: only for users there are")


class MagicLink(CaptchaBody, PkceBody):
    email: Email
    data: Metadata | None = Field(None, description="becomes user_metadata of a new user")


class Recovery(CaptchaBody, PkceBody):
    email: Email


class GrantQuery(ClientQuery):
    grant_type: Literal["password", "refresh_token", "pkce", "id_token"]


class Grant(CaptchaBody):
    """Which members are needed depends on `grant_type`."""

    email: Email | None = None
    phone: Phone | None = None
    password: Password | None = None
    refresh_token: Secret | None = None
    auth_code: Secret | None = None
    code_verifier: Secret | None = None
    provider: str | None = Field(None, max_length=64)
    issuer: str | None = Field(None, max_length=512)
    client_id: str | None = Field(None, max_length=255)
    id_token: ForeignToken | None = None
    access_token: ForeignToken | None = Field(None, description="of the provider; held against `at_hash`")
    nonce: Secret | None = Field(None, description="its SHA-256 in hexadecimal is in the ID token")
    authorization_code: ForeignToken | None = Field(None, description="Apple's; see docs/sign-in-with.md")
    link_identity: bool | None = Field(None, description="true: link it to the caller, whose token is in the header")


class UserChange(PkceBody):
    email: Email | None = None
    phone: Phone | None = None
    channel: Channel | None = None
    password: Password | None = None
    current_password: Password | None = Field(None, description="if given, it must be right")
    nonce: Secret | None = Field(None, description="the code that `reauthenticate` mailed")
    data: Metadata | None = Field(None, description="merged into user_metadata; null removes a name")
    end_this_session: bool = Field(False, description="a new password ends this session too, not the others alone")


class Verification(ClientBody):
    """Either a code with the address or number it went to, or the hash of a link."""

    type: VerifyType
    email: Email | None = None
    phone: Phone | None = None
    token: Secret | None = None
    token_hash: Secret | None = None


class LinkQuery(RedirectQuery):
    token_hash: str = Field(min_length=1, max_length=512)
    type: MailType


class LinkForm(Form, LinkQuery):
    """What the button of the page sends."""

    password: Password | None = Field(None, description="for an address with sign-ups under different passwords")


class Resend(CaptchaBody, PkceBody):
    """`signup` and `email_change` go with an address, `sms` and `phone_change` with a number."""

    type: Literal["signup", "email", "email_change", "sms", "phone_change"]
    email: Email | None = None
    phone: Phone | None = None


def need(value: T | None, name: str) -> T:
    """A member that this request cannot do without. Raise ValidationFailed."""
    if value is None:
        raise ValidationFailed(
            f"#/{name}: Field required", errors=[FieldError(detail="Field required", pointer=f"#/{name}")]
        )
    return value
