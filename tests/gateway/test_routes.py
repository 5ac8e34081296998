"""The route table: what matches, and what is said of a table that is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from gateway import routes
from gateway.__main__ import schema
from gateway.config import ROUTES_FILE
from gateway.table import Route, Table
from tests.gateway.process import REPOSITORY


def route(template: str, *methods: str) -> Route:
    raw = frozenset(method.encode() for method in methods or ("GET",))
    return Route(template, raw, "data", is_prefix=template.endswith("/*"))


TABLE = Table(
    [
        route("/"),
        route("/a/*"),
        route("/a/b"),
        route("/a/b/c/*"),
        route("/a/{name}/x"),
        route("/a/literal/x"),
        route("/docs/{space}/{id}"),
    ]
)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/a", "/a/*"),
        ("/a/", "/a/*"),
        ("/a/anything/below", "/a/*"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b"),
        ("/a/b/c", "/a/b/c/*"),
        ("/a/b/c/d/e", "/a/b/c/*"),
        ("/a/b/d", "/a/*"),
        ("/a/somebody/x", "/a/{name}/x"),
        ("/a/literal/x", "/a/literal/x"),
        ("/a/somebody/y", "/a/*"),
        ("/docs/s/1", "/docs/{space}/{id}"),
        ("/docs/s", None),
        ("/docs/s/1/2", None),
        ("/docs//1", None),
        ("/ab", None),
        ("/nowhere", None),
    ],
)
def test_the_most_specific_route_wins(path: str, template: str | None) -> None:
    methods = TABLE.match(path.encode())
    assert (methods[b"GET"].template if methods else None) == template


def test_the_table_that_ships_is_right_and_every_route_says_who_may_pass() -> None:
    table = routes.read(ROUTES_FILE).table()
    match = {path: table.match(path.encode()) for path in ("/auth/v1/token", "/auth/v1/user", "/metrics", "/readyz")}
    assert match["/auth/v1/token"][b"POST"].access == "public"
    assert match["/auth/v1/user"][b"PUT"].access == "user"
    assert match["/metrics"] is None and match["/readyz"] is None
    assert all(route.access == "user" for route in table.routes if "/auth/" not in route.template)


WRONG = """\
upstreams:
  auth: {url: "http://auth:8000"}
  data: {url: "ftp://data/x"}
routes:
  - {path: /a, upstream: auth, access: everyone}
  - {path: b, upstream: auth, access: public}
  - path: /c
    upstream: auth
    access: public
    max_body_bites: 10
  - {path: /d, prefix: /d, upstream: auth, access: public}
  - {path: /e, upstream: auth, access: public, scopes: {all: [x]}}
  - {path: /f, upstream: auth, access: public, timeouts: {connect_s: 0}}
  - {path: /../g, upstream: auth, access: public}
"""


def test_every_mistake_is_reported_with_its_line_and_its_place(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(WRONG)
    with pytest.raises(routes.Mistakes) as caught:
        routes.read(file)
    places = [": ".join(line.split(": ")[:2]) for line in caught.value.lines]
    assert places == [
        "line 3: upstreams.data.url",
        "line 5: routes[0].access",
        "line 6: routes[1].path",
        "line 10: routes[2].max_body_bites",
        "line 11: routes[3]",
        "line 12: routes[4]",
        "line 13: routes[5].timeouts.connect_s",
        "line 14: routes[6].path",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("upstreams: {a: {url: 'http://a'}}\nroutes:\n  - {path: /a, upstream: b, access: user}\n", "line 3"),
        ("upstreams: {a: {url: 'http://a'}}\nupstreams: {}\nroutes: []\n", "line 2: upstreams: appears twice"),
        (
            "upstreams: {a: {url: 'http://a'}}\nroutes:\n  - {path: '/{x}', upstream: a, access: user}\n"
            "  - {path: '/{y}', upstream: a, access: user, methods: [GET]}\n",
            "line 4: routes[1]: GET /{y} is routed twice",
        ),
        ("upstreams: {a: {url: '${A_URL}'}}\nroutes: []\n", "${A_URL} is not set"),
        ("upstreams: [\n", "line 2"),
        ("", "line 1"),
    ],
)
def test_what_contradicts_itself_is_a_mistake_too(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(text)
    with pytest.raises(routes.Mistakes) as caught:
        routes.read(file, {})
    assert said in str(caught.value)


def test_the_schema_for_editors_is_the_one_of_the_code_and_the_table_that_ships_names_and_meets_it() -> None:
    committed = ROUTES_FILE.with_name("routes.schema.json")
    assert committed.read_text() == schema() + "\n", "run: python -m gateway schema > gateway/routes.schema.json"
    text = ROUTES_FILE.read_text()
    assert text.startswith(f"# yaml-language-server: $schema={committed.name}\n")
    validator = jsonschema.Draft202012Validator(json.loads(committed.read_text()))
    assert list(validator.iter_errors(yaml.safe_load(text))) == []
    assert len(list(validator.iter_errors(yaml.safe_load(WRONG)))) >= 5


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("access: user, cors: {origins: ['*'], credentials: true}", "routes[0].cors: every origin (*)"),
        ("access: user, cors: {origins: [shop.example]}", "routes[0].cors.origins[0]"),
        ("access: optional, aal: aal2", "routes[0]: aal2 needs access: user"),
        ('access: user, cache_control: "no-store\\r\\nX-Other: 1"', "routes[0].cache_control"),
    ],
)
def test_what_would_be_unsafe_is_a_mistake(more: str, said: str) -> None:
    with pytest.raises(routes.Mistakes) as caught:
        routes.parse(f"upstreams: {{a: {{url: 'http://a'}}}}\nroutes:\n  - {{path: /a, upstream: a, {more}}}\n")
    assert said in str(caught.value)


def check(file: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "gateway", "check", str(file)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_check_prints_the_effective_table(tmp_path: Path) -> None:
    done = check(ROUTES_FILE)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["POST", "/auth/v1/token", "auth", "public", "2/30/60", "3", "65536", "-", "-", "session"] in rows
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(WRONG)
    done = check(wrong)
    assert done.returncode == 1 and "8 mistake(s)" in done.stderr and "line 5: routes[0].access" in done.stderr
