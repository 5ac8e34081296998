"""The outbox in MongoDB: an event is written in the transaction that makes it true; `shared.relay` brings it away."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from bson import ObjectId
from pymongo import ReplaceOne, UpdateOne
from pymongo.change_stream import CollectionChangeStream
from pymongo.errors import PyMongoError

from services.data.mongo import Connection, Database, Row
from shared import trace
from shared.contracts import Envelope, Event
from shared.errors import Unavailable
from shared.held import Held

HOLD = timedelta(seconds=20)  # longer than the publisher waits for the broker
FREE = datetime.fromtimestamp(0, UTC)


def add(conn: Connection, *events: Event) -> None:
    """Write events in the caller's transaction."""
    for event in events:
        envelope = Envelope.of(event, traceparent=trace.traceparent.get())
        row = {
            "_id": envelope.id,
            "envelope": envelope.model_dump_json(),
            "created_at": envelope.time,
            "held_until": FREE,
        }
        conn["outbox"].insert_one(row, session=conn.session)


class MongoSource:
    """The `outbox` collection; a change stream wakes the relay.

    Several relays may run: each holds the rows it has taken. What a relay held when it died is free after 20 seconds,
    and perhaps published twice.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stream: CollectionChangeStream[Row] | None = None

    @contextmanager
    def batch(self, limit: int) -> Iterator[Held]:
        holder = ObjectId()
        with self._database.connection() as conn:
            rows = _hold(conn, holder, limit)
        try:
            held = Held(Envelope.model_validate_json(row["envelope"]) for row in rows)
            yield held
        except BaseException:
            with self._database.connection() as conn:
                conn["outbox"].update_many({"held_by": holder}, {"$set": {"held_until": FREE}})
            raise
        if rows:
            with self._database.connection() as conn:
                _keep_aside(conn, held.unread)
                conn["outbox"].delete_many({"_id": {"$in": [row["_id"] for row in rows]}})

    def unread(self) -> dict[str, int]:
        with self._database.connection() as conn:
            groups = conn["outbox_unread"].aggregate([{"$group": {"_id": "$type", "count": {"$sum": 1}}}])
            return {group["_id"]: group["count"] for group in groups}

    def release(self, event_types: Collection[str], limit: int) -> int:
        """Inserted there before they are deleted here: what is interrupted in between is published twice."""
        with self._database.connection() as conn:
            wanted = {"type": {"$in": list(event_types)}}
            rows = list(conn["outbox_unread"].find(wanted, sort=[("_id", 1)], limit=limit))
            if rows:
                conn["outbox"].bulk_write([_put_back(row) for row in rows])
                conn["outbox_unread"].delete_many({"_id": {"$in": [row["_id"] for row in rows]}})
            return len(rows)

    def wait(self, timeout_s: float) -> bool:
        try:
            if self._stream is None:
                self._stream = self._watch(timeout_s)
                return True  # what was added before we watched was not announced to us
            return self._stream.try_next() is not None
        except (PyMongoError, Unavailable):
            self._stream = None
            time.sleep(min(timeout_s, 0.5))
            return True

    def lag_s(self) -> float:
        with self._database.connection() as conn:
            oldest = conn["outbox"].find_one({}, {"created_at": 1}, sort=[("created_at", 1)])
        if oldest is None:
            return 0.0
        created_at: datetime = oldest["created_at"]
        return max((datetime.now(UTC) - created_at).total_seconds(), 0.0)

    def _watch(self, timeout_s: float) -> CollectionChangeStream[Row]:
        pipeline: list[Row] = [{"$match": {"operationType": "insert"}}, {"$project": {"_id": 1}}]
        with self._database.connection() as conn:
            return conn["outbox"].watch(pipeline, max_await_time_ms=int(timeout_s * 1000))


def _keep_aside(conn: Connection, envelopes: Collection[Envelope]) -> None:
    """Kept before it is forgotten; a second time, after a death in between, changes nothing."""
    kept = [
        ReplaceOne(
            {"_id": envelope.id},
            {"type": envelope.type, "envelope": envelope.model_dump_json(), "created_at": envelope.time},
            upsert=True,
        )
        for envelope in envelopes
    ]
    if kept:
        conn["outbox_unread"].bulk_write(kept)


def _put_back(row: Row) -> UpdateOne:
    free = {"envelope": row["envelope"], "created_at": row["created_at"], "held_until": FREE}
    return UpdateOne({"_id": row["_id"]}, {"$setOnInsert": free}, upsert=True)


def _hold(conn: Connection, holder: ObjectId, limit: int) -> list[Row]:
    """Take the oldest free rows. A row that another relay takes at the same moment is left to it."""
    ids = _free_ids(conn, limit)
    if not ids and _release_expired(conn):
        ids = _free_ids(conn, limit)
    if not ids:
        return []
    hold = {"$set": {"held_until": datetime.now(UTC) + HOLD, "held_by": holder}}
    conn["outbox"].update_many({"_id": {"$in": ids}, "held_until": FREE}, hold)
    return list(conn["outbox"].find({"held_by": holder}, sort=[("_id", 1)]))


def _free_ids(conn: Connection, limit: int) -> list[UUID]:
    rows = conn["outbox"].find({"held_until": FREE}, {"_id": 1}, sort=[("_id", 1)], limit=limit)
    return [row["_id"] for row in rows]


def _release_expired(conn: Connection) -> bool:
    """Free what was held for too long: its relay is dead."""
    expired = {"held_until": {"$gt": FREE, "$lte": datetime.now(UTC)}}
    return conn["outbox"].update_many(expired, {"$set": {"held_until": FREE}}).modified_count > 0
