"""APNs' HTTP/2 connection: streams, GOAWAY and resets, frame by frame."""

import io
import ssl
import threading

import pycurl
import pytest

from tests.simulators.apns_client import DEVICE, ApnsClient

REFUSED_STREAM = 0x7


def test_one_stream_is_allowed_until_a_provider_token_was_good(apns):
    assert apns.max_streams == 1
    assert apns.push({"authorization": None}).status == 403
    assert apns.max_streams == 1
    assert apns.push().status == 200
    apns.read_until(lambda: apns.max_streams == 1000)


def test_a_stream_too_many_is_refused_alone(simulators, apns):
    simulators.fault("apns", "delay", delay_s=0.2, count=1)
    apns.ignore_max_streams()
    first, second = apns.begin(), apns.begin()
    apns.read_until(lambda: apns.answers[first].is_done and apns.answers[second].is_done)
    assert apns.answers[first].status == 200
    assert apns.answers[second].reset_code == REFUSED_STREAM


def test_streams_are_answered_as_they_finish(simulators, apns):
    assert apns.push().status == 200
    apns.read_until(lambda: apns.max_streams > 1)
    simulators.fault("apns", "delay", delay_s=0.3, count=1)
    slow, quick = apns.begin(), apns.begin()
    apns.read_until(lambda: apns.answers[quick].is_done)
    assert not apns.answers[slow].is_done
    apns.read_until(lambda: apns.answers[slow].is_done)
    assert apns.answers[slow].status == 200


def test_goaway_names_the_last_stream_that_was_handled(simulators, apns):
    assert apns.push().status == 200
    simulators.fault("apns", "goaway", count=1)
    unhandled = apns.begin()
    apns.read_until(lambda: apns.goaway)
    assert apns.goaway.last_stream_id == unhandled - 2
    assert apns.goaway.additional_data == b'{"reason": "Shutdown"}'
    with pytest.raises((ConnectionError, ssl.SSLError)):
        apns.read_until(lambda: apns.answers[unhandled].is_done)
    assert len(simulators.messages()) == 1


def test_goaway_and_reset_reach_open_connections_at_once(simulators, apns, credentials):
    assert apns.push().status == 200
    assert simulators.fault("apns", "goaway", now=True) == {"connections": 1}
    apns.read_until(lambda: apns.goaway)
    assert apns.goaway.last_stream_id == 1
    with ApnsClient(credentials) as another:
        simulators.fault("apns", "reset", now=True)
        with pytest.raises(ConnectionError):
            another.read_until(lambda: another.goaway)


@pytest.mark.parametrize("is_accepted", [False, True])
def test_a_reset_before_or_after_the_push_was_taken(simulators, apns, is_accepted):
    simulators.fault("apns", "reset", count=1, after_accept=is_accepted)
    apns.begin()
    with pytest.raises(ConnectionResetError), apns.detach() as raw:
        while raw.recv(4096):
            pass
    assert len(simulators.messages()) == is_accepted


def test_a_client_without_http2_or_trust_gets_no_connection(credentials):
    url = f"https://127.0.0.1:{credentials.ports.apns}/3/device/{DEVICE}".encode()
    for options, code in (
        ({pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2_0}, pycurl.E_PEER_FAILED_VERIFICATION),
        ({pycurl.SSL_ENABLE_ALPN: 0, pycurl.CAINFO: str(credentials.ca_file)}, pycurl.E_GOT_NOTHING),
    ):
        curl = pycurl.Curl()
        for name, value in {pycurl.URL: url, pycurl.WRITEFUNCTION: io.BytesIO().write, **options}.items():
            curl.setopt(name, value)
        with pytest.raises(pycurl.error) as failed:
            curl.perform()
        assert failed.value.args[0] == code
        curl.close()


def test_many_connections_and_streams_at_once_lose_nothing(simulators, credentials):
    def push_many(first: int) -> None:
        with ApnsClient(credentials) as client:
            client.push(device=f"{first:064x}")
            client.read_until(lambda: client.max_streams > 1)
            streams = [client.begin(device=f"{first + place:064x}") for place in range(1, 50)]
            client.read_until(lambda: all(client.answers[stream].is_done for stream in streams))
            statuses.update(client.answers[stream].status for stream in streams)

    statuses: set[int] = set()
    threads = [threading.Thread(target=push_many, args=(first,)) for first in (1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == {200}
    stats = simulators.stats()
    assert stats["channels"]["apns"] == {"accepted": 150, "refused": 0}
    assert stats["repeated"] == []
