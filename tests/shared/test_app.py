"""What every service does with a request besides answering it: ids, trace, access, health, description."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from shared import trace
from shared.ids import new_id
from shared.settings import Settings
from tests.shared import service
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.problems import problem

THINGS = "/things/v1/things"


def test_a_well_formed_request_id_comes_back(client: FlaskClient) -> None:
    assert client.get(THINGS, headers={"X-Request-Id": "abc-123.DEF_456"}).headers["X-Request-Id"] == "abc-123.DEF_456"


@pytest.mark.parametrize(
    "sent", ["short", "a" * 65, "has space here", "semi;colon;here", "ünïcödë-id", "{{7*7}}{{7*7}}"]
)
def test_a_malformed_request_id_is_replaced(client: FlaskClient, sent: str) -> None:
    made = client.get(THINGS, headers={"X-Request-Id": sent}).headers["X-Request-Id"]
    assert made != sent and trace.REQUEST_ID.match(made)


def test_each_request_without_an_id_gets_its_own(client: FlaskClient) -> None:
    assert client.get(THINGS).headers["X-Request-Id"] != client.get(THINGS).headers["X-Request-Id"]


def test_a_callers_trace_is_continued_with_a_span_of_our_own() -> None:
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ours = trace.continue_trace(caller)
    assert trace.TRACEPARENT.match(ours)
    assert ours.split("-")[1] == caller.split("-")[1] and ours.split("-")[2] != caller.split("-")[2]
    assert trace.continue_trace(caller[:-2] + "00").endswith("-00"), "the caller's sampling decision is kept"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
    ],
)
def test_without_a_valid_trace_a_new_one_begins(header: str | None) -> None:
    ours = trace.continue_trace(header)
    assert trace.TRACEPARENT.match(ours) and "0af7651916cd43dd8448eb211c80319c" not in ours


def test_no_answer_may_be_kept_or_sniffed(client: FlaskClient) -> None:
    for path in (THINGS, "/nothing", "/things/v1/me"):
        headers = client.get(path).headers
        assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"


def test_a_signed_in_person_is_known_to_the_handler(client: FlaskClient, alice: Person) -> None:
    assert client.get("/things/v1/me", headers=alice.headers).json == {"name": str(alice.user_id)}


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token abc"])
def test_without_a_token_it_is_a_401_that_names_no_error(client: FlaskClient, header: str | None) -> None:
    answer = client.get("/things/v1/me", headers={} if header is None else {"Authorization": header})
    problem(answer, 401, "token_missing")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_with_a_wrong_token_it_is_a_401_with_the_reason(client: FlaskClient, issuer: Issuer) -> None:
    answer = client.get("/things/v1/me", headers={"Authorization": f"Bearer {issuer.token(new_id(), exp=1)}"})
    problem(answer, 401, "token_expired")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_the_token_is_judged_before_the_body(client: FlaskClient) -> None:
    problem(client.post("/things/v1/letters", data=b"{]", content_type="text/plain"), 401, "token_missing")


def test_only_a_service_with_the_scope_passes_a_service_route(
    client: FlaskClient, issuer: Issuer, alice: Person
) -> None:
    def send(token: str) -> object:
        headers = {"Authorization": f"Bearer {token}"}
        return client.post("/things/v1/letters", json={"name": "x"}, headers=headers)

    problem(send(alice.token(scope="letters:send")), 403, "service_only")  # type: ignore[arg-type]
    problem(send(issuer.service_token("letters:send-all letters")), 403, "insufficient_scope")  # type: ignore[arg-type]
    assert send(issuer.service_token("other letters:send")).status_code == 204  # type: ignore[attr-defined]


def test_a_route_may_ask_for_a_second_factor(client: FlaskClient, alice: Person) -> None:
    problem(client.get("/things/v1/careful", headers=alice.headers), 403, "insufficient_aal")
    second = {"Authorization": f"Bearer {alice.token(aal='aal2')}"}
    assert client.get("/things/v1/careful", headers=second).status_code == 204


@pytest.mark.parametrize("path", [THINGS, "/things/v1/me", "/things/v1/letters", "/livez"])
def test_options_says_what_is_possible_without_a_token_or_a_body(client: FlaskClient, path: str) -> None:
    answer = client.options(path)
    assert answer.status_code == 200 and answer.data == b"" and "OPTIONS" in answer.headers["Allow"]


@pytest.mark.parametrize("path", [THINGS, "/livez", "/metrics", "/openapi.json"])
def test_head_answers_as_get_does_without_the_body(client: FlaskClient, path: str) -> None:
    answer = client.head(path)
    assert answer.status_code == 200 and answer.data == b""
    assert answer.content_type == client.get(path).content_type


def test_head_needs_the_token_that_get_needs(client: FlaskClient, alice: Person) -> None:
    assert client.head("/things/v1/me").status_code == 401
    assert client.head("/things/v1/me", headers=alice.headers).status_code == 200


def test_a_service_is_ready_when_all_it_needs_answers(client: FlaskClient) -> None:
    assert client.get("/readyz").status_code == 200


def test_a_service_that_is_not_ready_names_every_dependency_that_is_missing(settings: Settings) -> None:
    def fail() -> None:
        raise ConnectionError(service.SECRET)

    app = service.create_app(settings, ready={"postgres": fail, "storage": lambda: None, "queue": fail})
    answer = app.test_client().get("/readyz")
    document = problem(answer, 503, "not_ready")
    assert "postgres, queue" in document["detail"] and "storage" not in document["detail"]
    assert answer.headers["Retry-After"] == "2" and "hunter2" not in answer.text
    assert app.test_client().get("/livez").status_code == 200, "a process that lives is not restarted for it"


def test_no_file_of_the_machine_is_served(settings: Settings) -> None:
    app: Flask = service.create_app(settings)
    assert not [rule for rule in app.url_map.iter_rules() if "filename" in rule.arguments]


def test_the_description_names_every_route_its_success_and_its_problems(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")
    made = document["paths"][THINGS]["post"]
    assert set(made["responses"]) >= {"201", "4XX", "5XX"}
    assert "security" not in made and document["paths"]["/things/v1/me"]["get"]["security"] == [{"bearer": []}]
    assert document["components"]["schemas"]["Thing"]["additionalProperties"] is False
