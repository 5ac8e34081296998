"""Each component's Flask app, wired from an environment as a process would have it; nothing is connected to."""

import base64
import importlib
import inspect
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from flask import Flask

from shared.settings import Settings
from tests.contracts.components import Component

ENVIRONMENT = {
    "AMQP_URL": "amqp://nobody:nothing@127.0.0.1:1/",
    "ISSUER": "https://api.example.org/auth/v1",
    "JWKS_URL": "http://127.0.0.1:1/auth/v1/.well-known/jwks.json",
    "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:1/none",
    "MONGO_URL": "mongodb://127.0.0.1:1/?replicaSet=none",
    "SECRET_KEYS": base64.b64encode(bytes(32)).decode(),
    "PUBLIC_URL": "https://api.example.org",
    **{f"{name}_URL": "http://127.0.0.1:1" for name in ("AUTH", "PROFILE", "DATA", "NOTIFY")},
}


def settings_class(component: Component) -> type[Settings]:
    """The one class of settings that a component's `config.py` defines."""
    module = importlib.import_module(f"{component.package}.config")
    defined = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Settings) and value.__module__ == module.__name__
    ]
    assert len(defined) == 1, f"{component.path}/config.py defines {len(defined)} classes of settings"
    return defined[0]


@pytest.fixture(scope="session")
def app_of() -> Iterator[Callable[..., Flask]]:
    """`app_of(component)`; an environment given in names is laid over the one above."""
    made: list[Flask] = []

    @cache
    def make(component: Component, **environment: str) -> Flask:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**ENVIRONMENT, **environment}.items():
                patch.setenv(name, value)
            app: Flask = importlib.import_module(f"{component.package}.app").create_app()
        made.append(app)
        return app

    yield make
    for app in made:
        for part in app.extensions.values():
            if hasattr(part, "close"):
                part.close()
