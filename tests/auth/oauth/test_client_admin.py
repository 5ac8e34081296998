"""Clients as administrators register them, in the shape of supabase/auth; what reaches into the house is not theirs."""

from typing import Any

import pytest

from tests.auth.browsers import Tab
from tests.auth.conftest import Person, Reply, Service, claims_of
from tests.auth.oauth.apps import PLACE, App, basic, browser_of, person_of, register, send

NOBODY = "00000000-0000-7000-8000-000000000000"
NEW: dict[str, Any] = {"client_name": "Photo Prints", "redirect_uris": [PLACE]}
CALLS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("POST", "", NEW),
    ("GET", f"/{NOBODY}", None),
    ("PUT", f"/{NOBODY}", {"client_name": "Other"}),
    ("DELETE", f"/{NOBODY}", None),
    ("POST", f"/{NOBODY}/regenerate_secret", None),
]


def _call(person: Person, method: str, path: str = "", body: Any = None) -> Reply:
    return person.service.call(method, f"/admin/oauth/clients{path}", body=body, headers=person.headers)


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_only_administrators_may_and_what_is_not_there_is_not_found(
    service: Service, root: Person, alice: Person, method: str, path: str, body: Any
) -> None:
    refused = _call(alice, method, path, body)
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    assert service.call(method, f"/admin/oauth/clients{path}", body=body).status == 401
    if path:
        reply = _call(root, method, path, body)
        assert (reply.status, reply.code) == (404, "oauth_client_not_found")


def test_a_client_s_life_leaves_a_row_for_each_deed(service: Service, root: Person) -> None:
    before = len(service.deeds(root))
    made = _call(root, "POST", "", NEW)
    assert made.status == 201
    client_id, secret = made["client_id"], made["client_secret"]
    shown = _call(root, "GET", f"/{client_id}").json
    assert "client_secret" not in shown
    assert shown == {
        "client_id": client_id, "client_name": "Photo Prints", "client_type": "confidential",
        "token_endpoint_auth_method": "client_secret_basic", "registration_type": "manual", "client_uri": "",
        "logo_uri": "", "redirect_uris": [PLACE], "post_logout_redirect_uris": [],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "scope": "openid email phone profile offline_access", "resources": [], "is_first_party": False,
        "created_at": shown["created_at"], "updated_at": shown["updated_at"],
    }  # fmt: skip
    changed = _call(root, "PUT", f"/{client_id}", {"client_name": "Prints", "redirect_uris": ["https://new.test/"]})
    assert (changed["client_name"], changed["redirect_uris"]) == ("Prints", ["https://new.test/"])
    assert changed["grant_types"] == shown["grant_types"]
    again = _call(root, "POST", f"/{client_id}/regenerate_secret")["client_secret"]
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    for which, error in ((secret, "invalid_client"), (again, "invalid_grant")):
        assert send(service, "token", form, {"Authorization": basic(client_id, which)})["error"] == error
    listed = [one["client_id"] for one in _call(root, "GET", "?page=&per_page=")["clients"]]
    assert client_id in listed
    assert _call(root, "DELETE", f"/{client_id}").status == 204
    assert _call(root, "GET", f"/{client_id}").status == 404
    assert service.deeds(root)[before:] == [
        ("client.created", client_id), ("client.read", client_id), ("client.changed", client_id),
        ("client.secret_set", client_id), ("clients.listed", None), ("client.deleted", client_id),
    ]  # fmt: skip


def test_a_public_client_has_no_secret(root: Person) -> None:
    made = _call(root, "POST", "", {**NEW, "token_endpoint_auth_method": "none"})
    assert (made["client_type"], made["client_secret"]) == ("public", None)
    assert _call(root, "POST", f"/{made['client_id']}/regenerate_secret").code == "validation_failed"
    for method in ("client_secret_basic", "client_secret_post"):
        body = {"token_endpoint_auth_method": method}
        assert _call(root, "PUT", f"/{made['client_id']}", body).code == "validation_failed"


