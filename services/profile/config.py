"""Settings of the profile service, beside those of every component."""

from pydantic import Field, PostgresDsn, SecretStr, TypeAdapter

from shared.settings import Settings


class ProfileSettings(Settings):
    database_url: SecretStr = Field(description="postgresql://role:password@host:port/database")

    def model_post_init(self, context: object) -> None:
        super().model_post_init(context)
        TypeAdapter(PostgresDsn).validate_python(self.database_url.get_secret_value())
