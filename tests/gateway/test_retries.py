"""What is made again, where and how often; and what never is."""

import socket
import struct
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Peers, Received, Script, Stream, echo
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"


def refuses(request: Received, stream: Stream) -> None:
    request.read_body()
    stream.answer(b"busy", status="503 Busy")


def hangs_up(request: Received, stream: Stream) -> None:
    request.read_body()
    stream.close()


def resets(request: Received, stream: Stream) -> None:
    """A reset in place of a goodbye: what was sent on the way may be lost."""
    request.read_body()
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.file.close()
    stream.socket.close()


def never_answers(request: Received, stream: Stream) -> None:
    request.read_body()
    stream.is_gone()


def attempts(gateway: GatewayProcess, path: str) -> list[int]:
    """Of the requests below a prefix that were made more than once, how often each was made."""
    return [line["attempts"] for line in gateway.lines() if line.get("route") == path and "attempts" in line]


def test_what_finds_nobody_goes_to_another_target(several: GatewayProcess, peers: Peers) -> None:
    """Nothing has been sent, so that any method may."""
    for method in ("GET", "POST", "PATCH", "DELETE"):
        for _ in range(2):
            assert several.ask(method, "/half/x", body=b"abc" if method != "GET" else b"").status == 200
    assert len(peers.seen("/half/x")) == 8
    eventually(
        lambda: attempts(several, "/half/*") == [2] * 4, what="four of eight were made twice, and the log says so"
    )
    eventually(
        lambda: several.metric("gateway_retries_total", upstream="half", outcome="succeeded") == 4, what="counted"
    )


@pytest.mark.parametrize("failure", [refuses, hangs_up, resets])
@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("PUT", b"x" * 5000), ("DELETE", b"")])
def test_an_idempotent_request_is_made_again_on_the_other_target(
    several: GatewayProcess, peers: Peers, failure: Script, method: str, body: bytes
) -> None:
    path = peers.one.on(f"/pair/{method}/{failure.__name__}", failure)
    for _ in range(4):
        assert several.ask(method, path, body=body).status == 200
    assert len(peers.two.seen(path)) == 4
    assert {request.body for request in peers.seen(path)} == {body}


@pytest.mark.parametrize("failure", [refuses, hangs_up, resets])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_not_be_done_twice_is_never_sent_twice(
    several: GatewayProcess, peers: Peers, failure: Script, method: str
) -> None:
    path = peers.on(f"/pair/{method}/{failure.__name__}", failure)
    for number in range(1, 6):
        assert several.ask(method, path, body=b"pay 10").status in (502, 503)
        assert len(peers.seen(path)) == number


@pytest.mark.parametrize("failure", [refuses, hangs_up, resets])
def test_with_an_idempotency_key_a_post_is_made_again(several: GatewayProcess, peers: Peers, failure: Script) -> None:
    path = peers.one.on(f"/pair/keyed/{failure.__name__}", failure)
    for number in range(4):
        answer = several.ask("POST", path, body=b"pay 10", headers={"Idempotency-Key": f"key-{number}"})
        assert answer.status == 200
    assert {request.value("idempotency-key") for request in peers.two.seen(path)} == {f"key-{n}" for n in range(4)}
    assert len(peers.one.seen(path)) == 2


def test_whatever_targets_do_under_load_no_payment_is_sent_twice(several: GatewayProcess, peers: Peers) -> None:
    """Kept-alive connections that end at any moment included: each payment arrives once, or not at all."""
    whims = cycle([echo, echo, resets, echo, refuses, echo, hangs_up])
    path = peers.on("/pair/pay", lambda request, stream: next(whims)(request, stream))
    numbers = count()

    def pay(_turn: int) -> None:
        for _ in range(15):
            with several.wire() as wire:
                body = b"payment %d" % next(numbers)
                head = f"POST {path} HTTP/1.1\r\n{H}Content-Length: {len(body)}\r\n\r\n".encode()
                assert wire.ask(head + body, "POST").status in (200, 502, 503)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(pay, range(8)))
    arrived = Counter(request.body for request in peers.seen(path))
    assert len(arrived) > 60 and set(arrived.values()) == {1}


