"""What the data service does when something happens elsewhere."""

from services.data import store
from services.data.inbox import MongoInbox
from services.data.mongo import Connection, Database
from shared.bus import Consumer
from shared.contracts import UserRegistered


def consumer(amqp_url: str, db: Database) -> Consumer:
    """The service's queues, with their handlers."""
    made = Consumer("data", amqp_url, MongoInbox(db))
    made.on(UserRegistered)(create_private_space)
    return made


def create_private_space(conn: Connection, event: UserRegistered) -> None:
    """Make the person's space, unless a first request was faster."""
    store.upsert_private_space(conn, event.user_id)
