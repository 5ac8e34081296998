"""The data service's second process: its outbox to the broker, the events of others, and the purge of tombstones."""

from datetime import timedelta

from services.data import events
from services.data.config import DataSettings
from services.data.inbox import MongoInbox
from services.data.mongo import Database
from services.data.outbox import MongoSource
from services.data.purge import purge
from shared import worker
from shared.bus import Consumer
from shared.relay import Relay


def run(settings: DataSettings) -> int:
    """Run until told to stop; the exit status."""
    db = Database(settings.mongo_url.get_secret_value(), settings.mongo_database)
    amqp_url = settings.amqp_url.get_secret_value()
    retention = timedelta(seconds=settings.tombstone_retention_s)
    consumer = Consumer("data", amqp_url, MongoInbox(db))
    events.subscribe(consumer)
    loops = {
        "relay": Relay(MongoSource(db), amqp_url, settings.services_left_out).run,
        "consumer": consumer.run,
        "purge": worker.every(settings.purge_interval_s, lambda: purge(db, retention)),
    }
    ready = {"mongo": db.check, "queues": consumer.check_declared}
    return worker.run("data-worker", settings, loops, ready)
