"""APNs unwell, strict or gone: the right outcome, nothing lost, nothing repeated but under the same apns-id."""

from collections.abc import Callable
from typing import Any

import pytest

from deploy.local.simulators import Simulators
from services.notify.config import NotifySettings
from tests.notify.conftest import Client, json_of, running
from tests.support.people import Person


def apns_ids(simulators: Simulators) -> list[str]:
    return [push["headers"]["apns-id"] for push in simulators.messages(channel="apns")]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "goaway"},
        {"kind": "reset"},
        {"kind": "delay", "delay_s": 3},
        {"kind": "reset", "after_accept": True},
        {"kind": "goaway", "after_accept": True},
    ],
)
def test_an_outage_is_retried_until_it_is_over(
    fault: dict[str, Any],
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    running_worker: NotifySettings,
) -> None:
    for _ in range(5):
        as_alice.register("ios")
    simulators.fault("apns", count=1, **fault)

    deliveries = as_sender.finished(as_sender.send(alice))

    assert [(delivery["state"], delivery["outcome"]) for delivery in deliveries] == [("sent", "accepted")] * 5
    arrived = apns_ids(simulators)
    assert set(arrived) == {delivery["id"] for delivery in deliveries}
    if fault["kind"] == "status" or fault == {"kind": "goaway"}:
        assert len(arrived) == 5  # the server said what it had not taken; a lost answer leaves that open


def test_every_open_connection_going_away_loses_nothing(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    as_alice.register("ios")
    as_sender.finished(as_sender.send(alice))
    simulators.fault("apns", "goaway", now=True)

    (delivery,) = as_sender.finished(as_sender.send(alice))

    assert delivery["state"] == "sent"
    assert simulators.stats()["repeated"] == []


def test_an_unregistered_device_goes(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    device = as_alice.register("ios")
    simulators.fault("apns", "unregistered", match=device["token"])

    (delivery,) = as_sender.finished(as_sender.send(alice))

    assert (delivery["state"], delivery["outcome"], delivery["reason"]) == ("failed", "unregistered", "Unregistered")
    assert json_of(as_alice.get("/devices"))["items"] == []


def test_a_device_that_registered_after_it_was_called_gone_stays(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    """Apple's 410 says since when a token has been dead; the app may have registered it anew since."""
    device = as_alice.register("ios")
    simulators.fault("apns", "unregistered", match=device["token"])
    as_alice.put(f"/devices/{device['id']}", {"platform": "ios", "token": device["token"]})

    (delivery,) = as_sender.finished(as_sender.send(alice))

    assert delivery["outcome"] == "unregistered"
    assert [row["id"] for row in json_of(as_alice.get("/devices"))["items"]] == [device["id"]]


def test_apple_s_reasons_become_outcomes_and_delete_nothing(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    expected = {}
    for status, reason, outcome in [
        (400, "BadDeviceToken", "bad_request"),
        (400, "DeviceTokenNotForTopic", "bad_request"),
        (413, "PayloadTooLarge", "bad_request"),
        (403, "InvalidProviderToken", "credentials"),
        (403, "ExpiredProviderToken", "credentials"),
        (429, "TooManyRequests", "throttled"),
        (500, "InternalServerError", "retry_after"),
    ]:
        device = as_alice.register("ios")
        simulators.fault("apns", "status", status=status, reason=reason, match=device["token"])
        expected[device["id"]] = ("failed", outcome, reason)

    with running(worker_settings(send_max_attempts=1)):
        deliveries = as_sender.finished(as_sender.send(alice))

    assert {row["device_id"]: (row["state"], row["outcome"], row["reason"]) for row in deliveries} == expected
    assert {row["id"] for row in json_of(as_alice.get("/devices"))["items"]} == expected.keys()


def test_a_server_that_is_not_apple_s_gets_nothing(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    """Without the simulator's authority its certificate is nobody's."""
    as_alice.register("ios")

    with running(worker_settings(apns_ca_file=None, send_max_attempts=1)):
        (delivery,) = as_sender.finished(as_sender.send(alice))

    assert (delivery["state"], delivery["outcome"]) == ("failed", "retry_after")
    assert delivery["reason"].startswith("curl 60")
    assert simulators.messages(channel="apns", outcome="all") == []
