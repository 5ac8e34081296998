"""user.merged and user.deletion_requested: a profile goes."""

from datetime import UTC, datetime
from uuid import UUID

from services.profile import events, store
from shared.contracts import UserDeletionRequested, UserMerged
from shared.postgres import Database
from tests.profile.conftest import Client

ME = "/profile/v1/me"


def _has_profile(db: Database, user_id: UUID) -> bool:
    with db.transaction() as conn:
        return store.get_profile(conn, user_id) is not None


def test_the_guests_profile_goes_and_the_accounts_stays_as_it_is(
    db: Database, as_alice: Client, as_mallory: Client
) -> None:
    kept, guest = as_alice.person.user_id, as_mallory.person.user_id
    before = as_alice.get(ME).json
    as_mallory.get(ME)
    event = UserMerged(user_id=kept, merged_user_id=guest, merged_at=datetime.now(UTC))
    for _ in range(2):
        with db.transaction() as conn:
            events.drop_guest_profile(conn, event)
    assert not _has_profile(db, guest)
    assert as_alice.get(ME).json == before


def test_the_profile_of_somebody_who_goes_goes_too(db: Database, as_alice: Client, as_mallory: Client) -> None:
    as_alice.get(ME)
    as_mallory.get(ME)
    event = UserDeletionRequested(
        user_id=as_mallory.person.user_id, reason="guest_gone", requested_at=datetime.now(UTC)
    )
    with db.transaction() as conn:
        events.drop_profile(conn, event)
    assert not _has_profile(db, as_mallory.person.user_id)
    assert _has_profile(db, as_alice.person.user_id)
