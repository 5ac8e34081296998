"""session.revoked: devices end with their session, and a late registration does not bring one back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

from services.notify import events
from shared.contracts import SessionRevoked
from shared.ids import new_id
from shared.postgres import Database
from tests.notify.conftest import Client, json_of, push_token
from tests.support.people import Person


def revoke(db: Database, person: Person, session_id: UUID | None = None) -> None:
    event = SessionRevoked(
        session_id=session_id or person.session_id,
        user_id=person.user_id,
        reason="logout",
        revoked_at=datetime.now(UTC),
    )
    with db.transaction() as conn:
        events.forget_devices_of_session(conn, event)


def test_devices_of_the_session_go_and_others_stay(
    db: Database, as_alice: Client, as_mallory: Client, alice: Person
) -> None:
    as_alice.register()
    as_alice.register("ios")
    as_mallory.register()

    revoke(db, alice)
    revoke(db, alice)

    assert json_of(as_mallory.get("/devices"))["items"] != []
    assert json_of(as_alice.get("/devices"))["items"] == []


def test_a_registration_that_comes_after_the_revocation_is_refused(
    db: Database, as_alice: Client, alice: Person
) -> None:
    revoke(db, alice)

    answer = as_alice.put(f"/devices/{new_id()}", {"platform": "android", "token": push_token("android")})

    assert (answer.status_code, json_of(answer)["code"]) == (401, "session_revoked")
    assert json_of(as_alice.get("/devices"))["items"] == []


def test_a_device_that_moved_to_another_session_stays(
    db: Database, as_alice: Client, as_mallory: Client, alice: Person
) -> None:
    device = as_alice.register()
    as_mallory.put(f"/devices/{device['id']}", {"platform": "android", "token": device["token"]})

    revoke(db, alice)

    assert [row["id"] for row in json_of(as_mallory.get("/devices"))["items"]] == [device["id"]]


def test_registrations_that_race_with_the_revocation_leave_no_device(
    db: Database, as_alice: Client, alice: Person
) -> None:
    def register(number: int) -> int:
        if number == 10:
            revoke(db, alice)
            return 401
        body = {"platform": "android", "token": push_token("android")}
        return as_alice.put(f"/devices/{new_id()}", body).status_code

    with ThreadPoolExecutor(6) as pool:
        answers = set(pool.map(register, range(30)))

    assert answers <= {201, 401}
    assert json_of(as_alice.get("/devices"))["items"] == []
