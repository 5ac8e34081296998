"""A message on its whole way: API, outbox, planner, sender, provider, outcome."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from deploy.local.simulators import Simulators
from services.notify import events
from services.notify.config import NotifySettings
from shared.contracts import ProfileUpdated, UserUpdated
from shared.postgres import Database
from tests.notify.conftest import Client, running
from tests.support.people import Person


@pytest.fixture
def alices_address(db: Database, alice: Person) -> str:
    """Confirmed."""
    now = datetime.now(UTC)
    with db.transaction() as conn:
        address = "alice@example.com"
        events.update_contact(
            conn, UserUpdated(user_id=alice.user_id, email=address, email_confirmed_at=now, updated_at=now)
        )
        events.update_profile(conn, ProfileUpdated(user_id=alice.user_id, display_name="Alice", version=1))
    return address


def test_a_message_arrives_at_an_android_phone(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    device = as_alice.register("android")

    message_id = as_sender.send(alice, title="Hello", body="A message", data={"room": "7"})

    (arrived,) = simulators.wait_for(1, channel="fcm", to=device["token"])
    message = arrived["body"]["message"]
    assert message["notification"] == {"title": "Hello", "body": "A message"}
    assert message["data"] == {"room": "7", "message_id": message_id}
    (delivery,) = as_sender.finished(message_id)
    assert (delivery["state"], delivery["outcome"], delivery["attempts"]) == ("sent", "accepted", 1)
    assert delivery["provider_id"] == arrived["provider_id"]
    assert message["android"]["priority"] == "HIGH"
    assert message["android"]["notification"] == {"tag": delivery["id"]}
    assert 604_000 < int(message["android"]["ttl"].removesuffix("s")) <= 604_800


def test_a_message_arrives_at_an_iphone(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    device = as_alice.register("ios", environment="sandbox")

    message_id = as_sender.send(
        alice, body="Grüße 🎉", data={"room": "7"}, priority="normal", collapse_key="room-7", ttl_s=60
    )

    (arrived,) = simulators.wait_for(1, channel="apns", to=device["token"])
    (delivery,) = as_sender.finished(message_id)
    assert arrived["body"] == {
        "aps": {"alert": {"title": "Hello", "body": "Grüße 🎉"}, "sound": "default"},
        "room": "7",
        "message_id": message_id,
    }
    headers = arrived["headers"]
    assert (headers["apns-id"], headers["apns-collapse-id"]) == (delivery["id"], "room-7")
    assert (headers["apns-push-type"], headers["apns-priority"]) == ("alert", "5")
    assert headers["apns-topic"] == simulators.credentials.topic
    assert 50 < int(headers["apns-expiration"]) - time.time() <= 60
    assert (delivery["state"], delivery["device_id"]) == ("sent", device["id"])
    assert arrived["warnings"] == []


def test_one_message_reaches_every_device_and_the_mailbox(
    as_alice: Client,
    as_mallory: Client,
    as_sender: Client,
    alice: Person,
    alices_address: str,
    simulators: Simulators,
    running_worker: NotifySettings,
) -> None:
    tokens = {as_alice.register(platform)["token"] for platform in ("android", "android", "ios", "ios")}
    as_mallory.register("android")

    message_id = as_sender.send(alice, title="Hello", body="One\nTwo", channels=["push", "email"])

    deliveries = as_sender.finished(message_id)
    assert sorted(delivery["channel"] for delivery in deliveries) == ["apns", "apns", "email", "fcm", "fcm"]
    assert {delivery["outcome"] for delivery in deliveries} == {"accepted"}
    assert {push["to"] for push in simulators.messages() if push["channel"] != "smtp"} == tokens
    (mail,) = simulators.messages(channel="smtp", to=alices_address)
    assert (mail["title"], mail["mail"]["text"].split()) == ("Hello", ["One", "Two"])
    assert mail["mail"]["from"] == "Gatehouse <no-reply@gatehouse.example>"
    assert as_alice.get(f"/messages/{message_id}").status_code == 200


def test_nobody_to_send_to_is_said(
    as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    deliveries = as_sender.finished(as_sender.send(alice, channels=["push", "email"]))

    assert {(delivery["channel"], delivery["outcome"]) for delivery in deliveries} == {
        ("fcm", "no_target"),
        ("email", "no_target"),
    }
    assert simulators.messages(outcome="all") == []


def test_a_channel_without_settings_says_so(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    alices_address: str,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    as_alice.register("android")
    as_alice.register("ios")

    with running(worker_settings(fcm_service_account_file=None, apns_key_file=None, smtp_host=None)):
        deliveries = as_sender.finished(as_sender.send(alice, channels=["push", "email"]))

    assert {(delivery["channel"], delivery["state"], delivery["outcome"]) for delivery in deliveries} == {
        (channel, "failed", "not_configured") for channel in ("fcm", "apns", "email")
    }
    assert sorted(delivery["reason"] for delivery in deliveries) == [
        "APNS_KEY_FILE is not set",
        "FCM_SERVICE_ACCOUNT_FILE is not set",
        "SMTP_HOST is not set",
    ]


def test_what_waits_for_a_phone_does_not_go_to_its_next_owner(
    as_alice: Client,
    as_mallory: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    running_worker: NotifySettings,
) -> None:
    device = as_alice.register("android")
    simulators.fault("fcm", "status", status=503, retry_after_s=1, count=1)
    message_id = as_sender.send(alice)
    simulators.wait_for(1, channel="fcm", outcome="refused")

    as_mallory.put(f"/devices/{device['id']}", {"platform": "android", "token": device["token"]})

    (delivery,) = as_sender.finished(message_id)
    assert (delivery["state"], delivery["outcome"]) == ("failed", "no_target")
    assert simulators.messages(channel="fcm") == []


def test_a_message_that_expires_while_it_is_retried_is_not_sent(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    as_alice.register("android")
    simulators.fault("fcm", "status", status=503, retry_after_s=2, count=1)

    (delivery,) = as_sender.finished(as_sender.send(alice, ttl_s=1))

    assert (delivery["state"], delivery["outcome"], delivery["attempts"]) == ("failed", "expired", 2)
    assert simulators.messages(channel="fcm") == []
