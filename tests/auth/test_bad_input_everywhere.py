"""Hostile input at every route of the URL map: a refusal or an answer, never a failure or a forged header."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from shared.app import OWN_ROUTES
from shared.ids import new_id
from tests.auth.conftest import Person, Reply, Service

CRLF = "x\r\nSet-Cookie: stolen=1\r\nLocation: https://evil.example\r\n\r\n<script>"
TEXTS = [
    "'; DROP TABLE users; --",
    "' OR '1'='1",
    "%(id)s %s {0} ${jndi:ldap://x}",
    CRLF,
    "\u2028\u2029\u0085\u200b\u202e\ufeff",
    "\U0001f98a" * 3_000,
    "a\u0301" * 3_000,
    "\u0130\u0131ß\ufb03",  # letters that change their length with their case
    "x" * 60_000,
    "../../../etc/passwd",
    "-1",
    "\\x00",
    "null",
]
RAW: list[bytes] = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"[[]]",
    b"{}garbage",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\xc0\x80"}',
    b'{"a":"\x00"}',
    b'{"a":"\\u0000"}',
    b'{"a":"\\ud800"}',
    b'{"\\udfff":1}',
    b'{"a":1,"a":2}',
    b'{"a":NaN}',
    b'{"a":1e999}',
    b'{"a":' + b"9" * 5_000 + b"}",
    b'{"a":-' + b"9" * 30 + b".5}",
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b"[" * 50_000,
    b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
    b'{"__proto__":{"a":1},"constructor":{}}',
]
TYPES = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", ""]
HEADERS = [
    {"User-Agent": "x" * 60_000},
    {"User-Agent": "'; DROP TABLE sessions; --", "X-Client-Info": "%s%n{}"},
    {"X-Forwarded-For": "203.0.113.9'; --, ::1%eth0, 999.1.1.1"},
    {"X-Forwarded-For": "," * 5_000},
    {"Accept-Language": "de;q=9" * 2_000},
    {"Accept-Language": "'\"<script>, *;q=nan"},
    {"X-App-Platform": "ios\t<script>", "X-App-Version": "9" * 5_000},
    {"Cookie": "a=" + "b" * 20_000},
    {"Content-Type": "application/json; charset=utf-7"},
    {"Origin": "null", "Referer": "javascript:alert(1)", "Host": "evil.example"},
    {"traceparent": "00-" + "z" * 300, "X-Request-Id": "x' OR 1=1"},
]


@dataclass(frozen=True)
class Route:
    method: str
    rule: str
    takes: frozenset[str]

    def path(self, value: str | None = None) -> str:
        """The path below the prefix, with each variable as this value or as a well-formed id."""
        parts = self.rule.split("/")
        return "/".join((value or str(new_id())) if part.startswith("<") else part for part in parts)


def _routes(service: Service) -> Iterator[Route]:
    for rule in service.app.url_map.iter_rules():
        if rule.endpoint in OWN_ROUTES or rule.endpoint == "static":
            continue
        places = getattr(service.app.view_functions[rule.endpoint], "places", {})
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Route(method, rule.rule, frozenset(places.values()))


@pytest.fixture
def root(service: Service) -> Person:
    """An administrator, so that as much as possible is behind the door."""
    return service.administrator("root")


def _ask(service: Service, root: Person, route: Route, path: str | None = None, **options: Any) -> Reply:
    headers = {**root.headers, **options.pop("headers", {})}
    response = service.app.test_client().open(path or route.path(), method=route.method, headers=headers, **options)
    return Reply(response.status_code, response.get_json(silent=True), response.headers, response.text)


def _stands(reply: Reply, what: object) -> None:
    """No failure, and no header that the input made."""
    assert reply.status < 500, (what, reply.text[:300])
    assert "Set-Cookie" not in reply.headers or "stolen" not in reply.headers["Set-Cookie"], what
    for name, value in reply.headers.items():
        assert "\r" not in value and "\n" not in value and not value.startswith("https://evil.example"), (what, name)
    if reply.status >= 400 and reply.json is not None and "code" in reply.json:
        assert reply["code"] and reply["detail"], what


def _ends_the_session(route: Route) -> bool:
    return route.rule.endswith(("/logout", "/log-out"))


def _with_body(service: Service) -> list[Route]:
    found = [route for route in _routes(service) if route.method in ("POST", "PUT", "PATCH")]
    assert len(found) > 25
    return [route for route in found if not _ends_the_session(route)]


def test_no_body_breaks_a_route(service: Service, root: Person) -> None:
    for route in _with_body(service):
        for raw in RAW:
            reply = _ask(service, root, route, data=raw, content_type="application/json")
            _stands(reply, (route, raw[:40]))
    assert root.get("/user").status == 200


def test_no_type_of_body_breaks_a_route(service: Service, root: Person) -> None:
    for route in _with_body(service):
        for content_type in TYPES:
            for data in (b"{}", b"a=%ff&a=2&=&%00=1", b"--x\r\nContent-Disposition: form-data\r\n\r\n\xff\r\n--x--"):
                _stands(_ask(service, root, route, data=data, content_type=content_type), (route, content_type, data))


def test_no_text_in_a_member_breaks_a_route(service: Service, root: Person) -> None:
    document = service.app.test_client().get("/openapi.json").get_json()
    for route in _with_body(service):
        template = route.rule.replace("<", "{").replace(">", "}")
        content = document["paths"].get(template, {}).get(route.method.lower(), {}).get("requestBody", {})
        for media, shape in content.get("content", {}).items():
            names = _members(document, shape["schema"])
            for text in TEXTS if names else ():
                body = dict.fromkeys(names, text)
                sent = {"json": body} if media == "application/json" else {"data": body}
                _stands(_ask(service, root, route, **sent), (route, text[:20]))
            for number, name in enumerate(names if media == "application/json" else ()):  # and alone, one of them each
                text = TEXTS[number % len(TEXTS)]
                _stands(_ask(service, root, route, json={name: text}), (route, name, text[:20]))
    assert service.rows("SELECT count(*) AS users FROM users")[0]["users"] >= 1


def _members(document: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return list(schema.get("properties", {}))


def test_no_path_and_no_query_breaks_a_route(service: Service, root: Person) -> None:
    names = ["redirect_to", "return_to", "type", "token_hash", "page", "per_page", "cursor", "limit", "scope", "state"]
    for route in _routes(service):
        if _ends_the_session(route) or (route.method == "DELETE" and "<" not in route.rule):
            continue
        body = {"json": {}} if route.method in ("POST", "PUT", "PATCH") else {}
        if "<" in route.rule:
            for value in ("%00%ff", "'%20OR%201=1--", "%0d%0aSet-Cookie:%20stolen=1" + "x" * 5_000):
                _stands(_ask(service, root, route, route.path(value), **body), (route, value[:20]))
        for first in range(2):  # each name with two of the texts
            query = {name: TEXTS[(first * 4 + n) % 9][:4_000] for n, name in enumerate(names)}
            _stands(_ask(service, root, route, query_string=query, **body), (route, first))
        for raw in ("a=%00&redirect_to=%ff%fe&&&==&=x", f"limit={'9' * 400}&page=1e400&page=2"):
            _stands(_ask(service, root, route, f"{route.path()}?{raw}", **body), (route, raw[:20]))


def test_no_header_breaks_a_route(service: Service, root: Person) -> None:
    for route in _routes(service):
        if _ends_the_session(route) or route.method == "DELETE":
            continue
        for headers in HEADERS:
            body = {"data": json.dumps({}), "content_type": "application/json"} if route.method != "GET" else {}
            if "Content-Type" in headers:
                body.pop("content_type", None)
            _stands(_ask(service, root, route, headers=headers, **body), (route, list(headers)))


def test_what_a_device_says_of_itself_is_one_line_wherever_it_is_shown(service: Service) -> None:
    alice = service.member("alice")
    said = {
        "User-Agent": "Example/1 (iPhone; \x0b\x0c\x1f\x7f\u2028)",
        "X-Client-Info": "a\tb",
        "X-App-Version": "1\t2",
    }
    assert alice.log_in(**said).status == 200
    (newest, *_) = alice.get("/sessions")["items"]
    assert all(str(value).isprintable() for value in newest.values())
    for name in (CRLF, "a\nb", "\x00", "\u202e", " ", ""):
        changed = service.call(
            "PATCH", f"/sessions/{alice.session_id}", body={"device_name": name}, headers=alice.headers
        )
        assert changed.status == 400, name
