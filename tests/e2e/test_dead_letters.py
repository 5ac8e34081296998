"""What `make dlq` does on a running platform: an event that no service understands is listed, replayed, dropped."""

import pika

from deploy.local import environment
from shared.contracts import EXCHANGE
from tests.support.platform import Platform
from tests.support.waiting import eventually


def dlq(platform: Platform, *arguments: str) -> str:
    done = platform.run("deploy.local", "dlq", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_dead_letter_is_listed_with_its_error_replayed_and_dropped(platform: Platform) -> None:
    url = environment.servers(platform.settings).rabbitmq.admin_url
    connection = pika.BlockingConnection(pika.URLParameters(url))
    properties = pika.BasicProperties(message_id="letter-1", delivery_mode=2)
    connection.channel().basic_publish(EXCHANGE, "user.registered", b'{"not": "an event"}', properties)
    connection.close()

    listed = eventually(lambda: "1 dead letter(s)" in dlq(platform, "list", "profile") and dlq(platform, "list"))
    for queue in ("profile.user.registered", "data.user.registered", "notify.user.registered"):
        assert queue in listed
    assert "ValidationError" in listed

    assert "1 replayed" in dlq(platform, "replay", "profile", "letter-1")
    eventually(lambda: "1 dead letter(s)" in dlq(platform, "list", "profile"))  # it is no better than before
    for service in ("profile", "data", "notify"):
        assert "1 dropped" in dlq(platform, "drop", service, "letter-1")
    assert "0 dead letter(s)" in dlq(platform, "list")


def test_a_wrong_call_says_what_is_missing(platform: Platform) -> None:
    done = platform.run("deploy.local", "dlq", "drop", "profile")
    assert done.returncode == 2
    assert "drop needs an event id" in done.stderr
