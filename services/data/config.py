"""Settings of the data service, beside those of every component."""

from pydantic import Field, SecretStr, TypeAdapter
from pydantic.networks import MongoDsn

from shared.settings import Settings


class DataSettings(Settings):
    mongo_url: SecretStr = Field(description="mongodb://host:port/?replicaSet=name; transactions need a replica set")
    mongo_database: str = Field("data", pattern="^[a-z][a-z0-9_]{0,37}$", description="name of the database")
    tombstone_retention_s: int = Field(
        30 * 86_400, ge=60, description="how long a phone may stay away and still sync without starting over, seconds"
    )
    purge_interval_s: float = Field(60, gt=0, description="seconds between two searches for tombstones to purge")

    def model_post_init(self, context: object) -> None:
        super().model_post_init(context)
        TypeAdapter(MongoDsn).validate_python(self.mongo_url.get_secret_value())
