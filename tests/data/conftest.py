"""The data service on a real replica set: `as_alice.put(path, {...})` is a request with alice's token."""

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from deploy.local.mongo import Mongo
from services.data import schema
from services.data.app import create_app
from services.data.config import DataSettings
from services.data.mongo import Database
from shared.contracts import Envelope
from shared.ids import new_id
from tests.support import clients
from tests.support.clients import as_alice, as_mallory, db
from tests.support.issuer import Issuer
from tests.support.people import Person

__all__ = ["as_alice", "as_mallory", "db"]

NOTES = "/data/v1/spaces/me/collections/notes/documents"


def note(document_id: UUID | None = None) -> str:
    """The path of a note in the caller's private space."""
    return f"{NOTES}/{document_id or new_id()}"


class Client(clients.Client):
    """Requests of one person."""

    def put(self, path: str, document: Any, **headers: str) -> TestResponse:
        return self.send("PUT", path, json.dumps({"document": document}).encode(), **headers)

    def delete(self, path: str, **headers: str) -> TestResponse:
        return self.open("DELETE", path, headers)

    def send(self, method: str, path: str, data: bytes, **headers: str) -> TestResponse:
        """The bytes as they are."""
        return self.open(method, path, {"content_type": "application/json", **headers}, data=data)

    def push(self, *rows: dict[str, Any], **fields: Any) -> TestResponse:
        return self.open("POST", "/data/v1/push", {}, json={"rows": list(rows), **fields})

    def pull(self, checkpoint: str | None = None, limit: int | None = None) -> TestResponse:
        query = {"checkpoint": checkpoint, "limit": limit}
        query = {name: value for name, value in query.items() if value is not None}
        return self.open("GET", "/data/v1/changes", {}, query_string=query)

    def pull_all(self, checkpoint: str | None = None, limit: int = 500) -> tuple[list[dict[str, Any]], str]:
        """Every change after the checkpoint, and the checkpoint after them."""
        documents: list[dict[str, Any]] = []
        while True:
            answer = self.pull(checkpoint, limit).json
            documents += answer["documents"]
            checkpoint = answer["checkpoint"]
            if not answer["has_more"]:
                return documents, checkpoint

    def space_id(self) -> str:
        return str(self.get("/data/v1/spaces").json["items"][0]["id"])


def row(
    document_id: Any, document: Any = None, *, assumed: Any = None, collection: Any = "notes", **fields: Any
) -> dict[str, Any]:
    """A row of a push; without a document a deletion."""
    state = {"deleted": True} if document is None else {"document": document}
    return {"collection": collection, "id": str(document_id), "assumed_revision": assumed, **state, **fields}


@pytest.fixture(scope="module")
def settings(mongo: Mongo, issuer: Issuer) -> DataSettings:
    return DataSettings(
        mongo_url=mongo.url,
        mongo_database=f"data_{secrets.token_hex(4)}",
        amqp_url=clients.NOBODYS_BROKER,
        issuer=issuer.issuer,
        jwks_url=issuer.jwks_url,
    )


@pytest.fixture(scope="module")
def app(settings: DataSettings) -> Iterator[Flask]:
    made = create_app(settings)
    database: Database = made.extensions["database"]
    schema.migrate(database)
    yield made
    with database.connection() as conn:
        conn.database.client.drop_database(settings.mongo_database)
    database.close()


@pytest.fixture
def client_of(app: Flask) -> Callable[[Person], Client]:
    return lambda person: Client(app, person)


@pytest.fixture
def outbox_of(db: Database) -> Callable[[Client], list[dict[str, Any]]]:
    """The data of the events about a person's private space that wait in the outbox, oldest first."""

    def read(client: Client) -> list[dict[str, Any]]:
        space_id = client.space_id()
        with db.connection() as conn:
            rows = conn["outbox"].find({}, sort=[("_id", 1)])
            envelopes = [Envelope.model_validate_json(row["envelope"]) for row in rows]
        return [envelope.data for envelope in envelopes if envelope.subject == space_id]

    return read
