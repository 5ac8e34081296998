"""A small service of its own, so that what is shared is tried without any of the real ones."""

from collections.abc import Callable, Iterator

import pytest
from flask.testing import FlaskClient

from deploy.local.postgres import Postgres
from shared.postgres import Database, execute
from shared.settings import Settings
from tests.shared import service
from tests.support.clients import NOBODYS_BROKER
from tests.support.databases import ROOT
from tests.support.issuer import Issuer

SQL = ROOT / "shared" / "sql"


@pytest.fixture(scope="session")
def things_template(postgres: Postgres) -> str:
    url = postgres.create_role_and_database("things", "things", database="things_template")
    db = Database(url, size=1)
    with db.transaction() as conn:
        execute(conn, "CREATE TABLE things (name text PRIMARY KEY, count int NOT NULL DEFAULT 1)")
        for name in ("outbox", "outbox_unread", "inbox"):
            execute(conn, (SQL / f"{name}.sql").read_text())
    db.close()
    return "things_template"


@pytest.fixture
def make_db(postgres: Postgres, things_template: str) -> Iterator[Callable[..., Database]]:
    made: list[Database] = []
    postgres.create_database("things_now", owner="things", template=things_template)

    def make(size: int = 4) -> Database:
        made.append(Database(postgres.url("things", "things", "things_now"), size=size))
        return made[-1]

    yield make
    for db in made:
        db.close()
    postgres.drop_database("things_now")


@pytest.fixture
def db(make_db: Callable[..., Database]) -> Database:
    return make_db()


@pytest.fixture
def settings(issuer: Issuer) -> Settings:
    return Settings(
        amqp_url=NOBODYS_BROKER,
        issuer=issuer.issuer,
        jwks_url=issuer.jwks_url,
        max_body_bytes=20_000,
    )


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return service.create_app(settings).test_client()
