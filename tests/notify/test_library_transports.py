"""PUSH_TRANSPORT=library: the packages' own transports give the same outcomes."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.local.simulators import Simulators
from services.notify import channels
from services.notify.config import NotifySettings
from services.notify.providers import Outcome, Provider, Push
from shared.ids import new_id
from tests.notify.conftest import Client, json_of, push_token, running, settings_for
from tests.support.issuer import Issuer
from tests.support.people import Person

NOWHERE = "postgresql://a:b@127.0.0.1:1/c"
PLATFORM = {"fcm": "android", "apns": "ios"}


def test_the_same_outcomes_as_by_curl(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    sent, gone = ("sent", "accepted"), ("failed", "unregistered")
    faults: list[tuple[dict[str, Any] | None, tuple[str, str]]] = [
        (None, sent),
        ({"kind": "status", "status": 429, "retry_after_s": 1, "count": 1}, sent),
        ({"kind": "status", "status": 500, "count": 1}, sent),
        ({"kind": "reset", "count": 1}, sent),
        ({"kind": "unregistered"}, gone),
    ]
    expected, tokens = {}, {}
    for channel, platform in PLATFORM.items():
        for fault, end in faults:
            device = as_alice.register(platform)
            expected[device["id"]], tokens[device["id"]] = end, device["token"]
            if fault:
                simulators.fault(channel, match=device["token"], **fault)

    with running(worker_settings(push_transport="library")):
        deliveries = as_sender.finished(as_sender.send(alice, data={"room": "7"}))

    assert {row["device_id"]: (row["state"], row["outcome"]) for row in deliveries} == expected
    for delivery in deliveries:
        arrived = simulators.messages(to=tokens[delivery["device_id"]])
        assert len(arrived) == (1 if delivery["state"] == "sent" else 0)
        if arrived and delivery["channel"] == "apns":
            assert arrived[0]["headers"]["apns-id"] == delivery["id"]
    kept = {row["id"] for row in json_of(as_alice.get("/devices"))["items"]}
    assert kept == {device_id for device_id, end in expected.items() if end == sent}


@pytest.mark.parametrize("transport", ["library", "curl"])
@pytest.mark.parametrize(
    ("channel", "change"),
    [("fcm", {"fcm_base_url": "http://127.0.0.1:1/v1/projects"}), ("apns", {"apns_url": "https://127.0.0.1:1"})],
)
def test_a_server_that_is_not_there_has_got_nothing(
    transport: str, channel: str, change: dict[str, Any], issuer: Issuer, simulators: Simulators
) -> None:
    provider = provider_of(channel, transport, issuer, simulators, **change)

    (result,) = provider.send([a_push(PLATFORM[channel])], until=time.monotonic() + 10)

    provider.close()
    assert result.outcome is Outcome.RETRY_AFTER


@pytest.mark.parametrize("channel", ["fcm", "apns"])
def test_a_slow_provider_gets_nothing_more_when_the_claim_is_nearly_over(
    channel: str, issuer: Issuer, simulators: Simulators
) -> None:
    """Each answer comes in time; a whole batch of them, one after the other, does not."""
    provider = provider_of(channel, "library", issuer, simulators)
    simulators.fault(channel, "delay", delay_s=0.5)
    until = time.monotonic() + 4

    results = provider.send([a_push(PLATFORM[channel]) for _ in range(12)], until=until)

    assert time.monotonic() < until
    provider.close()
    accepted = [result for result in results if result.outcome is Outcome.ACCEPTED]
    assert {result.outcome for result in results} == {Outcome.ACCEPTED, Outcome.POSTPONED}
    assert len(simulators.messages(channel=channel)) == len(accepted)


@pytest.mark.parametrize("transport", ["library", "curl"])
@pytest.mark.parametrize("channel", ["fcm", "apns"])
def test_nothing_is_sent_when_the_time_is_over(
    transport: str, channel: str, issuer: Issuer, simulators: Simulators
) -> None:
    provider = provider_of(channel, transport, issuer, simulators)

    (result,) = provider.send([a_push(PLATFORM[channel])], until=time.monotonic())

    provider.close()
    assert result.outcome is Outcome.POSTPONED
    assert simulators.messages(channel=channel) == []


def provider_of(channel: str, transport: str, issuer: Issuer, simulators: Simulators, **changes: Any) -> Provider[Push]:
    given = {"push_transport": transport, **changes}
    settings = settings_for(NOWHERE, "amqp://a:b@127.0.0.1:1/", issuer, simulators.credentials, **given)
    provider: Provider[Push] = getattr(channels, channel)(settings)
    return provider


def a_push(platform: str) -> Push:
    return Push(
        delivery_id=new_id(),
        message_id=new_id(),
        token=push_token(platform),
        app_id=None,
        environment="production",
        title="Hello",
        body="A message",
        data={},
        is_urgent=True,
        collapse_key=None,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )
