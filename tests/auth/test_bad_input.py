"""Bad input at every endpoint: a 4xx problem that names the place, never a 500, and nothing half-written."""

import json
from typing import Any

import pytest

from tests.auth.conftest import PASSWORD, Person, Reply, Service

GOOD: dict[str, dict[str, Any]] = {
    "/signup": {"email": "new@example.com", "password": PASSWORD, "data": {}},
    "/token?grant_type=password": {"email": "alice@example.com", "password": PASSWORD},
    "/token?grant_type=refresh_token": {"refresh_token": "x"},
    "/verify": {"type": "signup", "email": "alice@example.com", "token": "123456"},
    "/resend": {"type": "signup", "email": "alice@example.com"},
    "/otp": {"email": "alice@example.com"},
    "/magiclink": {"email": "alice@example.com"},
    "/recover": {"email": "alice@example.com"},
    "/user": {"password": "a new password", "data": {}},
}
WRONG: dict[str, list[Any]] = {
    "email": [
        1, True, [], {}, ["a@example.com"], "", "alice", "a@b", "@example.com", "a@example.com\n",
        "a@example.com\r\nBcc: x", "a b@example.com", "<a@example.com>", "a@example.com,b@example.com",
        "a" * 65 + "@example.com", "a@" + "b" * 250 + ".com", "a@[127.0.0.1]", "a@example..com",
        "\u202ea@example.com", "a@exa_mple.com", "a@-x.com",
    ],
    "password": [1, True, [], {}, "", "x" * 129, "x" * 70_000],
    "data": [1, "x", [], True, {"a": "x" * 20_000}],
    "refresh_token": [1, [], {}, "", "x" * 513],
    "type": [1, "", "sign_up", "oauth", [], {}],
    "token": [123456, [], {}, "", "x" * 513],
}  # fmt: skip


def _send(service: Service, path: str, headers: dict[str, str], **options: Any) -> Reply:
    return service.call("PUT" if path == "/user" else "POST", path, headers=headers, **options)


def _check(reply: Reply) -> None:
    assert 400 <= reply.status < 500, reply
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply["msg"] == reply["detail"] and reply["error_code"] == reply["code"]


@pytest.fixture
def before(service: Service, alice: Person) -> str:
    return _state(service)


def _state(service: Service) -> str:
    tables = ("users", "sessions", "one_time_tokens", "outbox")
    return str([service.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables])  # noqa: S608


@pytest.mark.parametrize("path", GOOD)
def test_a_member_of_a_wrong_kind_is_named(service: Service, alice: Person, before: str, path: str) -> None:
    for name in GOOD[path]:
        for value in WRONG[name]:
            reply = _send(service, path, alice.headers, body={**GOOD[path], name: value})
            _check(reply)
            assert reply.status == 400, (name, value, reply)
            assert [error["pointer"] for error in reply["errors"]] == [f"#/{name}"], (name, value, reply)
    assert _state(service) == before


RAW: list[tuple[bytes, str]] = [
    (b"", "malformed_json"),
    (b"{", "malformed_json"),
    (b"null", "malformed_json"),
    (b'"text"', "malformed_json"),
    (b"[]", "validation_failed"),
    (b'{"email":"\xff@example.com"}', "malformed_json"),
    (b'{"email":"\\u0000@example.com"}', "malformed_json"),
    (b'{"data":{"a":"\\u0000"}}', "malformed_json"),
    (b'{"data":{"\\ud800":1}}', "malformed_json"),
    (b'{"data":{"a":NaN}}', "malformed_json"),
    (b'{"email":"a@example.com","email":"b@example.com"}', "malformed_json"),
    (b'{"data":' + b'{"a":' * 40 + b"1" + b"}" * 41, "malformed_json"),
    (b"[" * 100_000, "malformed_json"),
]


@pytest.mark.parametrize("path", GOOD)
def test_what_is_no_json_object_is_refused(service: Service, alice: Person, before: str, path: str) -> None:
    for data, code in RAW:
        reply = _send(service, path, alice.headers, data=data, content_type="application/json")
        _check(reply)
        assert (reply.status, reply.code) == (400, code), data[:60]
    assert _state(service) == before


