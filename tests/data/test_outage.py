"""MongoDB is down, or dies in the middle."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask

from deploy.local.mongo import Mongo
from deploy.local.ports import free_ports
from services.data import schema
from services.data.app import create_app
from services.data.config import DataSettings
from shared.contracts import DataChanged, Envelope
from shared.ids import new_id
from tests.data.conftest import NOTES, Client, note, row
from tests.support.people import Person
from tests.support.problems import problem
from tests.support.waiting import eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mongo]:
    """A server of this test's own, since it will be killed."""
    made = Mongo(tmp_path / "mongo", *free_ports(1))
    with made:
        yield made


@pytest.fixture
def app(server: Mongo, settings: DataSettings) -> Iterator[Flask]:
    made = create_app(DataSettings(**settings.model_dump() | {"mongo_url": server.url}))
    schema.migrate(made.extensions["database"])
    yield made
    made.extensions["database"].close()


def test_every_request_is_asked_to_come_again_and_goes_through_later(app: Flask, server: Mongo, alice: Person) -> None:
    client, path = Client(app, alice), note()
    before = client.put(path, {"n": 1}).json
    server.kill()
    requests = {
        "spaces": lambda: client.get("/data/v1/spaces"),
        "get": lambda: client.get(path),
        "list": lambda: client.get(NOTES),
        "put": lambda: client.put(path, {"n": 2}),
        "delete": lambda: client.delete(path),
        "pull": lambda: client.pull(),
        "push": lambda: client.push(row(new_id(), {"n": 1})),
    }
    with ThreadPoolExecutor(len(requests)) as pool:
        for answer in [pool.submit(request) for request in requests.values()]:
            problem(answer.result(), 503, "unavailable")
            assert int(answer.result().headers["Retry-After"]) > 0
    assert app.test_client().get("/livez").status_code == 200
    assert "mongo" in problem(app.test_client().get("/readyz"), 503, "not_ready")["detail"]

    server.restart()
    eventually(lambda: app.test_client().get("/readyz").status_code == 200, what="/readyz")
    assert client.get(path).json == before
    assert client.put(path, {"n": 2}).status_code == 200


def test_a_server_killed_under_writes_keeps_what_it_acknowledged_and_nothing_by_halves(
    app: Flask, server: Mongo, alice: Person
) -> None:
    acknowledged: dict[str, int] = {}
    enough, stop = threading.Event(), threading.Event()

    def write() -> None:
        client = Client(app, alice)
        while not stop.is_set():
            document_id = str(new_id())
            answer = client.put(note(UUID(document_id)), {"n": 1})
            assert answer.status_code in (201, 503), answer.json
            if answer.status_code == 201:
                acknowledged[document_id] = answer.json["revision"]
            if len(acknowledged) >= 40:
                enough.set()

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write) for _ in range(4)]
        assert enough.wait(30)
        server.kill()
        stop.set()
        for future in writing:
            future.result()
    server.restart()
    client = Client(app, alice)
    eventually(lambda: client.get("/data/v1/spaces").status_code == 200, what="the database")

    stored = {document["id"]: document["revision"] for document in client.pull_all()[0]}
    assert acknowledged.items() <= stored.items(), "an acknowledged write is gone"
    (space,) = client.get("/data/v1/spaces").json["items"]
    assert sorted(stored.values()) == list(range(1, space["seq"] + 1)), "a revision was taken without its document"
    with app.extensions["database"].connection() as conn:
        envelopes = [Envelope.model_validate_json(row["envelope"]) for row in conn["outbox"].find()]
    events = [DataChanged.model_validate(envelope.data) for envelope in envelopes]
    assert sorted(event.seq for event in events) == sorted(stored.values()), "a document without its event"
