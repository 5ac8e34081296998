"""user.merged and user.deletion_requested: devices move to the account, or go."""

from datetime import UTC, datetime

import pytest

from services.notify import events
from shared.contracts import SessionRevoked, UserDeletionRequested, UserMerged
from shared.postgres import Connection, Database, execute
from tests.notify.conftest import Client, json_of
from tests.support.people import Person


def _merged(conn: Connection, guest: Person, kept: Person) -> None:
    events.move_devices(
        conn, UserMerged(user_id=kept.user_id, merged_user_id=guest.user_id, merged_at=datetime.now(UTC))
    )


def _ended(conn: Connection, guest: Person, kept: Person) -> None:
    event = SessionRevoked(
        session_id=guest.session_id,
        user_id=guest.user_id,
        reason="ended_by_user",
        revoked_at=datetime.now(UTC),
        continued_by=kept.session_id,
    )
    events.forget_devices_of_session(conn, event)


@pytest.mark.parametrize("order", [(_merged, _ended), (_ended, _merged), (_ended, _merged, _ended, _merged)])
def test_the_guests_device_goes_on_under_the_accounts_session_in_whatever_order_events_come(
    db: Database, as_alice: Client, as_mallory: Client, alice: Person, mallory: Person, order: tuple
) -> None:
    device = as_mallory.register()
    for handle in order:
        with db.transaction() as conn:
            handle(conn, mallory, alice)
    assert json_of(as_mallory.get("/devices"))["items"] == []
    assert [row["id"] for row in json_of(as_alice.get("/devices"))["items"]] == [device["id"]]
    with db.transaction() as conn:
        assert execute(conn, "SELECT 1 FROM devices WHERE session_id = %(id)s", {"id": alice.session_id}) == 1


def test_where_the_session_that_goes_on_has_ended_too_the_device_goes(
    db: Database, as_alice: Client, as_mallory: Client, alice: Person, mallory: Person
) -> None:
    as_mallory.register()
    with db.transaction() as conn:
        _ended(conn, alice, alice)
        _ended(conn, mallory, alice)
        _merged(conn, mallory, alice)
    assert json_of(as_alice.get("/devices"))["items"] == []


def test_of_somebody_who_goes_nothing_stays(
    db: Database, as_alice: Client, as_mallory: Client, mallory: Person
) -> None:
    as_alice.register()
    as_mallory.register()
    event = UserDeletionRequested(user_id=mallory.user_id, reason="guest_gone", requested_at=datetime.now(UTC))
    with db.transaction() as conn:
        events.forget_person(conn, event)
    assert json_of(as_mallory.get("/devices"))["items"] == []
    assert len(json_of(as_alice.get("/devices"))["items"]) == 1
    with db.transaction() as conn:
        assert execute(conn, "SELECT 1 FROM contacts WHERE user_id = %(id)s", {"id": mallory.user_id}) == 0
