"""What the profile service does when something happens elsewhere."""

from dataclasses import asdict

from services.profile import store
from services.profile.fields import locale_or_none
from shared import outbox
from shared.bus import Consumer
from shared.contracts import ProfileUpdated, UserDeletionRequested, UserMerged, UserRegistered
from shared.postgres import Connection


def subscribe(consumer: Consumer) -> None:
    """Say which events the service wants."""
    consumer.on(UserRegistered)(create_profile)
    consumer.on(UserMerged)(drop_guest_profile)
    consumer.on(UserDeletionRequested)(drop_profile)


def create_profile(conn: Connection, event: UserRegistered) -> None:
    """Make the profile, unless a first GET was faster; a language chosen at sign-up fills an empty one."""
    profile = store.upsert_profile(conn, event.user_id, locale_or_none(event.locale))
    if profile.locale is not None:
        outbox.add(conn, ProfileUpdated(**asdict(profile)))


def drop_guest_profile(conn: Connection, event: UserMerged) -> None:
    """The account's own profile is the one that stays."""
    store.delete_profile(conn, event.merged_user_id)


def drop_profile(conn: Connection, event: UserDeletionRequested) -> None:
    store.delete_profile(conn, event.user_id)
