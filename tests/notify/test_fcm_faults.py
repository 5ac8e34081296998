"""FCM unwell, strict or gone: the right outcome, nothing lost, nothing repeated but under the same id."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from deploy.local.simulators import Simulators
from services.notify.config import NotifySettings
from shared.postgres import Database
from tests.notify.conftest import Client, json_of, running
from tests.support.people import Person


def times(simulators: Simulators, **query: Any) -> list[float]:
    arrivals = simulators.messages(outcome="all", **query)
    return sorted(datetime.fromisoformat(arrival["received_at"]).timestamp() for arrival in arrivals)


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_in_both_forms(
    status: int,
    form: str,
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    running_worker: NotifySettings,
) -> None:
    as_alice.register()
    until = datetime.now(UTC) + timedelta(seconds=3)
    asked = {"retry_after_s": 2} if form == "seconds" else {"retry_after": format_datetime(until, usegmt=True)}
    simulators.fault("fcm", "status", status=status, count=1, **asked)

    (delivery,) = as_sender.finished(as_sender.send(alice))

    assert (delivery["state"], delivery["attempts"]) == ("sent", 2)
    first, second = times(simulators, channel="fcm")
    assert second >= (first + 2 if form == "seconds" else int(until.timestamp()))
    assert second < first + 8


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 502},
        {"kind": "reset"},
        {"kind": "delay", "delay_s": 3},
        {"kind": "reset", "after_accept": True},
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
    device = as_alice.register()
    simulators.fault("fcm", count=1, **fault)

    (delivery,) = as_sender.finished(as_sender.send(alice))

    assert (delivery["state"], delivery["outcome"]) == ("sent", "accepted")
    arrived = simulators.messages(channel="fcm", to=device["token"])
    # An answer that was lost may mean a second arrival, but then under the same id and tag.
    assert len({push["key"] for push in arrived}) == 1
    assert {push["body"]["message"]["android"]["notification"]["tag"] for push in arrived} == {delivery["id"]}
    if not fault.get("after_accept") and fault["kind"] != "delay":
        assert len(arrived) == 1


def test_attempts_are_bounded(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    as_alice.register()
    simulators.fault("fcm", "status", status=500)

    with running(worker_settings(send_max_attempts=3, retry_base_s=0.1)):
        (delivery,) = as_sender.finished(as_sender.send(alice))

    assert (delivery["state"], delivery["outcome"], delivery["attempts"]) == ("failed", "retry_after", 3)
    assert delivery["reason"] == "INTERNAL"
    assert len(times(simulators, channel="fcm")) == 3


def test_an_unregistered_device_goes_and_auth_is_told(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    running_worker: NotifySettings,
    db: Database,
    listen: Callable[[str], Callable[[], list[dict[str, Any]]]],
) -> None:
    events = listen("device.unregistered")
    gone, kept = as_alice.register(), as_alice.register()
    simulators.fault("fcm", "unregistered", match=gone["token"])

    deliveries = as_sender.finished(as_sender.send(alice))

    outcomes = {delivery["device_id"]: (delivery["state"], delivery["outcome"]) for delivery in deliveries}
    assert outcomes == {gone["id"]: ("failed", "unregistered"), kept["id"]: ("sent", "accepted")}
    assert [device["id"] for device in json_of(as_alice.get("/devices"))["items"]] == [kept["id"]]
    (event,) = events()
    assert event["device_id"] == gone["id"]
    assert (event["user_id"], event["session_id"]) == (str(alice.user_id), str(alice.session_id))


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"status": 403}, "bad_request"),  # SENDER_ID_MISMATCH
        ({"status": 400}, "bad_request"),
        ({"status": 404, "reason": "NOT_FOUND"}, "credentials"),  # a wrong project, for all we know
    ],
)
def test_only_unregistered_deletes_a_device(
    fault: dict[str, Any],
    outcome: str,
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    device = as_alice.register()
    simulators.fault("fcm", "status", **fault)

    with running(worker_settings(send_max_attempts=1)):
        (delivery,) = as_sender.finished(as_sender.send(alice))

    assert (delivery["state"], delivery["outcome"]) == ("failed", outcome)
    assert [row["id"] for row in json_of(as_alice.get("/devices"))["items"]] == [device["id"]]


def test_a_refused_access_token_is_replaced_at_once(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    as_alice.register()
    simulators.fault("fcm", "status", status=401, count=1)

    (delivery,) = as_sender.finished(as_sender.send(alice))

    assert (delivery["state"], delivery["attempts"]) == ("sent", 1)


def test_without_google_s_token_endpoint_deliveries_wait(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    as_alice.register()
    simulators.fault("oauth", "reset", count=1)

    with running(worker_settings()):
        (delivery,) = as_sender.finished(as_sender.send(alice))

    assert (delivery["state"], delivery["attempts"]) == ("sent", 2)


def test_a_slow_provider_does_not_hold_up_the_others(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    as_alice.register("android")
    as_alice.register("ios")
    simulators.fault("fcm", "delay", delay_s=1, count=1)

    as_sender.finished(as_sender.send(alice))

    (by_apns,), (by_fcm,) = times(simulators, channel="apns"), times(simulators, channel="fcm")
    assert by_apns < by_fcm
