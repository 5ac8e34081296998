"""PUSH_TRANSPORT=library: the packages' own transports give the same outcomes."""

from collections.abc import Callable
from typing import Any

import pytest

from deploy.local.simulators import Simulators
from services.notify.config import NotifySettings
from tests.notify.conftest import Client, json_of, running
from tests.support.people import Person

PLATFORM = {"fcm": "android", "apns": "ios"}


@pytest.mark.parametrize("channel", ["fcm", "apns"])
@pytest.mark.parametrize(
    ("fault", "state", "outcome"),
    [
        (None, "sent", "accepted"),
        ({"kind": "status", "status": 429, "retry_after_s": 1, "count": 1}, "sent", "accepted"),
        ({"kind": "status", "status": 500, "count": 1}, "sent", "accepted"),
        ({"kind": "reset", "count": 1}, "sent", "accepted"),
        ({"kind": "unregistered"}, "failed", "unregistered"),
    ],
)
def test_the_same_outcome_as_by_curl(
    channel: str,
    fault: dict[str, Any] | None,
    state: str,
    outcome: str,
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    as_alice.register(PLATFORM[channel])
    if fault:
        simulators.fault(channel, **fault)

    with running(worker_settings(push_transport="library")):
        (delivery,) = as_sender.finished(as_sender.send(alice, data={"room": "7"}))

    assert (delivery["state"], delivery["outcome"]) == (state, outcome)
    assert (json_of(as_alice.get("/devices"))["items"] == []) == (outcome == "unregistered")
    arrived = simulators.messages(channel=channel)
    assert len(arrived) == (1 if state == "sent" else 0)
    if channel == "apns" and arrived:
        assert arrived[0]["headers"]["apns-id"] == delivery["id"]


@pytest.mark.parametrize(
    "change", [{"fcm_base_url": "http://127.0.0.1:1/v1/projects"}, {"apns_url": "https://127.0.0.1:1"}]
)
def test_a_server_that_is_not_there_has_got_nothing(
    change: dict[str, Any],
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    as_alice.register("android" if "fcm_base_url" in change else "ios")

    for transport in ("library", "curl"):
        with running(worker_settings(push_transport=transport, send_max_attempts=1, **change)):
            (delivery,) = as_sender.finished(as_sender.send(alice))

        assert (delivery["state"], delivery["outcome"]) == ("failed", "retry_after")
