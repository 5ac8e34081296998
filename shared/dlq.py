"""Dead letters: list what failed for good, replay it to its queue, or drop it.

    python -m shared.dlq list [SERVICE]
    python -m shared.dlq replay SERVICE [EVENT_ID]
    python -m shared.dlq drop SERVICE EVENT_ID

AMQP_URL must name a user who may read the `*.dead` queues and write to the `*.retry` exchanges.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from shared import topology

SERVICES = ("auth", "profile", "data", "notify")


@dataclass(frozen=True)
class DeadLetter:
    """One message of a dead-letter queue, taken and not yet acknowledged."""

    tag: int
    queue: str
    properties: pika.BasicProperties
    body: bytes

    @property
    def event_id(self) -> str:
        return self.properties.message_id or "?"

    @property
    def headers(self) -> dict[str, Any]:
        return self.properties.headers or {}

    @property
    def error(self) -> str:
        if "x-error" in self.headers:
            return str(self.headers["x-error"])
        return f"its consumer died {topology.DELIVERY_LIMIT} times while handling it"

    def summary(self) -> str:
        try:
            subject = json.loads(self.body).get("subject", "")
        except ValueError:
            subject = "(not JSON)"
        failed_at = self.headers.get("x-failed-at", "")
        return f"{self.event_id}  {self.queue}  subject={subject}  {failed_at}\n    {self.error}"


def take(channel: BlockingChannel, service: str) -> Iterator[DeadLetter]:
    """Every letter that is in the queue now; what is not acknowledged goes back when the channel closes."""
    try:
        count = channel.queue_declare(topology.dead_letters(service), passive=True).method.message_count
    except ChannelClosedByBroker:
        return
    for _ in range(count):
        method, properties, body = channel.basic_get(topology.dead_letters(service))
        if method is None:
            return
        yield DeadLetter(method.delivery_tag, method.routing_key, properties, body)


def replay(channel: BlockingChannel, service: str, letter: DeadLetter) -> None:
    """Send it to its queue as if for the first time; acknowledged only once the broker has the new one."""
    properties = pika.BasicProperties(
        delivery_mode=2, content_type=letter.properties.content_type, message_id=letter.properties.message_id
    )
    channel.basic_publish(topology.retry(service), letter.queue, letter.body, properties, mandatory=True)
    channel.basic_ack(letter.tag)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m shared.dlq", description="List, replay or drop dead letters.")
    parser.add_argument("verb", choices=["list", "replay", "drop"])
    parser.add_argument("service", nargs="?", choices=SERVICES)
    parser.add_argument("event_id", nargs="?")
    options = parser.parse_args(arguments)
    if options.verb != "list" and not options.service:
        parser.error(f"{options.verb} needs a service")
    if options.verb == "drop" and not options.event_id:
        parser.error("drop needs an event id")
    try:
        connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    except KeyError:
        parser.error("AMQP_URL is not set")
    except AMQPError:
        sys.stderr.write("The message broker does not answer.\n")
        return 1
    count = 0
    for service in [options.service] if options.service else SERVICES:
        channel = connection.channel()
        channel.confirm_delivery()
        for letter in take(channel, service):
            if options.event_id and letter.event_id != options.event_id:
                continue
            count += 1
            print(letter.summary())
            if options.verb == "replay":
                replay(channel, service, letter)
            elif options.verb == "drop":
                channel.basic_ack(letter.tag)
    connection.close()
    done = {"list": "dead letter(s)", "replay": "replayed", "drop": "dropped"}[options.verb]
    print(f"{count} {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
