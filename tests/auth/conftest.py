"""The auth service on a database of its own, people who use it, and what it has decided to tell others."""

import base64
import html
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from services.auth import passwords, roles
from services.auth.app import create_app
from services.auth.config import AuthSettings
from services.auth.parts import Parts
from services.auth.scopes import ADMIN
from shared.contracts import Envelope
from shared.postgres import Database, execute
from tests.support.databases import Databases
from tests.support.mails import LIBRARY

T = TypeVar("T")
PASSWORD = "correct horse battery staple"
ISSUER = "https://app.example.com/auth/v1"
ROOT = Path(__file__).parents[2]
Make = Callable[..., "Service"]
Start = Callable[..., subprocess.Popen[str]]


@dataclass(frozen=True)
class Reply:
    """An answer: status, JSON body, headers; `code` is the stable word of a problem."""

    status: int
    json: Any
    headers: Any
    text: str

    @property
    def code(self) -> str | None:
        return self.json.get("code") if isinstance(self.json, dict) else None

    def __getitem__(self, name: str) -> Any:
        return self.json[name]


class Person:
    """Somebody with an address and a password; `session` is what the last answer with tokens gave."""

    def __init__(self, service: "Service", email: str, password: str = PASSWORD) -> None:
        self.service, self.email, self.password = service, email, password
        self.session: dict[str, Any] = {}

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.session['access_token']}"}

    @property
    def user_id(self) -> str:
        return str(self.session["user"]["id"])

    @property
    def session_id(self) -> str:
        return str(claims_of(self.session["access_token"])["sid"])

    def sign_up(self, **members: Any) -> Reply:
        body = {"email": self.email, "password": self.password, **members}
        return self.keep(self.service.post("/signup", body))

    def confirm(self) -> Reply:
        token = self.service.mail_to(self.email)["code"]
        return self.keep(self.service.post("/verify", {"type": "signup", "email": self.email, "token": token}))

    def log_in(self, **headers: str) -> Reply:
        body = {"email": self.email, "password": self.password}
        return self.keep(self.service.post("/token?grant_type=password", body, headers))

    def refresh(self, refresh_token: str | None = None) -> Reply:
        body = {"refresh_token": refresh_token or self.session["refresh_token"]}
        return self.keep(self.service.post("/token?grant_type=refresh_token", body))

    def get(self, path: str) -> Reply:
        return self.service.get(path, self.headers)

    def post(self, path: str, body: Any = None) -> Reply:
        return self.service.post(path, body, self.headers)

    def delete(self, path: str) -> Reply:
        return self.service.call("DELETE", path, headers=self.headers)

    def change(self, *, redirect_to: str = "", **members: Any) -> Reply:
        query = f"?{urlencode({'redirect_to': redirect_to})}" if redirect_to else ""
        return self.service.call("PUT", f"/user{query}", body=members, headers=self.headers)

    def administer(self, method: str, path: str = "", body: Any = None) -> Reply:
        """Call an endpoint below `/admin/users`."""
        return self.service.call(method, f"/admin/users{path}", body=body, headers=self.headers)

    def verify(self, type: str, **members: Any) -> Reply:
        """With the code of the last mail to the own address, unless told otherwise."""
        body = {"type": type, **members}
        if "token_hash" not in body:
            body.setdefault("email", self.email)
        if not {"token", "token_hash"} & set(body):
            body["token"] = self.service.code_to(body["email"])
        return self.keep(self.service.post("/verify", body))

    def keep(self, reply: Reply) -> Reply:
        if reply.status == 200 and "access_token" in reply.json:
            self.session = reply.json
        return reply


