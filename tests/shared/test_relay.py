"""The relay while the broker takes nothing: every event is kept, and the lag says so to whoever watches."""

from datetime import UTC, datetime

import pika
from prometheus_client import REGISTRY

from shared import outbox
from shared.contracts import EXCHANGE, SessionRevoked
from shared.ids import new_id
from shared.outbox import PostgresSource
from shared.postgres import Database
from shared.publisher import Publisher
from shared.relay import Relay
from tests.shared.test_bus import running
from tests.support.broker import Broker
from tests.support.waiting import eventually


def lag_s() -> float:
    return REGISTRY.get_sample_value("outbox_lag_seconds") or 0.0


def test_what_the_broker_refuses_is_kept_and_its_age_grows_until_it_is_taken(broker: Broker, db: Database) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker.url("admin")))
    connection.channel().exchange_declare(EXCHANGE, "topic", durable=True)
    connection.close()
    revoked = SessionRevoked(session_id=new_id(), user_id=new_id(), reason="logout", revoked_at=datetime.now(UTC))
    with db.transaction() as conn:
        outbox.add(conn, revoked)
    with running(Relay(PostgresSource(db), Publisher(broker.url("profile"))).run):  # it may not say this
        eventually(lambda: lag_s() > 0.5)
        before = lag_s()
        eventually(lambda: lag_s() > before)
    with running(Relay(PostgresSource(db), Publisher(broker.url("auth"))).run):
        eventually(lambda: PostgresSource(db).lag_s() == 0, what="the delivery")
        eventually(lambda: lag_s() == 0)
