"""A fresh, migrated database for a test, in about 50 ms: migrations run once into a template, which is then copied."""

import secrets
from pathlib import Path

from pydantic import SecretStr

from deploy.local.environment import OWNERS
from deploy.local.postgres import Postgres
from services.auth import ownership
from shared.migrations import migrate
from shared.postgres import Database

ROOT = Path(__file__).parents[2]


class Databases:
    """Databases of one service's role, as in production: it can enter no other, and owns its own unless OWNERS says who
    does."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._passwords: dict[str, str] = {}

    def fresh(self, service: str) -> str:
        """The URL of a new database with this service's schema; the caller drops it with `drop`."""
        if service not in self._passwords:
            self._make_template(service)
        name = f"{service}_{secrets.token_hex(4)}"
        owner = OWNERS.get(service, service)
        self._postgres.create_database(name, owner=owner, template=f"{service}_template", role=service)
        return self._postgres.url(service, self._passwords[service], name)

    def owners_url(self, url: str) -> str:
        """The same database as the role that owns it."""
        name = url.rsplit("/", 1)[1]
        owner = OWNERS[name.split("_", 1)[0]]
        return self._postgres.url(owner, self._passwords[owner], name)

    def drop(self, url: str) -> None:
        self._postgres.drop_database(url.rsplit("/", 1)[1])

    def _make_template(self, service: str) -> None:
        password, template = secrets.token_hex(12), f"{service}_template"
        url = self._postgres.create_role_and_database(service, password, database=template)
        folder = ROOT / "services" / service / "migrations"
        database = Database(url, size=1)
        if owner := OWNERS.get(service):
            self._passwords[owner] = secrets.token_hex(12)
            own = self._postgres.create_owner(owner, self._passwords[owner], database=template, role=service)
            settings = ownership.OwnerSettings(migrate_database_url=SecretStr(own))
            ownership.migrate(database, settings, SecretStr(url), folder)
        else:
            migrate(database, folder)
        database.close()
        self._passwords[service] = password
