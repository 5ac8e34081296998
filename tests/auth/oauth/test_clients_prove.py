"""How clients show who they are at the token endpoint, and the form of every refusal (RFC 6749, RFC 9700)."""

import base64
from typing import Any

import pytest

from tests.auth.browsers import Tab
from tests.auth.conftest import Service
from tests.auth.oauth.apps import App, agree, basic, parameters, register, send

FORM = {"grant_type": "refresh_token", "refresh_token": "x"}


def _refused(reply: Any, error: str, status: int) -> None:
    assert (reply.status, reply["error"]) == (status, error), reply.text
    assert reply.headers["Content-Type"] == "application/json" and reply.headers["Cache-Control"] == "no-store"


def test_a_client_with_a_secret_shows_it_in_the_way_it_is_registered_for(service: Service) -> None:
    website = register(service, secret="s3cret")
    poster = register(service, secret="s3cret", auth_method="client_secret_post")
    _refused(send(service, "token", FORM, {"Authorization": basic(website.client_id, "s3cret")}), "invalid_grant", 400)
    _refused(
        send(service, "token", {**FORM, "client_id": poster.client_id, "client_secret": "s3cret"}), "invalid_grant", 400
    )
    _refused(
        send(service, "token", {**FORM, "client_id": website.client_id, "client_secret": "s3cret"}),
        "invalid_client",
        400,
    )
    _refused(send(service, "token", FORM, {"Authorization": basic(poster.client_id, "s3cret")}), "invalid_client", 401)
    _refused(send(service, "token", {**FORM, "client_id": website.client_id}), "invalid_client", 400)


def test_a_public_client_has_no_secret_to_show(service: Service, app: App) -> None:
    _refused(send(service, "token", {**FORM, "client_id": app.client_id, "client_secret": "x"}), "invalid_client", 400)
    _refused(send(service, "token", FORM, {"Authorization": basic(app.client_id, "x")}), "invalid_client", 401)
    _refused(send(service, "token", FORM, {"Authorization": basic(app.client_id, "")}), "invalid_client", 401)


def test_a_wrong_secret_and_an_unknown_client_are_told_apart_by_nothing(service: Service, website: App) -> None:
    unknown = "00000000-0000-7000-8000-000000000000"
    replies = [
        send(service, "token", FORM, {"Authorization": basic(client_id, "wrong")})
        for client_id in (website.client_id, unknown, "x")
    ]
    assert len({(reply.status, reply.text, reply.headers["WWW-Authenticate"]) for reply in replies}) == 1
    posted = [
        send(service, "token", {**FORM, "client_id": client_id, "client_secret": "wrong"})
        for client_id in (website.client_id, unknown)
    ]
    assert len({(reply.status, reply.text) for reply in posted}) == 1


@pytest.mark.parametrize(
    "authorization",
    ["Basic", "Basic ", "Basic \t", "Basic x", "Basic !!!", "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
     "Basic " + base64.b64encode(b"nocolon").decode(), "Basic " + base64.b64encode(b":").decode(), "Bearer x",
     "Digest x", "Basic " + "A" * 9000],
)  # fmt: skip
def test_a_broken_header_is_a_client_that_cannot_be_known(service: Service, authorization: str) -> None:
    reply = send(service, "token", FORM, {"Authorization": authorization})
    _refused(reply, "invalid_client", 401)
    assert reply.headers["WWW-Authenticate"].startswith("Basic ")


def test_two_ways_at_once_or_two_clients_at_once_are_refused(service: Service, website: App, app: App) -> None:
    header = {"Authorization": basic(website.client_id, website.secret or "")}
    _refused(send(service, "token", {**FORM, "client_secret": website.secret or ""}, header), "invalid_request", 400)
    _refused(send(service, "token", {**FORM, "client_id": app.client_id}, header), "invalid_request", 400)


def test_nothing_of_the_query_counts_at_the_token_endpoint(service: Service, website: App) -> None:
    """RFC 6749, 2.3.1: a secret in an address would be in every log."""
    query = f"token?client_id={website.client_id}&client_secret={website.secret}&grant_type=client_credentials"
    _refused(send(service, query, FORM), "invalid_client", 400)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("", "unsupported_grant_type"),
        ("grant_type=password&username=alice@example.com&password=x", "unsupported_grant_type"),
        ("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=x", "unsupported_grant_type"),
        ("grant_type=implicit", "unsupported_grant_type"),
        ("grant_type=refresh_token&grant_type=authorization_code", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=%00", "invalid_request"),
        (f"grant_type=refresh_token&refresh_token={'x' * 9000}", "invalid_request"),
        ("grant_type=authorization_code", "invalid_request"),
        ("grant_type=authorization_code&code=", "invalid_grant"),
        ("grant_type=authorization_code&code=x", "invalid_grant"),
        ("grant_type=refresh_token", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=", "invalid_grant"),
        ("grant_type=refresh_token&refresh_token=x", "invalid_grant"),
        ("grant_type=client_credentials", "invalid_client"),
    ],
)
def test_a_wrong_request_is_refused_in_the_words_of_the_protocol(app: App, data: str, error: str) -> None:
    _refused(send(app.service, "token", f"{data}&client_id={app.client_id}"), error, 400)


def test_a_client_gets_only_by_the_ways_it_is_registered_for(service: Service, tab: Tab) -> None:
    short = register(service, grant_types=["authorization_code"])
    tokens = short.redeem(parameters(agree(tab, short.request()))["code"])
    assert tokens.status == 200 and "refresh_token" not in tokens.json
    _refused(short.refresh("x"), "unauthorized_client", 400)
    website = register(service, secret="s3cret")
    _refused(website.token(grant_type="client_credentials"), "unauthorized_client", 400)
    silent = register(service, secret="s3cret", grant_types=["client_credentials"], redirect_uris=[])
    _refused(silent.redeem("x"), "unauthorized_client", 400)
    assert tab.open(silent.request()).status == 400


def test_a_body_that_is_no_form_is_no_request(service: Service, app: App) -> None:
    client = service.app.test_client()
    for kind in ("application/json", "text/plain", ""):
        answer = client.post("/auth/oauth/token", data='{"grant_type": "refresh_token"}', content_type=kind)
        assert (answer.status_code, answer.get_json()["error"]) == (400, "unsupported_grant_type")
