"""Forgets tombstones that every phone which may still sync has been told of."""

from datetime import timedelta
from functools import partial
from itertools import groupby

from prometheus_client import Counter

from services.data import store
from services.data.mongo import Database

BATCH = 200
PURGED = Counter("data_tombstones_purged", "Tombstones forgotten after their retention")


def purge(db: Database, retention: timedelta) -> int:
    """Delete every tombstone older than `retention`, in small transactions, one space at a time; how many went."""
    purged = 0
    while True:
        with db.connection() as conn:
            batch = store.list_old_tombstones(conn, retention, BATCH)
        for space_id, tombstones in groupby(sorted(batch, key=lambda t: t.space_id), key=lambda t: t.space_id):
            of_space = list(tombstones)
            count = db.transact(partial(store.delete_tombstones, space_id=space_id, tombstones=of_space))
            PURGED.inc(count)
            purged += count
        if len(batch) < BATCH:
            return purged
