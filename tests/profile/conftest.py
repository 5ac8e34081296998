"""The profile service on a real database: `as_alice.get("/profile/v1/me")` is a request with alice's token."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from services.profile.app import create_app
from services.profile.config import ProfileSettings
from shared.postgres import Database
from tests.support import clients
from tests.support.clients import as_alice, as_mallory, db
from tests.support.databases import Databases
from tests.support.issuer import Issuer
from tests.support.people import Person

__all__ = ["as_alice", "as_mallory", "db"]


class Client(clients.Client):
    """Requests of one person."""

    def patch(self, path: str, body: Any = None, *, data: bytes | None = None, **headers: str) -> TestResponse:
        """`body` goes as a JSON merge patch; `data` as it is."""
        headers = {"content_type": "application/merge-patch+json", **headers}
        given = {"json": body} if data is None else {"data": data}
        return self.open("PATCH", path, headers, **given)


@pytest.fixture(scope="module")
def database_url(databases: Databases) -> Iterator[str]:
    url = databases.fresh("profile")
    yield url
    databases.drop(url)


@pytest.fixture(scope="module")
def settings(database_url: str, issuer: Issuer) -> ProfileSettings:
    return ProfileSettings(
        database_url=database_url,
        amqp_url=clients.NOBODYS_BROKER,
        issuer=issuer.issuer,
        jwks_url=issuer.jwks_url,
    )


@pytest.fixture(scope="module")
def app(settings: ProfileSettings) -> Iterator[Flask]:
    made = create_app(settings)
    yield made
    made.extensions["database"].close()


@pytest.fixture
def client_of(app: Flask) -> Callable[[Person], Client]:
    return lambda person: Client(app, person)


@pytest.fixture
def outbox_of(db: Database) -> Callable[[Person], list[dict[str, Any]]]:
    """The events about a person that wait in the outbox, oldest first."""

    def read(person: Person) -> list[dict[str, Any]]:
        sql = """
            SELECT envelope::json AS e FROM outbox
            WHERE envelope::json->>'subject' = %(id)s ORDER BY position
        """
        with db.transaction() as conn, conn.cursor() as cursor:
            cursor.execute(sql, {"id": str(person.user_id)})
            return [row["e"] for row in cursor.fetchall()]

    return read
