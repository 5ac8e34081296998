"""APNs through the library senders use."""

import ssl
import time
from collections.abc import Iterator

import pytest
from apns2.client import APNsClient, Notification
from apns2.credentials import TokenCredentials
from apns2.errors import BadDeviceToken, Unregistered
from apns2.payload import Payload, PayloadAlert
from hyper import HTTP20Connection

from deploy.local.simulators import Credentials
from tests.simulators.apns_client import DEVICE

# The HTTP/2 client below apns2 still matches host names by hand and logs with `warn`.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def apns2_client(credentials: Credentials) -> Iterator[APNsClient]:
    tls = ssl.create_default_context(cafile=str(credentials.ca_file))
    tls.set_alpn_protocols(["h2"])

    class Tokens(TokenCredentials):
        def create_connection(self, server, port, proto, proxy_host=None, proxy_port=None):
            return HTTP20Connection(credentials.host, credentials.ports.apns, ssl_context=tls, secure=True)

    client = APNsClient(Tokens(str(credentials.apns_key_file), credentials.key_id, credentials.team_id))
    yield client
    client._connection.close()


def test_apns2_delivers_and_what_it_sent_can_be_read(simulators, credentials, apns2_client):
    payload = Payload(alert=PayloadAlert(title="Hello", body="there"), badge=3)
    apns2_client.send_notification(DEVICE, payload, credentials.topic, collapse_id="chat-1")
    (message,) = simulators.wait_for(channel="apns", to=DEVICE)
    assert (message["title"], message["text"], message["key"]) == ("Hello", "there", "chat-1")
    assert message["body"] == {"aps": {"alert": {"title": "Hello", "body": "there"}, "badge": 3}}
    headers = message["headers"]
    assert headers[":path"] == f"/3/device/{DEVICE}"
    assert headers["apns-topic"] == credentials.topic
    assert headers["apns-push-type"] == "alert"
    assert "." not in headers["authorization"]


def test_apns2_meets_its_own_errors(simulators, credentials, apns2_client):
    with pytest.raises(BadDeviceToken):
        apns2_client.send_notification("not-hex", Payload(alert="x"), credentials.topic)
    simulators.fault("apns", "unregistered", match=DEVICE)
    with pytest.raises(Unregistered) as gone:
        apns2_client.send_notification(DEVICE, Payload(alert="x"), credentials.topic)
    assert abs(gone.value.timestamp / 1000 - time.time()) < 60


def test_apns2_sends_a_batch_over_one_connection(simulators, credentials, apns2_client):
    devices = [f"{number:064x}" for number in range(40)]
    batch = [Notification(device, Payload(alert="x")) for device in devices]
    results = apns2_client.send_notification_batch(batch, credentials.topic)
    assert set(results.values()) == {"Success"}
    assert {message["to"] for message in simulators.messages(channel="apns")} == set(devices)
