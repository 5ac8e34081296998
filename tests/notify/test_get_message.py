"""GET /notify/v1/messages and /notify/v1/messages/{message_id}: for whom it is and for who sent it."""

from collections.abc import Callable

import pytest

from shared.ids import new_id
from tests.notify.conftest import Client, json_of
from tests.support.issuer import Issuer
from tests.support.people import Person


def test_the_sender_and_the_person_see_a_message_and_nobody_else(
    as_alice: Client,
    as_mallory: Client,
    as_sender: Client,
    alice: Person,
    client_of: Callable[[str], Client],
    issuer: Issuer,
) -> None:
    message_id = as_sender.send(alice, data={"room": "7"})
    as_other_service = client_of(issuer.service_token("data:read"))

    assert json_of(as_sender.get(f"/messages/{message_id}"))["status"] == "accepted"
    assert json_of(as_alice.get(f"/messages/{message_id}"))["data"] == {"room": "7"}
    assert as_mallory.get(f"/messages/{message_id}").status_code == 404
    assert as_other_service.get(f"/messages/{message_id}").status_code == 404


def test_the_list_is_newest_first_and_comes_in_pages(
    as_alice: Client, as_mallory: Client, as_sender: Client, alice: Person, mallory: Person
) -> None:
    sent = [as_sender.send(alice) for _ in range(5)]
    as_sender.send(mallory)

    first = json_of(as_alice.get("/messages?limit=3"))
    second = json_of(as_alice.get(f"/messages?limit=3&cursor={first['next_cursor']}"))

    assert [message["id"] for message in first["items"] + second["items"]] == sent[::-1]
    assert second["next_cursor"] is None
    assert len(json_of(as_mallory.get("/messages"))["items"]) == 1
    assert len(json_of(as_sender.get("/messages"))["items"]) == 6


@pytest.mark.parametrize("cursor", ["x", "AAAA", "Z2F0ZSBob3VzZQ", "MjAyNi0wMS0wMSAx", "\u00e9"])
def test_an_invented_cursor_is_refused(as_alice: Client, cursor: str) -> None:
    answer = as_alice.get(f"/messages?cursor={cursor}")

    assert answer.status_code == 400
    assert [error["parameter"] for error in json_of(answer)["errors"]] == ["cursor"]


@pytest.mark.parametrize(
    ("query", "parameter"), [("limit=0", "limit"), ("limit=1.5", "limit"), ("limit=101", "limit"), ("user=1", "user")]
)
def test_a_wrong_parameter_is_named(as_alice: Client, query: str, parameter: str) -> None:
    answer = as_alice.get(f"/messages?{query}")

    assert answer.status_code == 400
    assert [error["parameter"] for error in json_of(answer)["errors"]] == [parameter]


def test_an_unknown_message_is_not_found(as_sender: Client) -> None:
    assert as_sender.get(f"/messages/{new_id()}").status_code == 404
    assert as_sender.get("/messages/7").status_code == 400
