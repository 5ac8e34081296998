"""The profile service's second process: brings its events to the broker and consumes those of others."""

from datetime import timedelta

from services.profile import events
from services.profile.config import ProfileSettings
from shared import worker
from shared.bus import Consumer
from shared.inbox import PostgresInbox
from shared.outbox import PostgresSource
from shared.postgres import Database
from shared.relay import Relay

INBOX_KEPT = timedelta(days=14)  # longer than any event waits in a queue
LOOPS = 4


def run(settings: ProfileSettings) -> int:
    """Run until told to stop; the exit status."""
    db = Database(settings.database_url.get_secret_value(), size=LOOPS, application_name="profile-worker")
    amqp_url = settings.amqp_url.get_secret_value()
    inbox = PostgresInbox(db)
    consumer = Consumer("profile", amqp_url, inbox)
    events.subscribe(consumer)
    loops = {
        "relay": Relay(PostgresSource(db), amqp_url, settings.services_left_out).run,
        "consumer": consumer.run,
        "inbox": worker.every(3600, lambda: inbox.forget(INBOX_KEPT)),
    }
    ready = {"postgres": db.check, "queues": consumer.check_declared}
    return worker.run("profile-worker", settings, loops, ready)
