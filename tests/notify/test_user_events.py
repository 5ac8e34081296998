"""user.registered, user.updated, profile.updated: contacts come together whatever the order of the events."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.notify import events
from services.notify.config import NotifySettings
from shared.contracts import Event, ProfileUpdated, UserRegistered, UserUpdated
from shared.ids import new_id
from shared.postgres import Database
from tests.support.waiting import eventually

T0, HOUR = datetime(2026, 1, 1, 12, tzinfo=UTC), timedelta(hours=1)


def contact(db: Database, user_id: UUID) -> dict[str, Any]:
    sql = "SELECT email, email_confirmed_at, display_name, locale, timezone FROM contacts WHERE user_id = %(id)s"
    with db.transaction() as conn, conn.cursor() as cursor:
        cursor.execute(sql, {"id": user_id})
        row: Any = cursor.fetchone()
        return dict(row or {})


def handle(db: Database, event: Event) -> None:
    handlers: dict[type[Event], Callable[..., None]] = {
        UserRegistered: events.add_contact,
        UserUpdated: events.update_contact,
        ProfileUpdated: events.update_profile,
    }
    with db.transaction() as conn:
        handlers[type(event)](conn, event)


def test_every_order_of_events_ends_in_the_same_contact(db: Database) -> None:
    for order in itertools.permutations(range(5)):
        user_id = new_id()
        told: list[Event] = [
            UserRegistered(user_id=user_id, email="old@example.com", locale="de", created_at=T0),
            UserUpdated(user_id=user_id, email="old@example.com", email_confirmed_at=T0, updated_at=T0 + HOUR),
            UserUpdated(user_id=user_id, email="new@example.com", email_confirmed_at=T0, updated_at=T0 + 2 * HOUR),
            ProfileUpdated(user_id=user_id, display_name="Al", locale="fr", timezone=None, version=1),
            ProfileUpdated(user_id=user_id, display_name="Alice", locale="pt-BR", timezone="Europe/Lisbon", version=2),
        ]

        for index in order:
            handle(db, told[index])

        assert contact(db, user_id) == {
            "email": "new@example.com",
            "email_confirmed_at": T0,
            "display_name": "Alice",
            "locale": "pt-BR",
            "timezone": "Europe/Lisbon",
        }, order


def test_a_confirmation_at_the_instant_of_the_sign_up_counts(db: Database) -> None:
    user_id = new_id()
    registered = UserRegistered(user_id=user_id, email="a@example.com", created_at=T0)
    updated = UserUpdated(user_id=user_id, email="a@example.com", email_confirmed_at=T0, updated_at=T0)

    for order in ([registered, updated], [updated, registered]):
        for event in order:
            handle(db, event)

        assert contact(db, user_id)["email_confirmed_at"] == T0


def test_events_reach_the_contact_through_the_broker(
    db: Database, publish: Callable[..., UUID], running_worker: NotifySettings
) -> None:
    user_id = new_id()

    publish(UserRegistered(user_id=user_id, email="alice@example.com", created_at=T0))
    publish(ProfileUpdated(user_id=user_id, display_name="Alice", version=1))

    eventually(lambda: contact(db, user_id).get("display_name") == "Alice", what="the name")
    assert contact(db, user_id)["email"] == "alice@example.com"
