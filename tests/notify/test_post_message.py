"""POST /notify/v1/messages: durable when it answers, once for each Idempotency-Key."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.ids import new_id
from shared.postgres import Database
from tests.notify.conftest import Client, json_of
from tests.support.issuer import Issuer
from tests.support.people import Person


def a_message(**changes: Any) -> dict[str, Any]:
    return {"to": {"user_id": str(new_id())}, "title": "Hello", "body": "A message", **changes}


def count(db: Database, table: str) -> int:
    with db.transaction() as conn, conn.cursor() as cursor:
        cursor.execute(f"SELECT count(*) AS n FROM {table}")  # noqa: S608
        row: Any = cursor.fetchone()
        return int(row["n"])


def test_a_message_and_its_event_exist_together(as_sender: Client, db: Database) -> None:
    answer = as_sender.post("/messages", a_message())

    assert answer.status_code == 202
    assert json_of(answer)["status"] == "accepted"
    assert answer.headers["Location"] == f"/notify/v1/messages/{json_of(answer)['id']}"
    assert (count(db, "messages"), count(db, "outbox")) == (1, 1)


def test_the_same_key_and_body_give_the_same_answer(as_sender: Client, db: Database) -> None:
    message = a_message(channels=["push", "email"])

    first = as_sender.post("/messages", message, Idempotency_Key="order-7")
    second = as_sender.post("/messages", message, Idempotency_Key="order-7")

    assert (first.status_code, first.json, first.headers["Location"]) == (202, second.json, second.headers["Location"])
    assert (count(db, "messages"), count(db, "outbox")) == (1, 1)


def test_the_same_key_with_another_body_is_refused(as_sender: Client, db: Database) -> None:
    as_sender.post("/messages", a_message(), Idempotency_Key="order-7")

    answer = as_sender.post("/messages", a_message(), Idempotency_Key="order-7")

    assert (answer.status_code, json_of(answer)["code"]) == (422, "idempotency_key_reused")
    assert count(db, "messages") == 1


def test_sixteen_requests_at_once_with_one_key_make_one_message(
    client_of: Callable[[str], Client], issuer: Issuer, db: Database
) -> None:
    token, message = issuer.service_token("messages:send"), a_message()

    def post(_: int) -> Any:
        return client_of(token).post("/messages", message, Idempotency_Key="once").json

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(16)))

    assert len({answer["id"] for answer in answers}) == 1
    assert (count(db, "messages"), count(db, "outbox")) == (1, 1)


def test_a_key_belongs_to_its_sender(client_of: Callable[[str], Client], issuer: Issuer, db: Database) -> None:
    message = a_message()
    answers = [
        client_of(issuer.service_token("messages:send")).post("/messages", message, Idempotency_Key="1").json
        for _ in range(2)
    ]

    assert answers[0] != answers[1]


def test_only_a_service_with_the_scope_sends(
    as_alice: Client, alice: Person, client_of: Callable[[str], Client], issuer: Issuer, db: Database
) -> None:
    as_person = as_alice.post("/messages", a_message())
    with_scope = client_of(alice.token(scope="messages:send")).post("/messages", a_message())
    as_service = client_of(issuer.service_token("data:read")).post("/messages", a_message())

    assert (as_person.status_code, json_of(as_person)["code"]) == (403, "service_only")
    assert (with_scope.status_code, json_of(with_scope)["code"]) == (403, "service_only")
    assert (as_service.status_code, json_of(as_service)["code"]) == (403, "insufficient_scope")
    assert count(db, "messages") == 0


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"to": None}, "#/to"),
        ({"to": {}}, "#/to/user_id"),
        ({"to": {"user_id": "alice"}}, "#/to/user_id"),
        ({"to": {"user_id": 5}}, "#/to/user_id"),
        ({"to": {"user_id": str(new_id()), "email": "a@example.com"}}, "#/to/email"),
        ({"channels": []}, "#/channels"),
        ({"channels": "push"}, "#/channels"),
        ({"channels": ["push", "push"]}, "#/channels"),
        ({"channels": ["sms"]}, "#/channels/0"),
        ({"title": ""}, "#/title"),
        ({"title": 5}, "#/title"),
        ({"title": "x" * 201}, "#/title"),
        ({"title": "Hello\r\nBcc: all@example.com"}, "#/title"),
        ({"body": ""}, "#/body"),
        ({"body": "x" * 2001}, "#/body"),
        ({"body": "\u00e9" * 1600}, "#/body"),
        ({"data": []}, "#/data"),
        ({"data": {"room": 7}}, "#/data/room"),
        ({"data": {"from": "x"}}, "#/data"),
        ({"data": {"google.x": "x"}}, "#/data"),
        ({"data": {"aps": "x"}}, "#/data"),
        ({"data": {"message_id": "x"}}, "#/data"),
        ({"data": {f"k{number}": "v" for number in range(31)}}, "#/data"),
        ({"data": {f"k{number}": "v" * 1000 for number in range(4)}}, "#/data"),
        ({"priority": "urgent"}, "#/priority"),
        ({"collapse_key": "x" * 65}, "#/collapse_key"),
        ({"collapse_key": "caf\u00e9"}, "#/collapse_key"),
        ({"ttl_s": 0}, "#/ttl_s"),
        ({"ttl_s": "60"}, "#/ttl_s"),
        ({"ttl_s": 1e99}, "#/ttl_s"),
        ({"ttl_s": 2_419_201}, "#/ttl_s"),
        ({"locale": "english please"}, "#/locale"),
        ({"template": "welcome"}, "#/template"),
    ],
)
def test_bad_input_is_refused_by_name(as_sender: Client, db: Database, change: dict[str, Any], pointer: str) -> None:
    answer = as_sender.post("/messages", a_message(**change))

    assert (answer.status_code, json_of(answer)["code"]) == (400, "validation_failed")
    assert pointer in [error["pointer"] for error in json_of(answer)["errors"]]
    assert (count(db, "messages"), count(db, "outbox")) == (0, 0)


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "caf\u00e9"])
def test_a_bad_key_is_refused(as_sender: Client, db: Database, key: str) -> None:
    answer = as_sender.post("/messages", a_message(), Idempotency_Key=key)

    assert answer.status_code == 400
    assert [error["header"] for error in json_of(answer)["errors"]] == ["Idempotency-Key"]
    assert count(db, "messages") == 0