class Service:
    """The service under test, called in process; its database is real and its own."""

    def __init__(self, app: Flask, databases: Databases) -> None:
        self.app, self._databases = app, databases
        self.parts: Parts = app.extensions["auth"]
        self.db: Database = self.parts.db

    def call(
        self, method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None, **options: Any
    ) -> Reply:
        if body is not None:
            options["json"] = body
        response: TestResponse = self.app.test_client().open(
            f"/auth/v1{path}", method=method, headers=headers, **options
        )
        return Reply(response.status_code, response.get_json(silent=True), response.headers, response.text)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        return self.call("GET", path, headers=headers)

    def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        return self.call("POST", path, body=body, headers=headers)

    def person(self, name: str) -> Person:
        return Person(self, f"{name}@example.com")

    def guest(self, name: str) -> Person:
        """Somebody who came in without an address; the one of `person` is theirs to give."""
        person = self.person(name)
        assert person.keep(self.post("/signup", {"data": {}})).status == 200
        return person

    def member(self, name: str) -> Person:
        """Somebody who has signed up, confirmed the address and so is logged in."""
        person = self.person(name)
        assert person.sign_up().status == 200
        assert person.confirm().status == 200
        return person

    def administrator(self, name: str) -> Person:
        """A member who was made an administrator, and has logged in since."""
        person = self.member(name)
        with self.db.transaction() as conn:
            roles.grant(conn, roles.find_by_address(conn, person.email), ADMIN)
        assert person.log_in().status == 200
        return person

    def deeds(self, actor: Person) -> list[tuple[str, str | None]]:
        """What the audit log says an administrator did, and to whom, in order; without what came of it."""
        sql = """
            SELECT action, subject::text FROM audit_log WHERE actor = %(actor)s AND action <> 'user.registered'
              AND action NOT LIKE 'session.%%' ORDER BY id
        """
        return [(row["action"], row["subject"]) for row in self.rows(sql, actor=actor.user_id)]

    def press(self, link: str, **typed: str) -> Reply:
        """Open the link of a mail, as a browser or a mail scanner does, and press the button of its page."""
        page = self.get(link.removeprefix("https://app.example.com/auth/v1"))
        assert page.status == 200 and 'action="verify/confirm"' in page.text
        form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        return self.call("POST", "/verify/confirm", data={**{k: html.unescape(v) for k, v in form.items()}, **typed})

    def rows(self, sql: str, **params: Any) -> list[dict[str, Any]]:
        with self.db.transaction() as conn, conn.cursor() as cursor:
            cursor.execute(sql, params)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    @property
    def owners_url(self) -> str:
        return self._databases.owners_url(self.parts.settings.database_url.get_secret_value())

    def as_owner(self, sql: str, **params: Any) -> None:
        """Do what the service's own role may not: it owns no table."""
        owner = Database(self.owners_url, size=1)
        with owner.transaction() as conn:
            execute(conn, sql, params)
        owner.close()

    @contextmanager
    def without_outbox(self) -> Iterator[None]:
        """No event can be written."""
        self.as_owner("ALTER TABLE outbox RENAME TO elsewhere")
        try:
            yield
        finally:
            self.as_owner("ALTER TABLE elsewhere RENAME TO outbox")

    def events(self, type: str | None = None) -> list[Envelope]:
        """What waits in the outbox, in order."""
        rows = self.rows("SELECT envelope FROM outbox ORDER BY position")
        envelopes = [Envelope.model_validate_json(row["envelope"]) for row in rows]
        return [envelope for envelope in envelopes if type in (None, envelope.type)]

    def mails_to(self, email: str) -> list[dict[str, Any]]:
        """The mails asked for, oldest first; notify has their templates, and each gets the parameters it needs."""
        mails = [event.data for event in self.events("message.requested") if event.data["email"] == email]
        for mail in mails:
            LIBRARY.mail(mail["template"], [], mail["params"])
        return mails

    def code_to(self, email: str) -> str:
        """The last code that was mailed to an address."""
        codes = [mail["params"]["code"] for mail in self.mails_to(email) if "code" in mail["params"]]
        return str(codes[-1])

    def log(self, person: "Person", *actions: str) -> list[dict[str, Any]]:
        """What the audit log says of a person, in order; all of it, or these actions."""
        sql = """
            SELECT action, actor::text, subject::text, host(address) AS address, session_id::text, client, details
            FROM audit_log WHERE subject = %(id)s AND (%(actions)s = '{}' OR action = ANY(%(actions)s)) ORDER BY id
        """
        return self.rows(sql, id=person.user_id, actions=list(actions))

    def mail_to(self, email: str) -> dict[str, str]:
        """The parameters of the last mail to an address, with the secret of its link as `token_hash`."""
        params: dict[str, str] = self.mails_to(email)[-1]["params"]
        query = parse_qs(urlsplit(params.get("link", "")).query)
        return {**params, **{name: values[0] for name, values in query.items()}}


def fragment_of(reply: Reply) -> dict[str, str]:
    """What the place that an answer leads to has in its fragment."""
    return dict(parse_qsl(urlsplit(reply.headers["Location"]).fragment))


