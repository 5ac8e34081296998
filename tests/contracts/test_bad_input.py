"""Whatever is sent to any endpoint of any service, on its real store: a 4xx that names the place, and never a 500."""

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from deploy.local.mongo import Mongo
from shared.tokens import Verifier
from tests.contracts.components import Component
from tests.contracts.conftest import ENVIRONMENT
from tests.contracts.test_access import SERVICES
from tests.support.databases import Databases
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.problems import MEMBERS
from tests.support.process import Process

ID = "0190f5fe-7c00-7a00-8000-000000000001"
LIMIT = 20_000
NO_JSON = [
    b"",
    b"{",
    b"null",
    b"7",
    b'{"a":1,"a":2}',
    b'{"a":NaN}',
    b'{"a":1e999}',
    b'{"a":"\\u0000"}',
    b'{"a":"\\ud800"}',
]
NO_UTF8 = [b'{"a":"\xff"}', b"\xff\xfe{\x00}\x00", b'{"a":"\xed\xa0\x80"}']
ODD = [
    "",
    "x",
    "-1",
    "0",
    "99999999999999999999",
    "NaN",
    "null",
    "true",
    "'",
    '"',
    "%",
    "..",
    "x" * 5000,
    "é😀",
    "{}",
    "[]",
    ID,
]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    described: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def may_lack_body(self) -> bool:
        return not self.described["requestBody"]["required"]

    @property
    def takes_body(self) -> bool:
        """JSON, that is: auth's page for links in mails takes a form."""
        return "application/json" in self.described.get("requestBody", {}).get("content", {})

    def parameters(self, place: str) -> dict[str, dict[str, Any]]:
        """The schemas of its `path` or `query` parameters."""
        return {one["name"]: one["schema"] for one in self.described.get("parameters", []) if one["in"] == place}

    def path_to(self, value: str | None = None) -> str:
        """The path with this value in every variable part, or with values that fit."""
        fitting = {name: _fitting(schema) for name, schema in self.parameters("path").items()}
        parts = self.path.split("/")
        return "/".join(
            (fitting[part[1:-1]] if value is None else value) if part.startswith("{") else part for part in parts
        )

    def demanded(self) -> dict[str, str]:
        """Query parameters that must be there."""
        demanded = [one for one in self.described.get("parameters", []) if one["in"] == "query" and one.get("required")]
        return {one["name"]: _fitting(one["schema"]) for one in demanded}


def _fitting(schema: dict[str, Any]) -> str:
    """A value that the schema of a parameter accepts."""
    words = [*schema.get("enum", []), ID, "notes", "x"]
    return str(next(word for word in words if re.fullmatch(schema.get("pattern", ".*"), str(word))))


# Where people come with a browser, or clients of OAuth.
PAGES = ("/auth/oauth/", "/auth/v1/authorize", "/auth/v1/callback")


