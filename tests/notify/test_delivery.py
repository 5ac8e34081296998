"""A message on its whole way: API, outbox, planner, sender, provider, outcome."""

from deploy.local.simulators import Simulators
from services.notify.config import NotifySettings
from tests.notify.conftest import Client
from tests.support.people import Person


def test_a_message_arrives_at_an_android_phone(
    as_alice: Client, as_sender: Client, alice: Person, simulators: Simulators, running_worker: NotifySettings
) -> None:
    device = as_alice.register("android")

    message_id = as_sender.send(alice, title="Hello", body="A message", data={"room": "7"})

    (arrived,) = simulators.wait_for(1, channel="fcm", to=device["token"])
    message = arrived["body"]["message"]
    assert message["notification"] == {"title": "Hello", "body": "A message"}
    assert message["data"] == {"room": "7", "message_id": message_id}
    (delivery,) = as_sender.finished(message_id)
    assert (delivery["state"], delivery["outcome"], delivery["attempts"]) == ("sent", "accepted", 1)
    assert delivery["provider_id"] == arrived["provider_id"]
