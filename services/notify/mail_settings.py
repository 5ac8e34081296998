"""Settings of the mail channel and of what mails look like; the templates' commands need no others."""

from pydantic import DirectoryPath, Field, FilePath, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.notify.brand import Brand


class MailSettings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    smtp_host: str | None = Field(None, description="mail relay; none: no mail")
    smtp_port: int = Field(587, ge=1, le=65535, description="port of the mail relay")
    smtp_from: str | None = Field(
        None, pattern=r"^[^@\s<>\",;:]+@[^@\s<>\",;:]+$", description="sender address of every mail"
    )
    smtp_from_name: str = Field("Gatehouse", max_length=100, description="sender name of every mail")
    smtp_username: str | None = Field(None, description="log-in at the mail relay")
    smtp_password: SecretStr | None = Field(None, description="password at the mail relay")
    smtp_starttls: bool = Field(True, description="demand STARTTLS; mail is never sent in the clear then")
    smtp_ca_file: FilePath | None = Field(None, description="CA bundle for the mail relay instead of the system's")

    mail_templates_dir: DirectoryPath | None = Field(
        None, description="folder of templates, sentences and languages that lies over the built-in one"
    )
    mail_locale: str = Field(
        "en",
        max_length=35,
        pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
        description="language for readers of whom none is known, or none that there is",
    )
    mail_app_name: str | None = Field(
        None, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$", description="the app's name in mails; else SMTP_FROM_NAME"
    )
    mail_color: str = Field("#1f5f4a", pattern=r"^#[0-9a-fA-F]{6}$", description="colour of buttons, #rrggbb")
    mail_logo_url: str | None = Field(
        None, max_length=500, pattern=r"^https://[^\s\"'<>]+$", description="picture in place of the name, 32 px high"
    )
    mail_footer: str | None = Field(
        None, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$", description="last line of every mail, as an address"
    )

    @property
    def brand(self) -> Brand:
        name = self.mail_app_name or self.smtp_from_name
        return Brand(name, self.mail_color, self.mail_logo_url or "", self.mail_footer or "")