def query_of(reply: Reply) -> dict[str, str]:
    """What the place that an answer leads to has in its query."""
    return dict(parse_qsl(urlsplit(reply.headers["Location"]).query))


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a token, unverified."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def signed(person: Person, key: Any, **changes: Any) -> str:
    """A token like a person's, with other claims, signed with this key under the name of ours."""
    token = person.session["access_token"]
    return jwt.encode(
        {**claims_of(token), **changes}, key, "ES256", headers={"kid": jwt.get_unverified_header(token)["kid"]}
    )


def at_once(task: Callable[[int], T], times: int = 20) -> list[T]:
    """Run `task(0)`, `task(1)`, … in as many threads at the same time."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(task, range(times)))


TABLES = (
    "outbox",
    "one_time_tokens",
    "merged_users",
    "hook_calls",
    "provider_tokens",
    "external_flows",
    "auth_codes",
    "oauth_clients",
    "sessions",
    "users",
    "signing_keys",
    "throttles",
    "used_challenges",
    "failed_log_ins",
)


class CleanDatabases:
    """Databases that tests use one after the other: emptying five tables takes 3 ms, a database of one's own 300."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._urls: list[str] = []

    def lend(self) -> Iterator[str]:
        """Empty databases, none twice."""
        for number in itertools.count():
            if number == len(self._urls):
                self._urls.append(self._databases.fresh("auth"))
            self._empty(self._urls[number])
            yield self._urls[number]

    def drop(self) -> None:
        for url in self._urls:
            self._databases.drop(url)

    def _empty(self, url: str) -> None:
        database = Database(url, size=1)
        with database.transaction() as conn, conn.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"DELETE FROM {table}")  # noqa: S608
        database.close()


@pytest.fixture(scope="session")
def clean_databases(databases: Databases) -> Iterator[CleanDatabases]:
    made = CleanDatabases(databases)
    yield made
    made.drop()


def settings_on(database_url: str, **changes: Any) -> AuthSettings:
    """Settings of a service on this database that throttles nobody."""
    defaults: dict[str, Any] = {
        "database_url": database_url,
        "secret_keys": base64.b64encode(os.urandom(32)).decode(),
        "amqp_url": "amqp://nobody:nothing@127.0.0.1:1/%2F",
        "issuer": ISSUER,
        "jwks_url": f"{ISSUER}/.well-known/jwks.json",
        "public_url": "https://app.example.com",
        "password_wait_s": 60,
        "password_queue": 1000,
        "log_in_tries": 1000,
        "log_in_tries_per_account": 1000,
        "log_in_tries_per_place": 1000,
        "sms_per_block": 1000,
        "sms_per_place": 1000,
        "mails_per_place": 2000,
        "site_url": "https://www.example.com/welcome",
        "redirect_urls": "com.example.app://confirmed, https://www.example.com/other",
    }
    return AuthSettings(**{**defaults, **changes})


@pytest.fixture
def make_settings(clean_databases: CleanDatabases) -> Callable[..., AuthSettings]:
    lent = clean_databases.lend()

    def make(**changes: Any) -> AuthSettings:
        return settings_on(changes.pop("database_url", None) or next(lent), **changes)

    return make


@pytest.fixture
def real_costs() -> None:
    """A test that asks for it hashes passwords as in earnest."""


@pytest.fixture(autouse=True)
def low_costs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id as it is, with parameters that take no time: a third of this folder's time went there."""
    if "real_costs" not in request.fixturenames:
        monkeypatch.setattr(passwords, "MEMORY_KIB", 64)
        monkeypatch.setattr(passwords, "PASSES", 1)


@pytest.fixture
def make_service(make_settings: Callable[..., AuthSettings], databases: Databases) -> Iterator[Make]:
    made: list[Service] = []

    def make(**changes: Any) -> Service:
        made.append(Service(create_app(make_settings(**changes)), databases))
        return made[-1]

    yield make
    for service in made:
        service.db.close()


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service()


@pytest.fixture
def alice(service: Service) -> Person:
    return service.member("alice")


@pytest.fixture
def mallory(service: Service) -> Person:
    return service.member("mallory")


@pytest.fixture
def root(service: Service) -> Person:
    """An administrator."""
    return service.administrator("root")


def _environment(settings: AuthSettings, **changes: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "SECRET_KEYS": settings.secret_keys.get_secret_value(),
        "AMQP_URL": settings.amqp_url.get_secret_value(),
        "ISSUER": settings.issuer,
        "JWKS_URL": settings.jwks_url,
        "PUBLIC_URL": settings.public_url,
        **changes,
    }


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(settings: AuthSettings, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "services.auth", *arguments]
        env = _environment(settings, **environment)
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.terminate()
        process.communicate(timeout=30)


def output_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err
