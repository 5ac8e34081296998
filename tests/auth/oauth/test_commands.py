"""`oauth clients add|list|change|secret|remove`: what only whoever runs the service may register."""

import contextlib
import io

import pytest

from services.auth import __main__ as commands
from tests.auth.browsers import Tab
from tests.auth.conftest import Person, Service, Start, claims_of, output_of
from tests.auth.oauth.apps import PHONE_PLACE, PLACE, App, person_of

API = "https://app.example.com"


def _run(service: Service, *arguments: str) -> tuple[int, str]:
    """The command in this process: its status and what it said, wherever."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            options = commands._parser().parse_args(["oauth", "clients", *arguments])
            status = int(options.run(service.parts.settings, options))
        except SystemExit as end:
            status = int(end.code or 0)
    return status, said.getvalue()


def _registered(service: Service, *arguments: str) -> App:
    status, said = _run(service, "add", *arguments)
    assert status == 0, said
    told = dict(line.split("=", 1) for line in said.splitlines())
    return App(service, told["client_id"], told.get("client_secret"))


def test_an_app_of_the_house_is_made_listed_and_removed(service: Service, tab: Tab, start: Start) -> None:
    settings = service.parts.settings
    arguments = ("oauth", "clients", "add", "Example", "--public", "--first-party", "--redirect-uri", PHONE_PLACE)
    status, out, err = output_of(start(settings, *arguments, "--redirect-uri", PLACE))
    assert (status, err) == (0, "") and out.startswith("client_id=") and "client_secret" not in out
    app = App(service, out.strip().removeprefix("client_id="))
    token = app.tokens(tab, resource=API)["access_token"]
    assert service.get("/user", {"Authorization": f"Bearer {token}"}).status == 200
    listed = [line.split("  ") for line in _run(service, "list")[1].splitlines() if line.startswith(app.client_id)]
    assert [part.strip() for part in listed[0] if part.strip()] == [
        app.client_id, "public", "first-party", "Example", f"{PHONE_PLACE} {PLACE}",
    ]  # fmt: skip
    assert _run(service, "remove", app.client_id) == (0, "")
    assert service.get("/user", {"Authorization": f"Bearer {token}"}).code == "session_not_found"
    status, said = _run(service, "remove", app.client_id)
    assert (status, said) == (1, f"there is no client {app.client_id}\n")
    sql = "SELECT action, actor FROM audit_log WHERE subject = %(id)s ORDER BY id"
    assert [(row["action"], row["actor"]) for row in service.rows(sql, id=app.client_id)] == [
        ("client.created", None),
        ("client.deleted", None),
    ]


def test_a_service_and_an_api_are_made_there(service: Service, tab: Tab) -> None:
    reports = _registered(service, "Reports", "--service", "--scope", "messages:send")
    token = reports.token(grant_type="client_credentials")["access_token"]
    assert claims_of(token)["role"] == "service"
    api = _registered(service, "Prints API", "--resource-server", "--resource", "https://prints.test/api")
    website = _registered(
        service, "Prints", "--redirect-uri", PLACE, "--scope", "openid prints:read",
        "--resource", "https://prints.test/api", "--post-logout-redirect-uri", "https://app.test/bye",
    )  # fmt: skip
    tokens = website.tokens(tab, scope="openid prints:read", resource="https://prints.test/api")
    about = api.call("introspect", token=tokens["access_token"])
    assert (about["active"], about["scope"]) == (True, "openid prints:read")
    assert person_of(service, tokens["access_token"]).status == 401


def test_a_client_of_the_house_gets_another_place_and_another_secret(service: Service, tab: Tab) -> None:
    own = _registered(service, "Console", "--first-party", "--redirect-uri", PLACE)
    moved = "https://new.test/back"
    assert _run(service, "change", own.client_id, "--redirect-uri", moved, "--name", "New console") == (0, "")
    assert tab.open(own.request()).status == 400
    own.place = moved
    status, said = _run(service, "secret", own.client_id)
    assert status == 0 and own.tokens(tab)["error"] == "invalid_client"
    own.secret = said.strip().removeprefix("client_secret=")
    assert own.tokens(tab).status == 200
    public = _registered(service, "App", "--public", "--redirect-uri", PLACE)
    assert _run(service, "secret", public.client_id)[0] == 1
    unknown = "00000000-0000-7000-8000-000000000000"
    assert _run(service, "change", unknown, "--name", "x") == (1, f"there is no client {unknown}\n")
    sql = "SELECT action FROM audit_log WHERE subject = %(id)s ORDER BY id"
    logged = [row["action"] for row in service.rows(sql, id=own.client_id)]
    assert logged == ["client.created", "client.changed", "client.secret_set"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["Example"],
        ["Example", "--service"],
        ["Example", "--service", "--scope", "a", "--redirect-uri", PLACE],
        ["Example", "--service", "--scope", "a", "--first-party"],
        ["Example", "--resource-server"],
        ["Example", "--service", "--public", "--scope", "a"],
        ["Example", "--redirect-uri", "http://app.test/"],
        ["Example", "--redirect-uri", "myapp:/back"],
        ["Example", "--redirect-uri", PLACE, "--scope", 'a "b"'],
        ["Example", "--redirect-uri", PLACE, "--resource", "gatehouse"],
        ["Example", "--redirect-uri", PLACE, "--resource", "https://x.test/#y"],
        ["a\nb", "--redirect-uri", PLACE],
        ["x" * 101, "--redirect-uri", PLACE],
    ],
)
def test_what_does_not_go_together_is_refused(service: Service, root: Person, arguments: list[str]) -> None:
    before = service.rows("SELECT count(*) AS n FROM oauth_clients")
    status, said = _run(service, "add", *arguments)
    assert status == 2 and said
    assert service.rows("SELECT count(*) AS n FROM oauth_clients") == before
