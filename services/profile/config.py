"""Settings of the profile service, beside those of every component."""

from pydantic import Field

from shared.settings import PostgresUrl, Settings


class ProfileSettings(Settings):
    database_url: PostgresUrl = Field(description="postgresql://role:password@host:port/database")
