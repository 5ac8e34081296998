"""Bad input at every endpoint of the OpenAPI document, through the gateway: a 4xx that explains, never a 5xx."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from shared.ids import new_id
from tests.support.platform import Platform
from tests.support.signed_up import SignedUp

DEEP = b'{"a":' * 5_000 + b"1" + b"}" * 5_000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "a string": b'"x"',
    "a number": b"1",
    "null": b"null",
    "NaN": b'{"email": NaN}',
    "invalid UTF-8": b'{"email": "\xff\xfe"}',
    "U+0000": b'{"email": "\\u0000"}',
    "half a surrogate pair": b'{"email": "\\ud800"}',
    "a name twice": b'{"email": 1, "email": 2}',
    "deep": DEEP,
    "an unknown name": b'{"no such name at all": 1}',
    "a huge number": b'{"limit": ' + b"9" * 5_000 + b"}",
    "oversized": b'{"x": "' + b"x" * 3_000_000 + b'"}',
}
WRONG = ("x" * 300, "%00", "%ff", "..%2f..", "null", "-1", "١", "' OR 1=1 --")


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    spec: dict[str, Any]

    @property
    def is_administrative(self) -> bool:
        return self.path.startswith(("/auth/v1/admin/", "/auth/v1/invite"))

    @property
    def needs_scope(self) -> bool:
        return any(scopes for way in self.spec.get("security", []) for scopes in way.values())

    def filled(self, value: str | None = None) -> str:
        """The path with each variable as `value`, or as a well-formed id."""
        return re.sub(r"\{[^}]+\}", lambda _: value if value is not None else str(new_id()), self.path)


class Caller:
    """Somebody signed in, an administrator, or an operator's server, who sends what no app would."""

    def __init__(self, platform: Platform) -> None:
        self.base, self.http = platform.url("gateway"), requests.Session()
        self.person = SignedUp(platform).access_token
        auth = ("run", "auth", sys.executable, "-m", "services.auth")
        self.server = platform.run("deploy.local", *auth, "token", "--scope", "messages:send").stdout.strip()
        root = SignedUp(platform)
        platform.run("deploy.local", *auth, "admin", "grant", root.email)
        self.administrator = root.log_in()["access_token"]

    def send(self, operation: Operation, url: str, **arguments: Any) -> requests.Response:
        token = self.server if operation.needs_scope else self.person
        token = self.administrator if operation.is_administrative else token
        headers = {"Authorization": f"Bearer {token}", **arguments.pop("headers", {})}
        unmended = requests.Request(operation.method, self.base, headers=headers, **arguments)
        request = self.http.prepare_request(unmended)
        request.url = self.base + url  # as it is written here: requests would mend it
        return self.http.send(request, timeout=20, allow_redirects=False)


@pytest.fixture(scope="module")
def caller(platform: Platform) -> Caller:
    return Caller(platform)


@pytest.fixture(scope="module")
def operations(platform: Platform) -> list[Operation]:
    document = requests.get(f"{platform.url('gateway')}/openapi.json", timeout=10).json()
    found = list(_operations(document))
    assert len(found) > 20
    # Logging out would end the caller's own session.
    return [operation for operation in found if not operation.path.endswith("/logout")]


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, spec in item.items():
            if method in ("get", "post", "put", "patch", "delete"):
                yield Operation(method.upper(), path, spec)


def _refused(answer: requests.Response, what: str) -> None:
    """A 4xx: a problem document with a code and a detail, a page of the provider, or an error of RFC 6749.

    Who comes back from an account elsewhere is led on, with the error.
    """
    path = answer.request.path_url
    if path.startswith("/auth/v1/callback") and answer.status_code == 303:
        assert "error_code=" in answer.headers["Location"], what
        return
    assert 400 <= answer.status_code < 500, f"{what}: {answer.status_code} {answer.text[:300]}"
    if path.startswith(("/auth/oauth/", "/auth/v1/authorize", "/auth/v1/callback")):
        if answer.headers["Content-Type"].startswith("text/html"):
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"], what
            return
        if answer.headers["Content-Type"] == "application/json":
            assert re.fullmatch("[a-z_]+", answer.json()["error"]), what
            return
    assert answer.headers["Content-Type"].startswith("application/problem+json"), what
    problem = json.loads(answer.content)
    assert problem["code"] and problem["detail"] and problem["status"] == answer.status_code, what


def _not_broken(answer: requests.Response, what: str) -> None:
    assert answer.status_code < 500, f"{what}: {answer.status_code} {answer.text[:300]}"
    if answer.status_code >= 400:
        _refused(answer, what)


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_by_every_endpoint_that_takes_one(
    caller: Caller, operations: list[Operation], name: str
) -> None:
    takes_body = [operation for operation in operations if "requestBody" in operation.spec]
    assert len(takes_body) >= 8
    for operation in takes_body:
        what = f"{operation.method} {operation.path} with {name}"
        answer = caller.send(
            operation, operation.filled(), data=BODIES[name], headers={"Content-Type": "application/json"}
        )
        # Clients of supabase/auth send members that only some servers know: auth passes over them.
        judge = _not_broken if name == "an unknown name" and operation.path.startswith("/auth/") else _refused
        judge(answer, what)


def test_a_wrong_content_type_is_refused_as_415(caller: Caller, operations: list[Operation]) -> None:
    for operation in operations:
        content = operation.spec.get("requestBody", {}).get("content", {})
        if list(content) == ["application/json"]:
            headers = {"Content-Type": "text/plain"}
            answer = caller.send(operation, operation.filled(), data=b"{}", headers=headers)
            assert answer.status_code == 415, f"{operation.method} {operation.path}: {answer.status_code}"


def test_every_field_of_a_wrong_type_is_named(caller: Caller, operations: list[Operation], platform: Platform) -> None:
    document = requests.get(f"{platform.url('gateway')}/openapi.json", timeout=10).json()
    for operation in operations:
        content = operation.spec.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            continue
        for name in _schema(document, content["schema"]).get("properties", {}):
            body = json.dumps({name: {"wrong": ["type"]}}).encode()
            headers = {"Content-Type": "application/json"}
            answer = caller.send(operation, operation.filled(), data=body, headers=headers)
            what = f"{operation.method} {operation.path} with a wrong {name}"
            _not_broken(answer, what)


def _schema(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/")]
    return found


def _variants() -> list[Callable[[Operation], str]]:
    return [lambda operation, value=value: operation.filled(value) for value in WRONG]  # type: ignore[misc]


def test_a_wrong_variable_in_a_path_is_refused(caller: Caller, operations: list[Operation]) -> None:
    for operation in operations:
        if "{" in operation.path:
            for variant in _variants():
                url = variant(operation).encode("utf-8", "replace").decode("latin-1").replace(" ", "%20")
                answer = caller.send(operation, url, json={} if "requestBody" in operation.spec else None)
                _refused(answer, f"{operation.method} {url}")


def test_a_wrong_query_breaks_nothing(caller: Caller, operations: list[Operation]) -> None:
    for operation in operations:
        names = [p["name"] for p in operation.spec.get("parameters", []) if p["in"] == "query"]
        for name in [*names, "no_such_parameter"]:
            for value in ("%00", "%ff", "x" * 5_000, "%27%3B--", "-1"):
                url = f"{operation.filled()}?{name}={value}"
                _not_broken(caller.send(operation, url), f"{operation.method} {url[:120]}")
