"""GET /notify/v1/devices and DELETE /notify/v1/devices/{device_id}."""

import pytest

from shared.ids import new_id
from tests.notify.conftest import Client, json_of


def test_people_see_their_own_devices_page_by_page(as_alice: Client, as_mallory: Client) -> None:
    registered = [as_alice.register()["id"] for _ in range(5)]
    as_mallory.register()

    first = json_of(as_alice.get("/devices?limit=3"))
    second = json_of(as_alice.get(f"/devices?limit=3&cursor={first['next_cursor']}"))

    assert [device["id"] for device in first["items"] + second["items"]] == sorted(registered)
    assert second["next_cursor"] is None
    assert all("token" not in device for device in first["items"])


def test_a_device_is_deleted_by_its_owner_only(as_alice: Client, as_mallory: Client) -> None:
    device = as_alice.register()

    assert as_mallory.delete(f"/devices/{device['id']}").status_code == 404
    assert as_alice.delete(f"/devices/{device['id']}").status_code == 204
    assert as_alice.delete(f"/devices/{device['id']}").status_code == 404
    assert json_of(as_alice.get("/devices"))["items"] == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor"), ("page=2", "page")],
)
def test_a_wrong_parameter_is_named(as_alice: Client, query: str, parameter: str) -> None:
    answer = as_alice.get(f"/devices?{query}")

    assert answer.status_code == 400
    assert [error["parameter"] for error in json_of(answer)["errors"]] == [parameter]


def test_an_unknown_device_is_not_found(as_alice: Client) -> None:
    answer = as_alice.delete(f"/devices/{new_id()}")

    assert (answer.status_code, json_of(answer)["code"]) == (404, "not_found")
