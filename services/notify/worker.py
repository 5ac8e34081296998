"""The notify service's second process: outbox relay, event consumer and planner, a sender for each channel, sweeper."""

import threading
from datetime import timedelta
from functools import partial
from typing import Any

from pika.exceptions import AMQPError

from services.notify import channels, content, events, sweeper
from services.notify.config import NotifySettings
from services.notify.library import CannotRender
from services.notify.providers import Mail, Outcome, Push, Result
from services.notify.retries import Policy
from services.notify.sender import Sender
from services.notify.store import Claimed
from shared import worker
from shared.bus import Consumer
from shared.errors import Unavailable
from shared.inbox import PostgresInbox
from shared.outbox import PostgresSource
from shared.postgres import Database
from shared.relay import Relay

INBOX_KEPT = timedelta(days=14)  # longer than any event waits in a queue
MAIL_BATCH = 20  # one session sends them one after the other
PLANNERS = 3  # consumer threads: most of an event is waiting for the disk
CONNECTIONS = 12  # one for each loop, and some for readiness checks


def run(settings: NotifySettings) -> int:
    """Run until told to stop; the exit status."""
    db = Database(settings.database_url.get_secret_value(), size=CONNECTIONS, application_name="notify-worker")
    consumer = make_consumer(settings, db)
    ready = {"postgres": db.check, "queues": consumer.check_declared}
    return worker.run("notify-worker", settings, loops(settings, db, consumer), ready)


def make_consumer(settings: NotifySettings, db: Database) -> Consumer:
    consumer = Consumer("notify", settings.amqp_url.get_secret_value(), PostgresInbox(db))
    events.subscribe(consumer)
    return consumer


def loops(settings: NotifySettings, db: Database, consumer: Consumer) -> dict[str, worker.Loop]:
    """What runs side by side in the worker."""
    amqp_url, inbox = settings.amqp_url.get_secret_value(), PostgresInbox(db)
    senders = make_senders(settings, db)
    relay = Relay(PostgresSource(db), amqp_url, settings.services_left_out)
    return {
        "relay": partial(_relay_to_declared_queues, relay, consumer, senders),
        **{f"consumer-{number}": consumer.run for number in range(PLANNERS)},
        **{f"sender-{sender.channel}": sender.run for sender in senders},
        "strays": worker.every(60, partial(sweeper.queue_strays, db)),
        "measure": worker.every(5, partial(sweeper.measure, db)),
        "delete": worker.every(600, partial(sweeper.delete_old, db, retention_s=settings.message_retention_s)),
        "inbox": worker.every(3600, partial(inbox.forget, INBOX_KEPT)),
    }


def make_senders(settings: NotifySettings, db: Database) -> list[Sender[Any]]:
    writer = content.Writer.of(settings)
    common: dict[str, Any] = {
        "db": db,
        "amqp_url": settings.amqp_url.get_secret_value(),
        "policy": Policy(settings.send_max_attempts, settings.retry_base_s),
        "lease_s": settings.send_lease_s,
    }
    batch, mail_batch = settings.send_batch, min(settings.send_batch, MAIL_BATCH)
    return [
        Sender("fcm", channels.fcm(settings), partial(build_push, writer), batch=batch, **common),
        Sender("apns", channels.apns(settings), partial(build_push, writer), batch=batch, **common),
        Sender("email", channels.email(settings), partial(build_mail, writer), batch=mail_batch, **common),
    ]


def build_push(writer: content.Writer, delivery: Claimed) -> Push | Result:
    if delivery.token is None or delivery.environment is None:
        return Result(Outcome.NO_TARGET, "the device is gone or belongs to somebody else")
    try:
        return writer.push(delivery, delivery.token, delivery.environment)
    except CannotRender as error:
        return Result(Outcome.BAD_REQUEST, str(error))


def build_mail(writer: content.Writer, delivery: Claimed) -> Mail | Result:
    try:
        return writer.mail(delivery)
    except CannotRender as error:
        return Result(Outcome.BAD_REQUEST, str(error))


def _relay_to_declared_queues(
    relay: Relay, consumer: Consumer, senders: list[Sender[Any]], stop: threading.Event
) -> None:
    """Our own events go to our own queues: those must be there before the first is published."""
    while not stop.is_set():
        try:
            consumer.declare()
            for sender in senders:
                sender.declare()
            break
        except (Unavailable, AMQPError, OSError):
            stop.wait(0.5)
    relay.run(stop)