def test_it_is_made_no_more_often_than_the_table_says(several: GatewayProcess, peers: Peers) -> None:
    path = peers.on("/pair/always", refuses)
    answer = several.ask("GET", path)
    assert (answer.status, answer.body) == (503, b"busy")
    assert len(peers.seen(path)) == 3
    once = peers.on("/once/always", refuses)
    assert several.ask("GET", once).status == 503
    assert len(peers.seen(once)) == 1


def test_a_service_that_says_when_to_come_back_is_believed(several: GatewayProcess, peers: Peers) -> None:
    def later(_request: Received, stream: Stream) -> None:
        stream.answer(b"", status="503 Later", fields="Retry-After: 30\r\n")

    path = peers.on("/pair/later", later)
    answer = several.ask("GET", path)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
    assert len(peers.seen(path)) == 1


def test_another_error_is_not_asked_for_again(several: GatewayProcess, peers: Peers) -> None:
    path = peers.on("/pair/mistake", lambda _request, stream: stream.answer(b"", status="500 Mistake"))
    assert several.ask("GET", path).status == 500
    assert len(peers.seen(path)) == 1


def test_once_an_answer_has_begun_there_is_no_other(several: GatewayProcess, peers: Peers) -> None:
    def half_a_head(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nX-A")
        time.sleep(0.1)
        stream.close()

    def half_a_body(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        time.sleep(0.1)
        stream.close()

    path = peers.on("/pair/half-a-head", half_a_head)
    answer = several.ask("GET", path)
    assert (answer.status, answer.code) == (502, "upstream_protocol_error")
    assert len(peers.seen(path)) == 1
    path = peers.on("/pair/half-a-body", half_a_body)
    with several.wire() as wire:
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
        response = wire.begin()
        assert response.status == 200
        with pytest.raises(Exception, match=r"IncompleteRead|reset|Connection"):
            response.read()
    assert len(peers.seen(path)) == 1


def test_garbage_is_not_asked_for_again(several: GatewayProcess, peers: Peers) -> None:
    path = peers.on("/pair/garbage", lambda _request, stream: stream.send(b"SMTP ready\r\n\r\n"))
    assert several.ask("GET", path).code == "upstream_protocol_error"
    assert len(peers.seen(path)) == 1


def test_a_body_too_large_to_keep_is_sent_once(several: GatewayProcess, peers: Peers) -> None:
    path = peers.on("/pair/large", refuses)
    assert several.ask("PUT", path, body=b"x" * 200_000).status == 503
    assert len(peers.seen(path)) == 1


def test_a_target_that_takes_requests_and_never_answers_is_given_up_for_another(
    several: GatewayProcess, peers: Peers
) -> None:
    path = peers.one.on("/hasty/silent", never_answers)
    for _ in range(2):
        assert several.ask("GET", path).json["target"] == path
    assert len(peers.one.seen(path)) == 1


def test_all_tries_share_one_time(several: GatewayProcess, peers: Peers) -> None:
    """Ten tries of 0.4 s may be made, but not beyond the time that one try would have had."""
    path = peers.on("/short/silent", never_answers)
    answer = several.ask("GET", path)
    assert (answer.status, answer.code) == (504, "upstream_timeout")
    assert 2 <= len(peers.seen(path)) <= 5


def test_a_budget_keeps_a_failing_service_from_being_asked_twice_as_often(
    several: GatewayProcess, peers: Peers
) -> None:
    path = peers.on("/poor/x", refuses)
    for _ in range(20):
        assert several.ask("GET", path).status == 503
    assert 20 < len(peers.seen(path)) <= 23
    eventually(
        lambda: several.metric("gateway_retries_total", upstream="poor", outcome="over_budget") >= 17, what="counted"
    )


def test_a_client_that_leaves_is_the_end_of_it(several: GatewayProcess, peers: Peers) -> None:
    path = peers.on("/hasty/left", never_answers)
    with several.wire() as wire:
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
        eventually(lambda: len(peers.seen(path)) == 1, what="it arrived")
    assert several.ask("GET", "/pair/after").status == 200
    time.sleep(0.6)
    assert len(peers.seen(path)) == 1
