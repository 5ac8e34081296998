"""Settings of the data service, beside those of every component."""

from pydantic import Field

from shared.settings import MongoUrl, Settings


class DataSettings(Settings):
    mongo_url: MongoUrl = Field(description="mongodb://host:port/?replicaSet=name; transactions need a replica set")
    mongo_database: str = Field("data", pattern="^[a-z][a-z0-9_]{0,37}$", description="name of the database")
    tombstone_retention_s: int = Field(
        2_592_000, ge=60, description="how long a phone may stay away and still sync without starting over, seconds"
    )
    purge_interval_s: float = Field(60, gt=0, description="seconds between two searches for tombstones to purge")
