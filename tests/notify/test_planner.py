"""message.accepted and the sweeper: every target once, page by page, and again only what was lost."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pika

from deploy.local.simulators import Simulators
from services.notify import planner, store, sweeper
from services.notify.config import NotifySettings
from services.notify.contracts import FcmQueued
from shared.postgres import Database, execute
from tests.notify.conftest import Client, json_of, running
from tests.support.broker import Broker
from tests.support.people import Person
from tests.support.waiting import eventually

DAY_S = 86_400


def outbox_of(db: Database, event_type: str) -> list[dict[str, Any]]:
    with db.transaction() as conn, conn.cursor() as cursor:
        sql = "SELECT envelope::json AS e FROM outbox WHERE envelope::json->>'type' = %(type)s ORDER BY position"
        cursor.execute(sql, {"type": event_type})
        rows: Any = cursor.fetchall()
    return [row["e"]["data"] for row in rows]


def test_planning_goes_page_by_page_and_a_repetition_adds_nothing(
    db: Database, as_alice: Client, as_sender: Client, alice: Person
) -> None:
    devices = {as_alice.register()["id"] for _ in range(5)}
    message_id = UUID(as_sender.send(alice))

    after: UUID | None = None
    for _ in range(4):
        for _ in range(2):  # each page comes twice, as after a crash
            with db.transaction() as conn:
                planner.plan(conn, message_id, after=after, page=2)
        after = UUID(outbox_of(db, "message.accepted")[-1]["after"] or str(after))

    queued = [delivery_id for event in outbox_of(db, "delivery.queued_fcm") for delivery_id in event["delivery_ids"]]
    deliveries = json_of(as_sender.get(f"/messages/{message_id}"))["deliveries"]
    assert {delivery["device_id"] for delivery in deliveries} == devices
    assert len(deliveries) == 5 == len(queued) == len(set(queued))
    assert json_of(as_sender.get(f"/messages/{message_id}"))["status"] == "sending"


def test_deliveries_named_twice_in_the_queue_go_out_once(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    db: Database,
    simulators: Simulators,
    running_worker: NotifySettings,
    publish: Callable[..., UUID],
) -> None:
    as_alice.register()
    message_id = as_sender.send(alice)
    (delivery,) = as_sender.finished(message_id)

    publish(FcmQueued(channel="fcm", delivery_ids=[delivery["id"], delivery["id"]]))
    as_sender.finished(as_sender.send(alice))

    assert simulators.stats()["repeated"] == []
    assert len(simulators.messages(channel="fcm")) == 2


def test_what_the_broker_lost_is_queued_again(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    db: Database,
    broker: Broker,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    as_alice.register()
    lost_before_planning = as_sender.send(alice)
    with db.transaction() as conn:
        execute(conn, "DELETE FROM outbox")
        execute(conn, "UPDATE messages SET replan_at = now()")
    lost_before_sending = as_sender.send(alice)
    with db.transaction() as conn:
        planner.plan(conn, UUID(lost_before_sending), after=None)
        execute(conn, "DELETE FROM outbox")
        execute(conn, "UPDATE deliveries SET next_attempt_at = now() - %(ago)s", {"ago": timedelta(hours=1)})

    assert sweeper.queue_strays(db) == 2
    assert sweeper.queue_strays(db) == 0, "each is queued again once, not at each turn"

    with running(worker_settings()):
        for message_id in (lost_before_planning, lost_before_sending):
            (delivery,) = as_sender.finished(message_id)
            assert delivery["outcome"] == "accepted"
    assert len(simulators.messages(channel="fcm")) == 2


def test_an_unreadable_message_in_a_sender_s_queue_is_set_aside(
    as_alice: Client,
    as_sender: Client,
    alice: Person,
    broker: Broker,
    simulators: Simulators,
    worker_settings: Callable[..., NotifySettings],
) -> None:
    as_alice.register()
    with running(worker_settings()):
        connection = pika.BlockingConnection(pika.URLParameters(broker.url()))
        connection.channel().basic_publish("notify.retry", "notify.delivery.queued_fcm", b"not JSON")
        (delivery,) = as_sender.finished(as_sender.send(alice))
        dead = eventually(lambda: connection.channel().basic_get("notify.dead")[2], what="a dead letter")
        connection.close()

    assert delivery["outcome"] == "accepted"
    assert dead == b"not JSON"


def test_what_is_out_of_date_is_deleted(db: Database, as_sender: Client, alice: Person) -> None:
    with db.transaction() as conn:
        store.insert_revoked_session(conn, alice.session_id, remember_s=-1)
    as_sender.post("/messages", {"to": {"user_id": str(alice.user_id)}, "title": "a", "body": "b"}, Idempotency_Key="1")
    with db.transaction() as conn:
        execute(conn, "UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")

    sweeper.delete_old(db, retention_s=30 * DAY_S)
    sweeper.measure(db)

    with db.transaction() as conn:
        assert not store.is_session_revoked(conn, alice.session_id)
        assert execute(conn, "SELECT FROM idempotency_keys") == 0
