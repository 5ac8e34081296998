"""Periodic work: queue again what the broker lost, delete what is out of date, measure the queue."""

from services.notify import planner, store
from services.notify.contracts import QUEUED, MessageAccepted
from services.notify.metrics import QUEUE_AGE
from shared import outbox
from shared.postgres import Database

# Longer than a queue is usually behind: a delivery that is named twice there costs one query, no second sending.
OVERDUE_S = 600
LIMIT = 1_000
BATCH = 500  # rows of a kind in one transaction of deletions
KEY_LIFETIME_S = 24 * 3600  # MESSAGE_RETENTION_S is longer: a key never outlives the message it names


def queue_strays(db: Database, *, overdue_s: float = OVERDUE_S) -> int:
    """Queue messages and deliveries again that have been due for long: only a broker that lost data leaves such."""
    with db.transaction() as conn:
        deliveries = store.take_strays(conn, overdue_s=overdue_s, limit=LIMIT)
        planner.queue(conn, deliveries)
        unplanned = store.take_unplanned(conn, overdue_s=overdue_s, limit=LIMIT)
        outbox.add(conn, *(MessageAccepted(message_id=message_id) for message_id in unplanned))
    return len(deliveries) + len(unplanned)


def delete_old(db: Database, *, retention_s: int, batch: int = BATCH) -> int:
    """Delete what is out of date until nothing is left, a batch of each kind a transaction; how many rows.

    Messages stay `retention_s` seconds after their last delivery has finished; unfinished ones stay.
    """
    deleted = 0
    while True:
        with db.transaction() as conn:
            batches = [
                store.delete_past_revoked_sessions(conn, limit=batch),
                store.delete_old_keys(conn, older_than_s=KEY_LIFETIME_S, limit=batch),
                store.delete_finished_messages(conn, older_than_s=retention_s, limit=batch),
            ]
        deleted += sum(batches)
        if max(batches) < batch:
            return deleted


def measure(db: Database) -> None:
    with db.transaction() as conn:
        ages = {row.channel: row.age_s for row in store.list_ages(conn)}
    for channel in QUEUED:
        QUEUE_AGE.labels(channel).set(ages.get(channel, 0))
