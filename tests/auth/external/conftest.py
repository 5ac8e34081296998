"""The auth service with providers of its own on loopback, called as apps and browsers call it."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.auth.conftest import Make, Reply, Service
from tests.support.provider import Providers, Realm

APP, WEB, ANDROID = "com.example.app", "web.example.com", "android.example.com"
PLACE = "com.example.app://confirmed"
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


class Browser:
    """A browser with a jar of cookies, which goes where it is sent: here, or to the providers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = world.service.app.test_client()
        self.base = world.service.parts.settings.public_url

    def open(self, url: str, method: str = "GET", **options: Any) -> Reply:
        """A page of the service."""
        response = self.client.open(url.removeprefix(self.base), method=method, base_url=self.base, **options)
        return Reply(response.status_code, response.get_json(silent=True), response.headers, response.text)

    def leave(self, query: dict[str, str], path: str = "/auth/v1/authorize") -> str:
        """To the provider; its address, with what it is asked."""
        reply = self.open(f"{path}?{urlencode(query)}")
        assert reply.status == 302, reply.text
        return str(reply.headers["Location"])

    def come_back(self, address: str, **changes: str | None) -> Reply:
        """The provider has asked the person, and sends the browser back."""
        answer, place, mode = self.world.providers.visit(address)
        said = {name: value for name, value in {**answer, **changes}.items() if value is not None}
        if mode == "form_post":
            return self.open(place, "POST", data=said)
        return self.open(f"{place}?{urlencode(said)}")

    def log_in(self, provider: str = "google", **query: str) -> Reply:
        return self.come_back(self.leave({"provider": provider, "redirect_to": PLACE, **query}))


@pytest.fixture
def browser(world: World) -> Browser:
    return Browser(world)
