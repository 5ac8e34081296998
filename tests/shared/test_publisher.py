"""`publish` returns when the broker has everything, and a publisher never stays dead."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pika
import pytest

from deploy.local.ports import free_ports
from shared import topology
from shared.errors import Unavailable
from shared.ids import new_id
from shared.publisher import Message, Publisher
from tests.support.broker import Broker
from tests.support.waiting import eventually
from tests.support.wire import wire_to

QUEUE = "things.session.created"


class Queue:
    """What arrived, taken with the broker administrator's rights."""

    def __init__(self, broker: Broker) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(broker.url("admin")))
        self.channel = self._connection.channel()
        topology.declare(self.channel, "things", ["session.created"], (1,))

    def take(self) -> list[tuple[pika.BasicProperties, bytes]]:
        taken = []
        while (got := self.channel.basic_get(QUEUE, auto_ack=True))[0] is not None:
            taken.append((got[1], got[2]))
        return taken

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def queue(broker: Broker):  # type: ignore[no-untyped-def]
    made = Queue(broker)
    yield made
    made.close()


@pytest.fixture
def publisher(broker: Broker):  # type: ignore[no-untyped-def]
    made = Publisher(broker.url("admin"))
    yield made
    made.close()


def message(body: bytes = b"{}") -> Message:
    return Message("session.created", body, str(new_id()))


def test_what_is_published_is_at_the_broker_persistent_and_in_order(publisher: Publisher, queue: Queue) -> None:
    sent = [message(str(number).encode()) for number in range(300)]
    publisher.publish(sent)
    taken = queue.take()
    assert [body for _, body in taken] == [one.body for one in sent]
    assert [properties.message_id for properties, _ in taken] == [one.message_id for one in sent]
    assert {(p.delivery_mode, p.content_type) for p, _ in taken} == {(2, "application/cloudevents+json")}


def test_many_threads_share_one_publisher_and_each_gets_its_own_confirm(publisher: Publisher, queue: Queue) -> None:
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: publisher.publish([message() for _ in range(20)]), range(30)))
    assert len({properties.message_id for properties, _ in queue.take()}) == 600


def test_a_batch_of_nothing_opens_no_connection() -> None:
    Publisher("amqp://a:b@127.0.0.1:9/x").publish([])


def test_a_message_that_amqp_cannot_carry_fails_alone_and_the_next_one_arrives(
    publisher: Publisher, queue: Queue
) -> None:
    with pytest.raises(Unavailable):
        publisher.publish([message(), Message("k" * 300, b"{}", "m")], timeout_s=5)
    queue.take()
    publisher.publish([message(b"after")], timeout_s=5)
    assert queue.take()[-1][1] == b"after"


def test_an_exchange_that_is_missing_is_said_and_once_it_is_there_all_is_well(
    publisher: Publisher, queue: Queue
) -> None:
    lost = Message("x", b"{}", "m", exchange="not.there.yet")
    with pytest.raises(Unavailable):
        publisher.publish([lost], timeout_s=5)
    queue.channel.exchange_declare("not.there.yet", "topic")
    eventually(lambda: _is_published(publisher, lost))
    queue.channel.exchange_delete("not.there.yet")


def test_a_queue_that_takes_no_more_refuses_and_nobody_is_told_otherwise(
    publisher: Publisher, queue: Queue, broker: Broker
) -> None:
    arguments = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
    queue.channel.queue_declare("full", arguments=arguments)
    full = Message("full", b"{}", "m", exchange="")
    publisher.publish([full])
    with pytest.raises(Unavailable, match="refused"):
        publisher.publish([full])
    publisher.publish([message()])


def test_a_mandatory_message_that_no_queue_takes_is_handed_back_and_only_that_one(
    publisher: Publisher, queue: Queue
) -> None:
    def sent(routing_key: str, message_id: str, is_mandatory: bool = True) -> Message:
        return Message(routing_key, b"{}", message_id, is_mandatory=is_mandatory)

    batch = [sent("session.created", "read"), sent("user.gone", "unread"), sent("user.gone", "optional", False)]
    assert publisher.publish(batch * 3) == {"unread"}
    assert [properties.message_id for properties, _ in queue.take()] == ["read"] * 3


def test_a_confirm_that_does_not_come_in_time_is_a_503(publisher: Publisher, queue: Queue) -> None:
    publisher.publish([message()])
    with pytest.raises(Unavailable):
        publisher.publish([message(b"x" * 50_000) for _ in range(50)], timeout_s=0.001)
    publisher.publish([message(b"last")])
    assert queue.take()[-1][1] == b"last"


def test_a_fault_in_the_publishers_own_thread_does_not_end_it(
    publisher: Publisher, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise RuntimeError("a mistake of ours, or of pika's")

    monkeypatch.setattr("shared.link.Link._send", break_off)
    with pytest.raises(Unavailable):
        publisher.publish([message()], timeout_s=2)
    monkeypatch.undo()
    publisher.publish([message(b"after")], timeout_s=5)
    assert queue.take()[-1][1] == b"after"


def test_closing_while_there_is_no_broker_is_quick_and_leaves_no_thread() -> None:
    (port,) = free_ports(1)
    before = threading.active_count()
    for timeout_s in (0.01, 0.2, 0.7):
        publisher = Publisher(f"amqp://a:b@127.0.0.1:{port}/x")
        with pytest.raises(Unavailable):
            publisher.publish([message()], timeout_s=timeout_s)
        publisher.close()
    eventually(lambda: threading.active_count() <= before, timeout_s=3)


def test_a_closed_publisher_opens_again(publisher: Publisher, queue: Queue) -> None:
    publisher.publish([message(b"1")])
    publisher.close()
    publisher.close()
    publisher.publish([message(b"2")])
    assert [body for _, body in queue.take()] == [b"1", b"2"]


def test_a_publisher_whose_old_connection_is_slow_to_end_opens_a_new_one_beside_it(
    broker: Broker, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine with much to do: the broker's last words on the old connection come long after the new one."""
    monkeypatch.setattr("shared.publisher.CLOSE_TIMEOUT_S", 0.1)
    before = publishing()
    with wire_to(broker.rabbitmq.port) as wire:
        publisher = Publisher(broker.url("admin").replace(f":{broker.rabbitmq.port}/", f":{wire.port}/"))
        publisher.publish([message(b"1")], timeout_s=5)
        held = wire.hold()
        publisher.close()
        publisher.publish([message(b"2")], timeout_s=5)
        held.set()
        eventually(lambda: publishing() <= before + 1, what="the old one's end")
        publisher.publish([message(b"3")], timeout_s=5)
        assert publisher.is_connected
        publisher.close()
    assert [body for _, body in queue.take()] == [b"1", b"2", b"3"]


def publishing() -> int:
    return [thread.name for thread in threading.enumerate()].count("publisher")


def _is_published(publisher: Publisher, one: Message) -> bool:
    try:
        publisher.publish([one], timeout_s=5)
    except Unavailable:
        return False
    return True