class Wired:
    """One service on its store, and a caller with every scope that a route asks for."""

    def __init__(self, name: str, app: Flask, issuer: Issuer, person: Person) -> None:
        self.name = name
        app.extensions["verifier"] = Verifier(issuer.jwks_url, issuer.issuer, issuer.audience)
        self.client = app.test_client()
        self.document: dict[str, Any] = self.client.get("/openapi.json").get_json()
        self._issuer, self._person = issuer, person

    def operations(self) -> list[Operation]:
        return [
            Operation(method.upper(), path, described)
            for path, methods in self.document["paths"].items()
            for method, described in methods.items()
        ]

    def send(self, operation: Operation, path: str | None = None, **request: Any) -> TestResponse:
        """Fails for a 5xx, and for a 4xx that is no problem document; people at a page of auth get a page, and
        clients of OAuth an error of RFC 6749."""
        scopes = [scope for security in operation.described.get("security", []) for scope in security["bearer"]]
        token = self._issuer.service_token(" ".join(scopes)) if scopes else self._person.token()
        path = operation.path_to() if path is None else path
        request.setdefault("query_string", operation.demanded())
        answer = self.client.open(
            path, method=operation.method, headers={"Authorization": f"Bearer {token}"}, **request
        )
        assert answer.status_code < 500, f"{operation} {path[:80]} {str(request)[:300]}: {answer.text}"
        if answer.status_code >= 400 and answer.content_type == "application/problem+json":
            assert answer.get_json().keys() >= MEMBERS
        elif answer.status_code >= 400:
            assert operation.path.startswith(PAGES), operation
            assert answer.content_type.startswith("text/html") or "error" in answer.get_json(), operation
        return answer

    def body(self, operation: Operation, data: bytes) -> TestResponse:
        return self.send(operation, data=data, content_type="application/json")

    def fields(self, operation: Operation) -> dict[str, dict[str, Any]]:
        """The fields of the body; none where the body is one of several shapes."""
        properties = self._body_schema(operation).get("properties", {})
        return {name: self._resolved(field) for name, field in properties.items()}

    def is_strict(self, operation: Operation) -> bool:
        """Auth's bodies forgive unknown names: clients of other makers send more than it needs."""
        return self._body_schema(operation).get("additionalProperties") is False

    def _body_schema(self, operation: Operation) -> dict[str, Any]:
        return self._resolved(operation.described["requestBody"]["content"]["application/json"]["schema"])

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema


@pytest.fixture(scope="module")
def wire(
    databases: Databases,
    request: pytest.FixtureRequest,
    issuer: Issuer,
    app_of: Callable[..., Flask],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Component], Wired]]:
    urls: list[str] = []

    @cache
    def make(component: Component) -> Wired:
        environment = {"MAX_BODY_BYTES": str(LIMIT), "LOG_LEVEL": "ERROR"}
        if "pymongo" in component.declared():
            mongo: Mongo = request.getfixturevalue("mongo")
            environment |= {"MONGO_URL": mongo.url, "MONGO_DATABASE": "bad_input"}
            migrate(component, tmp_path_factory.mktemp("migrate"), environment)
        else:
            urls.append(databases.fresh(component.name))
            environment["DATABASE_URL"] = urls[-1]
        return Wired(component.name, app_of(component, **environment), issuer, Person("alice", issuer))

    yield make
    for url in urls:
        databases.drop(url)


def migrate(component: Component, folder: Path, environment: dict[str, str]) -> None:
    process = Process(component.package, "migrate", folder=folder, **{**ENVIRONMENT, **environment})
    assert process.wait(60) == 0, process.out()


@pytest.fixture(params=SERVICES, ids=lambda component: component.name, scope="module")
def wired(request: pytest.FixtureRequest, wire: Callable[[Component], Wired]) -> Wired:
    return wire(request.param)


def with_body(wired: Wired) -> list[Operation]:
    return [operation for operation in wired.operations() if operation.takes_body]


def test_a_body_that_is_no_sound_json_is_refused_as_such(wired: Wired) -> None:
    for operation in with_body(wired):
        for data in (*NO_JSON, *NO_UTF8, b"[" * 9000, b'{"a":' * 3000 + b"1" + b"}" * 3000):
            if not data and operation.may_lack_body:
                continue
            answer = wired.body(operation, data)
            assert (answer.status_code, answer.get_json()["code"]) == (400, "malformed_json"), (
                str(operation),
                data[:40],
            )


def test_another_content_type_and_a_body_beyond_the_limit_are_refused(wired: Wired) -> None:
    for operation in with_body(wired):
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "image/png", ""):
            assert wired.send(operation, data=b"{}", content_type=content_type).status_code == 415, str(operation)
        assert wired.body(operation, b'{"a":"' + b"x" * LIMIT + b'"}').status_code == 413, str(operation)


