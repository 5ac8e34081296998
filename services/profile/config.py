"""Settings of the profile service, beside those of every component."""

from pathlib import Path

from pydantic import Field

from shared.settings import PostgresUrl, Settings

MIGRATIONS = Path(__file__).parent / "migrations"


class ProfileSettings(Settings):
    database_url: PostgresUrl = Field(description="postgresql://role:password@host:port/database")