NUMBERS = ("1e400", "-1e400", "1" * 5000, "9" * 400 + ".5", "1e-9999999999999999")


@pytest.mark.parametrize("path", ["/signup", "/user"])
def test_numbers_that_no_column_holds_are_never_our_failure(service: Service, alice: Person, path: str) -> None:
    for number in NUMBERS:
        data = json.dumps({**GOOD[path], "data": {"n": 0}}).replace("0}}", number + "}}").encode()
        reply = _send(service, path, alice.headers, data=data, content_type="application/json")
        assert reply.status == 200 or 400 <= reply.status < 500, (number[:10], reply)


@pytest.mark.parametrize("path", GOOD)
def test_another_content_type_is_refused(service: Service, alice: Person, path: str) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        reply = _send(service, path, alice.headers, data=json.dumps(GOOD[path]), content_type=content_type)
        _check(reply)
        assert reply.status == 415


@pytest.mark.parametrize("path", GOOD)
def test_a_body_beyond_the_limit_is_refused(service: Service, alice: Person, path: str) -> None:
    body = {**GOOD[path], "padding": "x" * 1_100_000}
    reply = _send(service, path, alice.headers, body=body)
    _check(reply)
    assert reply.status == 413


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE users; --",
        "%(id)s",
        "%s%s%n",
        "{0}{__class__}",
        "\\",
        "${jndi:ldap://x}",
        "a\u0301🦊\u202e",
        "NULL",
    ],
)
def test_text_that_means_something_elsewhere_is_only_text(service: Service, alice: Person, text: str) -> None:
    mallory = Person(service, "mallory@example.com", f"{text} and eight more")
    assert mallory.sign_up(data={text: text}).status == 200
    assert mallory.confirm().status == 200
    assert mallory.log_in()["user"]["user_metadata"] == {text: text}
    assert service.post("/verify", {"type": "signup", "token_hash": text}).status == 403
    assert alice.get("/user").status == 200


def test_a_wrong_parameter_is_named(service: Service) -> None:
    for path, parameter in (
        ("/verify", "token_hash"),
        ("/verify?token_hash=x", "type"),
        ("/verify?token_hash=x&type=sms", "type"),
        ("/verify?token_hash=&type=signup", "token_hash"),
        (f"/verify?type=signup&token_hash={'x' * 600}", "token_hash"),
        ("/token?grant_type=implicit", "grant_type"),
    ):
        reply = service.post(path, {}) if path.startswith("/token") else service.get(path)
        _check(reply)
        assert parameter in [error["parameter"] for error in reply["errors"]]


def test_the_form_of_the_page_is_checked_too(service: Service) -> None:
    for form in (
        {},
        {"token_hash": "x"},
        {"token_hash": "x" * 600, "type": "signup"},
    ):
        reply = service.call("POST", "/verify/confirm", data=form)
        _check(reply)
        assert reply.status == 400
    for data in (b"\xff\x00=%ff", b"token_hash=%00&type=signup", b"&&&==", b"token_hash=%ff%fe&type=signup"):
        reply = service.call("POST", "/verify/confirm", data=data, content_type="application/x-www-form-urlencoded")
        assert 400 <= reply.status < 500


def test_what_is_not_there_is_a_problem_too(service: Service, alice: Person) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/signup", 405),
        ("DELETE", "/user", 405),
        ("PUT", "/token", 405),
        ("GET", "/sessions/%00", 400),
        ("GET", "/verify?token_hash=%00&type=signup", 400),
        ("POST", "/logout?scope=everything", 400),
        ("GET", "/sessions?unknown=1", 400),
    ):
        reply = service.call(method, path, headers=alice.headers)
        _check(reply)
        assert reply.status == status


def test_a_broken_authorization_is_a_401(service: Service) -> None:
    for authorization in ("", "Bearer", "Bearer ", "Basic YTpi", "Bearer x", "Bearer " + "x" * 9000, "bearer a.b.c"):
        for method, path in (("GET", "/user"), ("POST", "/logout"), ("GET", "/sessions"), ("DELETE", "/sessions/x")):
            reply = service.call(method, path, headers={"Authorization": authorization})
            _check(reply)
            assert reply.status == 401