def test_a_field_of_a_wrong_type_is_named_by_its_pointer(wired: Wired) -> None:
    wrong: dict[str, Any] = {"array": [[]], "number": 1.5}
    for operation in with_body(wired):
        for name, schema in wired.fields(operation).items():
            kinds = {option.get("type") for option in (schema, *schema.get("anyOf", []))} - {None}
            for kind, value in wrong.items():
                if not kinds or {kind, "object"} & kinds:
                    continue
                answer = wired.body(operation, json.dumps({name: value}).encode())
                found = [error.get("pointer", "") for error in answer.get_json().get("errors", [])]
                assert answer.status_code == 400, (str(operation), name, value)
                assert any(pointer.startswith(f"#/{name}") for pointer in found), (str(operation), name, value, found)


def test_an_unknown_field_is_named_by_its_pointer(wired: Wired) -> None:
    for operation in with_body(wired):
        if wired.is_strict(operation):
            answer = wired.body(operation, b'{"no_such_field":1}')
            found = [error.get("pointer") for error in answer.get_json().get("errors", [])]
            assert answer.status_code == 400 and "#/no_such_field" in found, (str(operation), found)


def test_no_value_in_a_path_is_ever_a_500(wired: Wired) -> None:
    for operation in wired.operations():
        if "{" not in operation.path:
            continue
        for value in ODD:
            wired.send(operation, operation.path_to(value), json={})
        for raw in (b"\xff", b"\0", b"\xed\xa0\x80", b"x" * 20_000):
            overrides = {"PATH_INFO": operation.path_to(raw.decode("latin-1"))}
            assert 400 <= wired.send(operation, json={}, environ_overrides=overrides).status_code < 500, str(operation)


def test_no_value_in_a_query_is_ever_a_500_and_a_wrong_one_is_named(wired: Wired) -> None:
    forgiving: list[str] = []
    for operation in wired.operations():
        for name in operation.parameters("query"):
            for value in ODD:
                wired.send(operation, query_string={**operation.demanded(), name: value}, json={})
            for raw in ("%FF", "%00", "%ED%A0%80"):
                assert wired.send(operation, query_string=f"{name}={raw}", json={}).status_code == 400, str(operation)
        if operation.parameters("query") and operation.method == "GET":
            answer = wired.send(operation, query_string={"no_such_parameter": "1"})
            if answer.status_code < 400 or "no_such_parameter" not in answer.text:
                forgiving.append(str(operation))
    assert forgiving == [] or wired.name == "auth", "auth forgives: links in mails gain parameters on their way"


def test_no_header_is_ever_a_500(wired: Wired) -> None:
    for operation in wired.operations():
        for name in ("If-Match", "If-None-Match", "Idempotency-Key", "X-Request-Id", "traceparent", "Accept", "Range"):
            for value in ("", "x", '"', '"' * 300, "W/", "*, *", "é" * 300, "\x7f", "x" * 8000):
                wired.send(operation, environ_overrides={f"HTTP_{name.upper().replace('-', '_')}": value}, json={})


def test_no_body_of_well_formed_json_is_ever_a_500(wired: Wired) -> None:
    chance = random.Random(7)
    atoms: list[Any] = [
        None,
        True,
        0,
        -1,
        2**63 - 1,
        0.5,
        -1e308,
        "",
        "x",
        ID,
        "a@example.org",
        "\u202e",
        "😀" * 300,
        [],
        {},
        "2026-13-45",
    ]

    def anything(depth: int = 0) -> Any:
        roll = chance.random()
        if depth > 3 or roll < 0.7:
            return chance.choice(atoms)
        if roll < 0.85:
            return [anything(depth + 1) for _ in range(chance.randrange(4))]
        return {chance.choice(["", "$set", "a.b", "name", ID, "__proto__", "é"]): anything(depth + 1) for _ in range(3)}

    for operation in with_body(wired):
        names = list(wired.fields(operation)) or ["name"]
        for _ in range(60):
            sent = {name: anything() for name in names if chance.random() < 0.8}
            wired.body(operation, json.dumps(sent).encode())
        wired.body(operation, json.dumps([anything() for _ in range(5)]).encode())
