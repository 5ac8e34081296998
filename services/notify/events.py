"""What notify consumes: what others say of people and sessions, and messages to plan.

message.requested, or POST /messages → messages row + message.accepted
message.accepted → planner: a page of deliveries + delivery.queued_<channel> → a sender
"""

from services.notify import planner, store
from services.notify.contracts import MessageAccepted
from shared import outbox
from shared.bus import Consumer
from shared.contracts import (
    MessageRequested,
    ProfileUpdated,
    SessionRevoked,
    UserDeletionRequested,
    UserMerged,
    UserRegistered,
    UserUpdated,
)
from shared.postgres import Connection
from shared.tokens import LEEWAY_S, TOKEN_LIFETIME_S

DEFAULT_TTL_S = 7 * 24 * 3600


def subscribe(consumer: Consumer) -> None:
    """Tie each event to its handler."""
    consumer.on(UserRegistered)(add_contact)
    consumer.on(UserUpdated)(update_contact)
    consumer.on(UserMerged)(move_devices)
    consumer.on(UserDeletionRequested)(forget_person)
    consumer.on(ProfileUpdated)(update_profile)
    consumer.on(SessionRevoked)(forget_devices_of_session)
    consumer.on(MessageRequested)(accept_message)
    consumer.on(MessageAccepted)(plan_message)


def add_contact(conn: Connection, event: UserRegistered) -> None:
    store.insert_account(conn, event.user_id, email=event.email, locale=event.locale, at=event.created_at)


def update_contact(conn: Connection, event: UserUpdated) -> None:
    store.put_account(
        conn,
        event.user_id,
        email=event.email,
        email_confirmed_at=event.email_confirmed_at,
        at=event.updated_at,
    )


def update_profile(conn: Connection, event: ProfileUpdated) -> None:
    store.put_profile(
        conn,
        event.user_id,
        display_name=event.display_name,
        locale=event.locale,
        timezone=event.timezone,
        version=event.version,
    )


def forget_devices_of_session(conn: Connection, event: SessionRevoked) -> None:
    """The session is remembered while its last access token could still register a device.

    Where another session goes on in its place (a guest's, merged into an account), its devices do too.
    """
    store.lock_registration(conn, event.session_id, *filter(None, [event.continued_by]))
    store.insert_revoked_session(conn, event.session_id, remember_s=TOKEN_LIFETIME_S + LEEWAY_S + 60)
    if event.continued_by is not None and not store.is_session_revoked(conn, event.continued_by):
        store.update_session_of_devices(conn, event.session_id, event.continued_by)
    store.delete_devices_of_session(conn, event.session_id)


def move_devices(conn: Connection, event: UserMerged) -> None:
    """A guest's devices become the account's; what was known of the guest goes."""
    store.update_owner_of_devices(conn, event.merged_user_id, event.user_id)
    store.delete_contact(conn, event.merged_user_id)


def forget_person(conn: Connection, event: UserDeletionRequested) -> None:
    store.delete_devices_of_user(conn, event.user_id)
    store.delete_contact(conn, event.user_id)


def accept_message(conn: Connection, event: MessageRequested) -> None:
    """However often a message is requested under one id, it is one message."""
    fields = event.model_dump(exclude={"message_id"})
    message = store.insert_message(conn, {"id": event.message_id, "ttl_s": DEFAULT_TTL_S, **fields})
    if message:
        outbox.add(conn, MessageAccepted(message_id=message.id))


def plan_message(conn: Connection, event: MessageAccepted) -> None:
    planner.plan(conn, event.message_id, after=event.after)
