"""message.requested: any service may ask; however often it asks under one id, one message goes out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from deploy.local.simulators import Simulators
from services.notify.config import NotifySettings
from shared.contracts import MessageRequested, UserUpdated
from shared.ids import new_id
from shared.postgres import Database
from tests.notify.conftest import Client, json_of
from tests.support.people import Person
from tests.support.waiting import eventually

LINK = "https://app.example.com/auth/v1/verify?token_hash=s3cret-t0ken&type=signup"


def confirm_signup(message_id: UUID, **changes: Any) -> MessageRequested:
    params = {"name": "Zoë <b>", "link": LINK, "code": "123456"}
    fields: dict[str, Any] = {"email": "alice@example.com", "channels": ["email"], "template": "confirm_signup"}
    return MessageRequested(**{"message_id": message_id, "params": params, **fields, **changes})


def finished(as_sender: Client, message_id: UUID) -> list[dict[str, Any]]:
    def probe() -> Any:
        answer = as_sender.get(f"/messages/{message_id}")
        return answer.status_code == 200 and json_of(answer)["status"] == "finished"

    eventually(probe, what="the end of a message")
    return list(json_of(as_sender.get(f"/messages/{message_id}"))["deliveries"])


def test_a_confirmation_mail_is_readable_and_its_secrets_are_forgotten(
    running_worker: NotifySettings,
    publish: Callable[..., UUID],
    simulators: Simulators,
    as_sender: Client,
    db: Database,
    capsys: pytest.CaptureFixture[str],
) -> None:
    message_id = new_id()

    publish(confirm_signup(message_id))

    (mail,) = simulators.wait_for(1, channel="smtp", to="alice@example.com")
    assert mail["title"] == "Confirm your address"
    assert LINK in mail["mail"]["text"] and "123456" in mail["mail"]["text"]
    assert "Zoë <b>" in mail["mail"]["text"]
    assert "Zoë &lt;b&gt;" in mail["mail"]["html"] and "<b>" not in mail["mail"]["html"]
    assert "token_hash=s3cret-t0ken&amp;type=signup" in mail["mail"]["html"]
    assert mail["warnings"] == []
    (delivery,) = finished(as_sender, message_id)
    assert delivery["provider_id"] == mail["mail"]["message_id"] == f"<{delivery['id']}@gatehouse.example>"
    with db.transaction() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT params::text AS params FROM messages")
        rows: Any = cursor.fetchall()
    assert [row["params"] for row in rows] == ["{}"]
    assert "s3cret-t0ken" not in capsys.readouterr().out


def test_the_same_event_twice_and_the_same_message_under_two_events_are_one_mail(
    running_worker: NotifySettings, publish: Callable[..., UUID], simulators: Simulators, as_sender: Client
) -> None:
    message_id, last_id = new_id(), new_id()

    event_id = publish(confirm_signup(message_id))
    publish(confirm_signup(message_id), event_id=event_id)
    publish(confirm_signup(message_id))
    publish(confirm_signup(last_id, email="last@example.com"))

    finished(as_sender, last_id)
    finished(as_sender, message_id)
    assert len(simulators.messages(channel="smtp", to="alice@example.com")) == 1


def test_a_message_without_an_address_goes_to_the_confirmed_one(
    running_worker: NotifySettings,
    publish: Callable[..., UUID],
    simulators: Simulators,
    as_sender: Client,
    alice: Person,
) -> None:
    now = datetime.now(UTC)
    unconfirmed = UserUpdated(user_id=alice.user_id, email="alice@example.com", updated_at=now)
    publish(unconfirmed)
    before = _send_welcome(publish, as_sender, alice)

    later = {"email_confirmed_at": now, "updated_at": now + timedelta(seconds=1)}
    publish(unconfirmed.model_copy(update=later))
    eventually(lambda: _send_welcome(publish, as_sender, alice) == "accepted", what="a mail to the confirmed address")

    assert before == "no_target"
    assert simulators.messages(channel="smtp")[0]["title"] == "Welcome"


def _send_welcome(publish: Callable[..., UUID], as_sender: Client, alice: Person) -> str:
    message_id = new_id()
    publish(MessageRequested(message_id=message_id, user_id=alice.user_id, channels=["email"], template="welcome"))
    return str(finished(as_sender, message_id)[0]["outcome"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"template": "no_such_template"}, "no_such_template"),
        ({"template": "../../etc/passwd"}, "no valid name"),
        ({"params": {"link": LINK}}, "parameter code is missing"),
        ({"email": "nobody"}, "not a mail"),
        ({"email": "a@example.com\r\nRCPT TO:<b@example.com>"}, "not a mail"),
        ({"email": "a@example.com, b@example.com"}, "not a mail"),
        ({"email": "Alice <a@example.com>"}, "not a mail"),
    ],
)
def test_what_cannot_be_a_mail_fails_and_says_why(
    running_worker: NotifySettings,
    publish: Callable[..., UUID],
    simulators: Simulators,
    as_sender: Client,
    changes: dict[str, Any],
    reason: str,
) -> None:
    message_id = new_id()

    publish(confirm_signup(message_id, **changes))

    (delivery,) = finished(as_sender, message_id)
    assert (delivery["state"], delivery["outcome"]) == ("failed", "bad_request")
    assert reason in delivery["reason"]
    assert "s3cret" not in delivery["reason"]
    assert simulators.messages(outcome="all") == []


def test_a_code_does_not_go_to_a_locked_screen(
    running_worker: NotifySettings, publish: Callable[..., UUID], as_alice: Client, as_sender: Client, alice: Person
) -> None:
    as_alice.register()
    message_id = new_id()

    publish(confirm_signup(message_id, user_id=alice.user_id, channels=["push"]))

    (delivery,) = finished(as_sender, message_id)
    assert (delivery["outcome"], delivery["channel"]) == ("bad_request", "fcm")


def test_a_message_past_its_time_is_not_sent(
    running_worker: NotifySettings, publish: Callable[..., UUID], simulators: Simulators, as_sender: Client
) -> None:
    message_id = new_id()

    publish(confirm_signup(message_id, expires_at=datetime.now(UTC) - timedelta(seconds=1)))

    (delivery,) = finished(as_sender, message_id)
    assert (delivery["state"], delivery["outcome"]) == ("failed", "expired")
    assert simulators.messages(outcome="all") == []
