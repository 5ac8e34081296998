"""user.merged and user.deletion_requested: a guest's documents become the account's, or go."""

from datetime import UTC, datetime

import pytest

from services.data import events
from services.data.mongo import Connection, Database
from shared.contracts import UserDeletionRequested, UserMerged
from shared.ids import new_id
from tests.data.conftest import Client, note, row


def _merge(db: Database, kept: Client, guest: Client) -> None:
    event = UserMerged(user_id=kept.person.user_id, merged_user_id=guest.person.user_id, merged_at=datetime.now(UTC))
    db.transact(lambda conn: events.move_documents(conn, event))


def _count(db: Database, collection: str, **where: object) -> int:
    with db.connection() as conn:
        return conn[collection].count_documents(where)


def test_the_guests_documents_are_pulled_as_the_accounts(db: Database, as_alice: Client, as_mallory: Client) -> None:
    own, brought, both = new_id(), new_id(), new_id()
    as_alice.put(note(own), {"text": "of the account"})
    as_alice.put(note(both), {"text": "as the account has it"})
    _, checkpoint = as_alice.pull_all()
    as_mallory.put(note(brought), {"text": "of the guest"})
    as_mallory.put(note(both), {"text": "as the guest had it"})
    gone = new_id()
    as_mallory.put(note(gone), {"text": "deleted"})
    as_mallory.delete(note(gone))
    guests_space = as_mallory.space_id()

    _merge(db, as_alice, as_mallory)

    changes, _ = as_alice.pull_all(checkpoint)
    assert [(change["id"], change["document"]) for change in changes] == [(str(brought), {"text": "of the guest"})]
    assert as_alice.get(note(both)).json["document"] == {"text": "as the account has it"}
    assert as_alice.get(note(gone)).status_code == 404
    assert _count(db, "documents", space_id=guests_space) == 0
    assert _count(db, "spaces", owner_id=as_mallory.person.user_id) == 0


def test_a_second_time_changes_nothing(db: Database, as_alice: Client, as_mallory: Client) -> None:
    as_mallory.put(note(), {"n": 1})
    _merge(db, as_alice, as_mallory)
    _, checkpoint = as_alice.pull_all()
    _merge(db, as_alice, as_mallory)
    assert as_alice.pull_all(checkpoint)[0] == []


def test_more_documents_than_one_batch_all_move_in_their_order(
    db: Database, as_alice: Client, as_mallory: Client
) -> None:
    ids = [new_id() for _ in range(450)]
    for start in range(0, 450, 90):
        answer = as_mallory.push(*(row(each, {"n": start + n}) for n, each in enumerate(ids[start : start + 90])))
        assert answer.status_code == 200
    _merge(db, as_alice, as_mallory)
    changes, _ = as_alice.pull_all()
    assert [change["document"]["n"] for change in changes] == list(range(450))


def test_others_are_told_where_the_space_is_now(db: Database, as_alice: Client, as_mallory: Client) -> None:
    as_mallory.put(note(), {"n": 1})
    _merge(db, as_alice, as_mallory)
    with db.connection() as conn:
        last = conn["outbox"].find_one(sort=[("_id", -1)])
    assert last is not None and as_alice.space_id() in last["envelope"] and "data.changed" in last["envelope"]


def test_if_one_cannot_be_moved_none_is(db: Database, as_alice: Client, as_mallory: Client) -> None:
    as_mallory.put(note(), {"n": 1})
    event = UserMerged(
        user_id=as_alice.person.user_id, merged_user_id=as_mallory.person.user_id, merged_at=datetime.now(UTC)
    )

    def move_and_fail(conn: Connection) -> None:
        events.move_documents(conn, event)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        db.transact(move_and_fail)
    assert len(as_mallory.pull_all()[0]) == 1
    assert as_alice.pull_all()[0] == []


def test_of_somebody_who_goes_nothing_stays(db: Database, as_alice: Client, as_mallory: Client) -> None:
    as_alice.put(note(), {"n": 1})
    as_mallory.put(note(), {"n": 2})
    space_id = as_mallory.space_id()
    event = UserDeletionRequested(
        user_id=as_mallory.person.user_id, reason="guest_gone", requested_at=datetime.now(UTC)
    )
    db.transact(lambda conn: events.delete_documents(conn, event))
    assert _count(db, "spaces", owner_id=as_mallory.person.user_id) == 0
    assert _count(db, "documents", space_id=space_id) == 0
    assert len(as_alice.pull_all()[0]) == 1
