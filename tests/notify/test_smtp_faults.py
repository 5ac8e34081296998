"""The mail relay unwell or strict: the right outcome, nothing lost, nothing repeated but under the same Message-ID."""

from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.local.simulators import Simulators
from services.notify import channels, events
from services.notify.config import NotifySettings
from services.notify.providers import Mail, Result
from shared.contracts import UserUpdated
from shared.ids import new_id
from shared.postgres import Database
from tests.notify.conftest import Client, settings_for
from tests.support.issuer import Issuer
from tests.support.people import Person


@pytest.fixture(autouse=True)
def _alice_has_an_address(db: Database, alice: Person) -> None:
    now = datetime.now(UTC)
    with db.transaction() as conn:
        events.update_contact(
            conn,
            UserUpdated(user_id=alice.user_id, email="alice@example.com", email_confirmed_at=now, updated_at=now),
        )


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 451},
        {"kind": "status", "status": 421},
        {"kind": "reset"},
        {"kind": "reset", "after_accept": True},
        {"kind": "delay", "delay_s": 3},
    ],
)
def test_an_outage_is_retried_until_it_is_over(
    fault: dict[str, Any], as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    simulators.fault("smtp", count=1, **fault)

    (delivery,) = as_sender.finished(as_sender.send(alice, channels=["email"]))

    assert (delivery["state"], delivery["outcome"]) == ("sent", "accepted")
    arrived = simulators.messages(channel="smtp")
    assert {mail["mail"]["message_id"] for mail in arrived} == {f"<{delivery['id']}@gatehouse.example>"}
    if not fault.get("after_accept") and fault["kind"] != "delay":
        assert len(arrived) == 1


def test_a_mailbox_that_does_not_exist_is_not_tried_again(
    as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    simulators.fault("smtp", "bounce")

    (delivery,) = as_sender.finished(as_sender.send(alice, channels=["email"]))

    assert (delivery["state"], delivery["outcome"], delivery["reason"]) == ("failed", "bad_request", "smtp_550")
    assert delivery["attempts"] == 1


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({"smtp_username": "gatehouse", "smtp_password": "wrong"}, "credentials", "smtp_535"),
        ({"smtp_port": 1}, "retry_after", "unreachable: ConnectionRefusedError"),
        ({"smtp_ca_file": None}, "retry_after", "unreachable: SSLCertVerificationError"),
    ],
)
def test_a_relay_that_cannot_be_used_is_named(
    changes: dict[str, Any], outcome: str, reason: str, issuer: Issuer, simulators: Simulators
) -> None:
    (result,) = send_one(issuer, simulators, **changes)

    assert (result.outcome, result.reason) == (outcome, reason)


def test_a_log_in_works(issuer: Issuer, simulators: Simulators) -> None:
    (result,) = send_one(issuer, simulators, smtp_username="gatehouse", smtp_password="right")

    assert result.outcome == "accepted"
    assert len(simulators.messages(channel="smtp", to="bo@example.com")) == 1


def send_one(issuer: Issuer, simulators: Simulators, **changes: Any) -> list[Result]:
    nowhere = ("postgresql://a:b@127.0.0.1:1/c", "amqp://a:b@127.0.0.1:1/")
    settings = settings_for(*nowhere, issuer, simulators.credentials, **changes)
    return channels.email(settings).send([Mail(new_id(), "bo@example.com", "Hello", "Hello", "<p>Hello</p>")])
