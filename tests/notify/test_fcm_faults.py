"""FCM unwell, strict or gone: the right outcome, nothing lost, nothing repeated but under the same id."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from deploy.local.simulators import Simulators
from services.notify.config import NotifySettings
from shared.postgres import Database
from tests.notify.conftest import Client, json_of, running
from tests.support.people import Person


def times(simulators: Simulators, **query: Any) -> list[float]:
    arrivals = simulators.messages(outcome="all", **query)
    return sorted(datetime.fromisoformat(arrival["received_at"]).timestamp() for arrival in arrivals)


def test_retry_after_is_honoured_in_both_forms(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    until = datetime.now(UTC) + timedelta(seconds=3)
    asked: list[dict[str, Any]] = [{"retry_after_s": 2}, {"retry_after": format_datetime(until, usegmt=True)}]
    devices = [(as_alice.register(), status, form) for status in (429, 503) for form in asked]
    for device, status, form in devices:
        simulators.fault("fcm", "status", status=status, count=1, match=device["token"], **form)

    deliveries = as_sender.finished(as_sender.send(alice))

    assert [(delivery["state"], delivery["attempts"]) for delivery in deliveries] == [("sent", 2)] * 4
    for device, _, form in devices:
        first, second = times(simulators, channel="fcm", to=device["token"])
        assert second >= (first + 2 if "retry_after_s" in form else int(until.timestamp()))
        assert second < first + 8


def test_an_outage_is_retried_until_it_is_over(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    faults: list[dict[str, Any]] = [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 502},
        {"kind": "reset"},
        {"kind": "delay", "delay_s": 3},
        {"kind": "reset", "after_accept": True},
    ]
    devices = [(as_alice.register(), fault) for fault in faults]
    for device, fault in devices:
        simulators.fault("fcm", count=2, match=device["token"], **fault)

    deliveries = {delivery["device_id"]: delivery for delivery in as_sender.finished(as_sender.send(alice))}

    for device, fault in devices:
        delivery = deliveries[device["id"]]
        assert (delivery["state"], delivery["outcome"]) == ("sent", "accepted"), fault
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


def test_only_unregistered_deletes_a_device(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    faults: list[tuple[dict[str, Any], str]] = [
        ({"status": 403}, "bad_request"),  # SENDER_ID_MISMATCH
        ({"status": 400}, "bad_request"),
        ({"status": 404, "reason": "NOT_FOUND"}, "credentials"),  # a wrong project, for all we know
    ]
    expected = {}
    for fault, outcome in faults:
        device = as_alice.register()
        simulators.fault("fcm", "status", match=device["token"], **fault)
        expected[device["id"]] = ("failed", outcome)

    with running(worker_settings(send_max_attempts=1)):
        deliveries = as_sender.finished(as_sender.send(alice))

    assert {row["device_id"]: (row["state"], row["outcome"]) for row in deliveries} == expected
    assert {row["id"] for row in json_of(as_alice.get("/devices"))["items"]} == expected.keys()


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
