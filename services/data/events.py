"""What the data service does when something happens elsewhere."""

from services.data import outbox, store, takeover
from services.data.mongo import Connection
from shared.bus import Consumer
from shared.contracts import DataChanged, UserDeletionRequested, UserMerged, UserRegistered


def subscribe(consumer: Consumer) -> None:
    """Say which events the service wants."""
    consumer.on(UserRegistered)(create_private_space)
    consumer.on(UserMerged)(move_documents)
    consumer.on(UserDeletionRequested)(delete_documents)


def create_private_space(conn: Connection, event: UserRegistered) -> None:
    """Make the person's space, unless a first request was faster."""
    store.upsert_private_space(conn, event.user_id)


def move_documents(conn: Connection, event: UserMerged) -> None:
    """What a guest wrote becomes the account's, newer than all that was there, so that its devices pull it."""
    moved = takeover.move_private_documents(conn, event.merged_user_id, event.user_id)
    if moved:
        collections = sorted({document.collection for document in moved})
        outbox.add(conn, DataChanged(space_id=moved[-1].space_id, seq=moved[-1].revision, collections=collections))


def delete_documents(conn: Connection, event: UserDeletionRequested) -> None:
    takeover.delete_private_space(conn, event.user_id)
