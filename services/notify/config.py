"""Settings of the notify service, beside those of every component. A channel without its settings sends nothing."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, FilePath, model_validator

from services.notify.mail_settings import MailSettings
from shared.settings import HttpAddress, PostgresUrl, Settings

MIGRATIONS = Path(__file__).parent / "migrations"

APPLE_PRODUCTION = "https://api.push.apple.com"
APPLE_SANDBOX = "https://api.sandbox.push.apple.com"


class NotifySettings(Settings, MailSettings):
    database_url: PostgresUrl = Field(description="postgresql://role:password@host:port/database")

    push_transport: Literal["curl", "library"] = Field(
        "curl", description="curl: pycurl over HTTP/2; library: the transports of pyfcm and apns2"
    )
    fcm_service_account_file: FilePath | None = Field(None, description="Google service account (JSON); none: no FCM")
    fcm_project_id: str | None = Field(None, description="Firebase project; else the service account's")
    fcm_base_url: HttpAddress = Field("https://fcm.googleapis.com/v1/projects", description="FCM up to the project")
    apns_key_file: FilePath | None = Field(None, description="Apple signing key (.p8); none: no APNs")
    apns_key_id: str | None = Field(None, description="ten characters that name the signing key")
    apns_team_id: str | None = Field(None, description="ten characters that name the Apple team")
    apns_topic: str | None = Field(None, description="bundle id for devices that registered without app_id")
    apns_url: HttpAddress = Field(APPLE_PRODUCTION, description="APNs for devices of the production environment")
    apns_sandbox_url: HttpAddress | None = Field(
        None, description="APNs for sandbox devices; else Apple's sandbox beside Apple's production, or APNS_URL"
    )
    apns_ca_file: FilePath | None = Field(None, description="CA bundle for APNs instead of the system's")

    send_batch: int = Field(200, ge=1, le=1000, description="deliveries a push sender takes at once")
    send_timeout_s: float = Field(10, gt=0, le=20, description="a provider's answer is waited for so long, seconds")
    send_lease_s: float = Field(60, ge=1, le=3600, description="a sender's claim on a delivery, seconds")
    send_max_attempts: int = Field(8, ge=1, le=50, description="attempts before a delivery has failed")
    retry_base_s: float = Field(5, gt=0, le=300, description="wait before the second attempt; doubles, seconds")
    message_retention_s: int = Field(
        2_592_000, ge=172_800, le=315_360_000, description="finished messages are deleted so long after, seconds"
    )

    @model_validator(mode="after")
    def _whole_channels(self) -> Self:
        if self.apns_key_file and not (self.apns_key_id and self.apns_team_id):
            raise ValueError("APNS_KEY_FILE needs APNS_KEY_ID and APNS_TEAM_ID")
        if self.smtp_host and not self.smtp_from:
            raise ValueError("SMTP_HOST needs SMTP_FROM")
        if bool(self.smtp_username) != bool(self.smtp_password):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD go together")
        if self.send_lease_s < 2 * self.send_timeout_s:
            raise ValueError("SEND_LEASE_S must be at least twice SEND_TIMEOUT_S")
        return self

    @property
    def apns_urls(self) -> dict[str, str]:
        """Where to send, by the environment of the device."""
        sandbox = self.apns_sandbox_url or (APPLE_SANDBOX if self.apns_url == APPLE_PRODUCTION else self.apns_url)
        return {"production": self.apns_url, "sandbox": sandbox}
