"""The auth service with providers of its own on loopback, called as apps and browsers call it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.auth.conftest import Make, Reply, Service
from tests.support.provider import Providers, Realm

APP, WEB, ANDROID = "com.example.app", "web.example.com", "android.example.com"
TEAM, KEY_ID = "TEAM123456", "KEY1234567"
P8 = ec.generate_private_key(ec.SECP256R1())
P8_TEXT = P8.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class World:
    """The service, and the issuers that it knows as `apple`, `google` and `corp`."""

    def __init__(self, providers: Providers, make_service: Make, **changes: Any) -> None:
        self.providers, self.make_service = providers, make_service
        self.realms = {name: providers.realm(name) for name in ("apple", "google", "corp")}
        self.given: dict[str, dict[str, Any]] = {
            name: {"issuer": realm.url, "client_ids": [WEB, APP, ANDROID]} for name, realm in self.realms.items()
        }
        self.given["apple"] |= {"team_id": TEAM, "key_id": KEY_ID, "private_key": P8_TEXT}
        self.given["google"] |= {"client_secret": "google:secret"}
        for name, more in changes.pop("more", {}).items():
            self.given[name] |= more
        self.service: Service = make_service(providers=json.dumps(self.given), mail_interval_s=0, **changes)

    def __getitem__(self, name: str) -> Realm:
        return self.realms[name]

    def log_in(self, provider: str, id_token: str, headers: dict[str, str] | None = None, **members: Any) -> Reply:
        body = {"provider": provider, "id_token": id_token, **members}
        return self.service.post("/token?grant_type=id_token", body, headers)

    def come(
        self, provider: str, email: str | None = "alice@example.com", verified: Any = True, **claims: Any
    ) -> Reply:
        """Log in with a token for the app that says this of a person."""
        said = {"email": email, "email_verified": verified, **claims}
        return self.log_in(provider, self.realms[provider].token(APP, **said))


Worlds = Callable[..., World]


@pytest.fixture(scope="session")
def providers() -> Iterator[Providers]:
    made = Providers()
    yield made
    made.close()


@pytest.fixture
def make_world(providers: Providers, make_service: Make) -> Worlds:
    return lambda **changes: World(providers, make_service, **changes)


@pytest.fixture
def world(make_world: Worlds) -> World:
    return make_world()


@pytest.fixture
def service(world: World) -> Service:
    return world.service
