"""What the profile service does when something happens elsewhere."""

from dataclasses import asdict

from services.profile import store
from services.profile.fields import locale_or_none
from shared import outbox
from shared.bus import Consumer
from shared.contracts import ProfileUpdated, UserRegistered
from shared.inbox import PostgresInbox
from shared.postgres import Connection, Database


def consumer(amqp_url: str, db: Database) -> Consumer:
    """The service's queues, with their handlers."""
    made = Consumer("profile", amqp_url, PostgresInbox(db))
    made.on(UserRegistered)(create_profile)
    return made


def create_profile(conn: Connection, event: UserRegistered) -> None:
    """Make the profile, unless a first GET was faster; a language chosen at sign-up fills an empty one."""
    profile = store.upsert_profile(conn, event.user_id, locale_or_none(event.locale))
    if profile.locale is not None:
        outbox.add(conn, ProfileUpdated(**asdict(profile)))
