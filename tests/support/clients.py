"""Requests of one person to a service in this process; the fixtures that a service's conftest.py takes from here."""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.support.people import Person

C = TypeVar("C", bound="Client")

NOBODYS_BROKER = "amqp://nobody:nothing@127.0.0.1:1/"  # a web process needs none


class Client:
    """`get(path, If_None_Match="…")`: headers are named with underscores, or given as `content_type`."""

    def __init__(self, app: Flask, person: Person) -> None:
        self.person = person
        self._app = app

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.open("GET", path, headers)

    def open(self, method: str, path: str, headers: dict[str, str], **options: Any) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._app.test_client().open(path, method=method, headers=self.person.headers | named, **options)


@pytest.fixture
def db(app: Flask) -> Any:
    """The service's own database."""
    return app.extensions["database"]


@pytest.fixture
def as_alice(client_of: Callable[[Person], C], alice: Person) -> C:
    return client_of(alice)


@pytest.fixture
def as_mallory(client_of: Callable[[Person], C], mallory: Person) -> C:
    return client_of(mallory)
