"""PostgreSQL is down."""

from collections.abc import Iterator

import pytest
from flask import Flask

from deploy.local.ports import free_ports
from services.profile.app import create_app
from services.profile.config import ProfileSettings
from shared.ids import new_id
from tests.profile.conftest import Client
from tests.support.people import Person
from tests.support.problems import problem


@pytest.fixture
def cut_off(settings: ProfileSettings) -> Iterator[Flask]:
    (port,) = free_ports(1)
    url = f"postgresql://profile:profile@127.0.0.1:{port}/profile"
    yield create_app(ProfileSettings(**settings.model_dump() | {"database_url": url}))


def test_every_request_is_asked_to_come_again(cut_off: Flask, alice: Person) -> None:
    client = Client(cut_off, alice)
    for answer in (
        client.get("/profile/v1/me"),
        client.patch("/profile/v1/me", {"bio": "x"}),
        client.get(f"/profile/v1/users/{new_id()}"),
    ):
        problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0


def test_the_process_is_alive_and_not_ready(cut_off: Flask) -> None:
    assert cut_off.test_client().get("/livez").status_code == 200
    assert "postgres" in problem(cut_off.test_client().get("/readyz"), 503, "not_ready")["detail"]
