"""Services that are slow, gone or rude: who is told what."""

import threading

from tests.contracts.gateway.doors import Door, outcome
from tests.gateway.upstream import Received, Stream, Upstream


def test_a_service_that_cannot_be_reached(door: Door) -> None:
    assert outcome(door.ask("GET", "/nobody")) == "502 upstream_unreachable"


def test_a_service_that_does_not_answer_in_time(door: Door, upstream: Upstream) -> None:
    done = threading.Event()
    path = upstream.on("/short/silent", lambda _request, _stream: done.wait(5) and None)
    answer = door.ask("GET", path)
    done.set()
    assert outcome(answer) == "504 upstream_timeout"


def test_a_service_that_hangs_up(door: Door, upstream: Upstream) -> None:
    path = upstream.on("/open/rude", lambda _request, stream: stream.close())
    assert outcome(door.ask("POST", path, body=b"x")) == "502 upstream_protocol_error"


def test_a_service_that_does_not_speak_http(door: Door, upstream: Upstream) -> None:
    def babble(_request: Received, stream: Stream) -> None:
        stream.send(b"SMTP ready\r\n\r\n")
        stream.close()

    assert outcome(door.ask("POST", upstream.on("/open/babble", babble), body=b"x")) == "502 upstream_protocol_error"


def test_an_answer_that_stops_in_the_middle_ends_the_connection(door: Door, upstream: Upstream) -> None:
    def stop(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        stream.close()

    with door.wire() as wire:
        wire.send(f"GET {upstream.on('/open/half', stop)} HTTP/1.1\r\nHost: x\r\n\r\n")
        response = wire.begin()
        assert response.status == 200 and response.read1() == b"half"
        assert wire.is_closed()


def test_a_refusal_of_the_service_itself_is_passed_on(door: Door, upstream: Upstream) -> None:
    path = upstream.on("/open/own-503", lambda _request, stream: stream.answer(b"mine", status="503 Busy"))
    answer = door.ask("GET", path)
    assert (answer.status, answer.body) == (503, b"mine")


def test_what_the_service_refused_is_not_asked_again(door: Door, upstream: Upstream) -> None:
    path = upstream.on(f"/open/{door.name}/once", lambda _request, stream: stream.answer(b"", status="500 No"))
    assert door.ask("GET", path).status == 500
    assert len(upstream.seen(path)) == 1


def test_two_requests_on_one_connection_are_answered_in_order(door: Door) -> None:
    with door.wire() as wire:
        for number in (1, 2):
            wire.send(f"GET /open/{number} HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [wire.read().json["target"] for _ in range(2)] == ["/open/1", "/open/2"]
