"""PUT /notify/v1/devices/{device_id}: an installation belongs to one user and one session at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.notify.devices import MAX_DEVICES
from shared.ids import new_id
from shared.postgres import Database
from tests.notify.conftest import Client, json_of, push_token
from tests.support.issuer import Issuer
from tests.support.people import Person

ANDROID = {"platform": "android", "token": push_token("android")}


def ids_of(client: Client) -> list[str]:
    return [device["id"] for device in json_of(client.get("/devices"))["items"]]


def test_a_device_is_registered_and_then_refreshed(as_alice: Client) -> None:
    device_id, token = new_id(), push_token("ios")
    body = {
        "platform": "ios",
        "token": token.upper(),
        "app_id": "app.gatehouse.phone",
        "environment": "sandbox",
        "locale": "pt-BR",
        "timezone": "America/Argentina/Buenos_Aires",
        "app_version": "1.2.3 (45)",
        "name": "Alice's phone",
    }

    first = as_alice.put(f"/devices/{device_id}", body)
    second = as_alice.put(f"/devices/{device_id}", {**body, "app_version": "1.2.4", "name": None})

    assert (first.status_code, second.status_code) == (201, 200)
    assert json_of(first)["is_current"] and json_of(first)["name"] == "Alice's phone"
    assert (json_of(second)["app_version"], json_of(second)["name"]) == ("1.2.4", None)
    assert json_of(second)["created_at"] == json_of(first)["created_at"]
    assert "token" not in json_of(second)
    assert ids_of(as_alice) == [str(device_id)]


def test_the_same_installation_moves_to_who_logs_in_on_it(as_alice: Client, as_mallory: Client) -> None:
    device = as_alice.register("android")

    moved = as_mallory.put(f"/devices/{device['id']}", {"platform": "android", "token": device["token"]})

    assert moved.status_code == 201
    assert ids_of(as_alice) == []
    assert ids_of(as_mallory) == [device["id"]]


def test_a_push_token_under_a_new_installation_id_ends_the_old_row(as_alice: Client, as_mallory: Client) -> None:
    device = as_alice.register("android")

    as_mallory.put(f"/devices/{new_id()}", {"platform": "android", "token": device["token"]})

    assert ids_of(as_alice) == []
    assert len(ids_of(as_mallory)) == 1


def test_of_two_people_who_register_one_token_at_once_exactly_one_has_it(
    client_of: Callable[[str], Client], issuer: Issuer
) -> None:
    people = [Person(f"person {number}", issuer) for number in range(8)]
    clients = [client_of(person.token()) for person in people]
    device_id, body = new_id(), {"platform": "android", "token": push_token("android")}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda client: client.put(f"/devices/{device_id}", body).status_code, clients))
        answers += pool.map(lambda client: client.put(f"/devices/{new_id()}", body).status_code, clients)

    assert set(answers) == {201}
    assert sum(len(ids_of(client)) for client in clients) == 1


def test_the_device_that_registered_longest_ago_makes_room(as_alice: Client) -> None:
    first = as_alice.register()
    for _ in range(MAX_DEVICES):
        as_alice.register()

    devices = ids_of(as_alice)

    assert len(devices) == MAX_DEVICES
    assert first["id"] not in devices


def test_a_service_has_no_device(as_sender: Client) -> None:
    answer = as_sender.put(f"/devices/{new_id()}", ANDROID)

    assert (answer.status_code, json_of(answer)["code"]) == (403, "session_required")


def test_nobody_registers_without_a_token(app: Any) -> None:
    answer = Client(app, {}).put(f"/devices/{new_id()}", ANDROID)

    assert (answer.status_code, json_of(answer)["code"]) == (401, "token_missing")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"platform": "windows"}, "#/platform"),
        ({"platform": None}, "#/platform"),
        ({"platform": 7}, "#/platform"),
        ({"token": ""}, "#/token"),
        ({"token": None}, "#/token"),
        ({"token": "short"}, "#/token"),
        ({"token": "a b" * 20}, "#/token"),
        ({"token": "x" * 2001}, "#/token"),
        ({"token": "\u0660" * 64, "platform": "ios"}, "#/token"),
        ({"token": "ab" * 31, "platform": "ios"}, "#/token"),
        ({"token": "ab" * 32 + "\n", "platform": "ios"}, "#/token"),
        ({"token": ["ab" * 32]}, "#/token"),
        ({"app_id": "../../etc"}, "#/app_id"),
        ({"app_id": "x" * 201}, "#/app_id"),
        ({"environment": "staging"}, "#/environment"),
        ({"locale": "pt_BR_"}, "#/locale"),
        ({"locale": "x" * 36}, "#/locale"),
        ({"timezone": "../UTC"}, "#/timezone"),
        ({"timezone": "x" * 65}, "#/timezone"),
        ({"app_version": ""}, "#/app_version"),
        ({"name": "x" * 101}, "#/name"),
        ({"name": "two\nlines"}, "#/name"),
        ({"name": 1}, "#/name"),
        ({"owner": "me"}, "#/owner"),
    ],
)
def test_bad_input_is_refused_by_name(as_alice: Client, db: Database, change: dict[str, Any], pointer: str) -> None:
    answer = as_alice.put(f"/devices/{new_id()}", {**ANDROID, **change})

    assert (answer.status_code, json_of(answer)["code"]) == (400, "validation_failed")
    assert [error["pointer"] for error in json_of(answer)["errors"]] == [pointer]
    assert ids_of(as_alice) == []


@pytest.mark.parametrize("device_id", ["7", "not-a-uuid", "0190c1a4-0000-7000-8000-00000000000g", "%00"])
def test_a_device_id_is_a_uuid(as_alice: Client, device_id: str) -> None:
    answer = as_alice.put(f"/devices/{device_id}", ANDROID)

    assert 400 <= answer.status_code < 500
    assert answer.content_type == "application/problem+json"


def test_who_acts_for_alice_neither_gets_her_pushes_nor_takes_them_from_her(
    app: Any, alice: Person, mallory: Person, as_alice: Client
) -> None:
    device = as_alice.register()
    acting = Client(app, {"Authorization": f"Bearer {alice.token(act={'sub': str(mallory.user_id)})}"})
    body = {"platform": "android", "token": push_token("android")}
    for answer in (acting.put(f"/devices/{device['id']}", body), acting.delete(f"/devices/{device['id']}")):
        assert (answer.status_code, json_of(answer)["code"]) == (403, "impersonated")
    assert [one["id"] for one in json_of(as_alice.get("/devices"))["items"]] == [device["id"]]