def test_an_administrator_makes_no_client_of_the_house_and_no_service(service: Service, root: Person) -> None:
    """A stolen administrator's session does not become everybody's sessions."""
    for wrong in (
        {"grant_types": ["client_credentials"]},
        {"scope": "openid auth:admin"},
        {"scope": "messages:send"},
        {"grant_types": []},
        {"scope": ""},
    ):
        assert _call(root, "POST", "", {**NEW, **wrong}).code == "validation_failed", wrong
    made = _call(root, "POST", "", {**NEW, "is_first_party": True, "first_party": True, "resources": ["x"]})
    assert (made["is_first_party"], made["resources"]) == (False, [])
    own = register(service, is_first_party=True, secret="s3cret")
    for method, path, body in (
        ("PUT", "", {"redirect_uris": ["https://evil.test/"]}),
        ("PUT", "", {"client_name": "x"}),
        ("POST", "/regenerate_secret", None),
    ):
        assert _call(root, method, f"/{own.client_id}{path}", body).code == "first_party_client"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("client_name", ["", " ", "a\nb", "x" * 101, 7, "\u202eevil"]),
        ("redirect_uris", [
            [], [PLACE] * 11, "x", [7], [""], ["http://app.test/"], ["https://app.test/#x"], ["javascript:alert(1)"],
            ["myapp:/back"], ["https://*.app.test/"], ["https://a@app.test/"], ["https://äpp.test/"], ["https://"],
            ["com.example.app:/x y"], ["https://app.test/\\x"], ["data:text/html,x"], ["https://app.test:x/"],
            ["http://127.0.0.1.evil.test/"], ["file:///etc/passwd"], ["x" * 3000], ["https://2130706433/"],
        ]),
        ("post_logout_redirect_uris", [["http://app.test/"], ["javascript:x"]]),
        ("client_uri", ["http://app.test", "javascript:x", 7]),
        ("logo_uri", ["data:image/png;base64,x", "x"]),
        ("token_endpoint_auth_method", ["private_key_jwt", ""]),
        ("response_types", [["token"]]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(root: Person, name: str, values: list[Any]) -> None:
    for value in values:
        reply = _call(root, "POST", "", {**NEW, name: value})
        assert (reply.status, reply.code) == (400, "validation_failed"), value
        assert reply["errors"][0]["pointer"].startswith(f"#/{name}"), value


def test_pages_have_a_next_one_as_long_as_there_is_more(root: Person) -> None:
    for _ in range(3):
        _call(root, "POST", "", NEW)
    first = _call(root, "GET", "?page=1&per_page=2")
    assert len(first["clients"]) == 2 and first.headers["Link"] == '<clients?page=2&per_page=2>; rel="next"'
    second = _call(root, "GET", "?page=2&per_page=2")
    assert first["clients"][1]["client_id"] > second["clients"][0]["client_id"], "newest first"
    assert "Link" not in _call(root, "GET", "?page=1&per_page=1000").headers


def test_with_a_client_everything_goes_that_was_granted_to_it(service: Service, root: Person) -> None:
    bob = service.member("bob.client")
    tab = browser_of(bob)
    own, app = register(service, is_first_party=True), register(service)
    session = own.tokens(tab, resource="https://app.example.com")["access_token"]
    token = app.tokens(tab)["access_token"]
    for one in (own, app):
        assert _call(root, "DELETE", f"/{one.client_id}").status == 204
    assert person_of(service, token).status == 401
    assert service.get("/user", {"Authorization": f"Bearer {session}"}).code == "session_not_found"
    ended = {event.data["session_id"]: event.data["reason"] for event in service.events("session.revoked")}
    assert ended[claims_of(session)["sid"]] == "ended_by_admin"
    assert bob.get("/user/oauth/grants").json == []
    assert tab.open(app.request()).status == 400


def test_the_client_of_a_name_that_is_code_is_only_text(tab: Tab, root: Person) -> None:
    made = _call(root, "POST", "", {**NEW, "client_name": "'; DROP TABLE users; -- <b>%s{0}"})
    page = tab.open(App(root.service, made["client_id"]).request())
    assert page.status == 200 and "&lt;b&gt;" in page.html and "<b>" not in page.html
