"""What the data service does when something happens elsewhere."""

from services.data import store
from services.data.mongo import Connection
from shared.bus import Consumer
from shared.contracts import UserRegistered


def subscribe(consumer: Consumer) -> None:
    """Say which events the service wants."""
    consumer.on(UserRegistered)(create_private_space)


def create_private_space(conn: Connection, event: UserRegistered) -> None:
    """Make the person's space, unless a first request was faster."""
    store.upsert_private_space(conn, event.user_id)
