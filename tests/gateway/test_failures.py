"""Services that are slow, dead, rude or gone: who is told what, and what is never done twice."""

import socket
import struct
import threading
import time

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream

H = "Host: gateway.example\r\n"


def test_a_service_that_refuses_is_502(gateway: GatewayProcess) -> None:
    answer = gateway.ask("POST", "/nobody/x", body=b"abc")
    assert (answer.status, answer.code) == (502, "upstream_unreachable")
    with gateway.wire() as wire:
        for _ in range(3):
            assert wire.ask(f"GET /nobody/x HTTP/1.1\r\n{H}\r\n").status == 502


def test_a_service_that_does_not_answer_is_504(gateway: GatewayProcess, upstream: Upstream) -> None:
    gone = threading.Event()

    def never(_request: Received, stream: Stream) -> None:
        if stream.is_gone():
            gone.set()

    started = time.monotonic()
    answer = gateway.ask("GET", upstream.on("/short/never", never))
    assert (answer.status, answer.code) == (504, "upstream_timeout")
    assert 0.4 <= time.monotonic() - started < 2
    assert gone.wait(5)


def test_a_service_that_stops_in_the_middle_breaks_the_answer_visibly(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def stall(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        stream.is_gone()

    def cut(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        time.sleep(0.1)
        stream.close()

    for path in (upstream.on("/short/stall", stall), upstream.on("/short/cut", cut)):
        with gateway.wire() as wire:
            wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
            response = wire.begin()
            assert response.status == 200
            with pytest.raises(Exception, match=r"IncompleteRead|reset|Connection"):
                response.read()


GARBAGE = {
    "not HTTP": b"hello\r\n\r\n",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
    "a NUL": b"HTTP/1.1 200 OK\r\nX-A: \x00\r\nContent-Length: 0\r\n\r\n",
    "a protocol nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 300_000,
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n",
}


@pytest.mark.parametrize("case", GARBAGE)
def test_an_answer_that_is_not_http_is_502(gateway: GatewayProcess, upstream: Upstream, case: str) -> None:
    def answer(_request: Received, stream: Stream) -> None:
        stream.send(GARBAGE[case])
        stream.close()

    upstream.on("/open/garbage", answer)
    for method in ("GET", "POST"):
        answered = gateway.ask(method, "/open/garbage")
        assert (answered.status, answered.code) == (502, "upstream_protocol_error")


def test_bytes_behind_an_answer_reach_nobody(gateway: GatewayProcess, upstream: Upstream) -> None:
    """A second answer in the same packet must not become somebody else's."""

    def two(_request: Received, stream: Stream) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        stream.send(answer + b"right" + answer + b"wrong")

    upstream.on("/open/two", two)
    for _ in range(5):
        gateway.ask("GET", "/open/two")
        answer = gateway.ask("GET", "/open/after")
        assert answer.json["target"] == "/open/after"


class ClosesOnReuse:
    """Answers a connection's first request, and closes it without a word at the second."""

    def __init__(self) -> None:
        self.used: set[int] = set()
        self.count = 0

    def __call__(self, request: Received, stream: Stream) -> None:
        self.count += 1
        request.read_body()
        if id(stream) in self.used:
            stream.close()
            return
        self.used.add(id(stream))
        stream.answer(b"first")


def prime(gateway: GatewayProcess, upstream: Upstream, script: ClosesOnReuse) -> str:
    """Make sure that the connection used next has been used before."""
    path = upstream.on("/open/reuse", script)
    assert gateway.ask("GET", path).body == b"first"
    assert script.count == 1
    return path


@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("PUT", b"x" * 5000), ("DELETE", b"")])
def test_a_connection_closed_just_as_it_is_reused_is_made_good_once(
    gateway: GatewayProcess, upstream: Upstream, method: str, body: bytes
) -> None:
    script = ClosesOnReuse()
    path = prime(gateway, upstream, script)
    answer = gateway.ask(method, path, body=body)
    assert (answer.status, answer.body) == (200, b"first")
    assert script.count == 3
    assert upstream.seen(path)[-1].body == body


def test_what_may_have_been_done_is_not_done_again(gateway: GatewayProcess, upstream: Upstream) -> None:
    script = ClosesOnReuse()
    path = prime(gateway, upstream, script)
    answer = gateway.ask("POST", path, body=b"pay 10")
    assert (answer.status, answer.code) == (502, "upstream_protocol_error")
    assert script.count == 2


def test_a_service_that_always_closes_is_not_asked_for_ever(gateway: GatewayProcess, upstream: Upstream) -> None:
    path = upstream.on("/open/closes", lambda _request, stream: stream.close())
    before = len(upstream.seen(path))
    assert gateway.ask("GET", path).status == 502
    assert len(upstream.seen(path)) - before <= 2


def test_an_unsafe_request_does_not_trust_a_connection_that_has_been_idle(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    with gateway.wire() as wire:
        wire.ask(f"GET /open/x HTTP/1.1\r\n{H}\r\n")
        time.sleep(1.2)
        before = upstream.connections
        post = f"POST /open/x HTTP/1.1\r\n{H}Content-Length: 1\r\n\r\n1"
        assert wire.ask(post, "POST").status == 200
        assert upstream.connections == before + 1
        assert wire.ask(post, "POST").status == 200
        assert upstream.connections == before + 1


def test_a_client_that_leaves_takes_its_request_along(gateway: GatewayProcess, upstream: Upstream) -> None:
    arrived, gone = threading.Event(), threading.Event()

    def wait(_request: Received, stream: Stream) -> None:
        arrived.set()
        if stream.is_gone():
            gone.set()

    path = upstream.on("/open/left", wait)
    with gateway.wire() as wire:
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
        assert arrived.wait(5)
    assert gone.wait(5)


def test_clients_that_vanish_at_any_moment_disturb_nobody(gateway: GatewayProcess, upstream: Upstream) -> None:
    """Resets instead of goodbyes; the gateway's log must hold no error afterwards (see conftest)."""

    def answer_in_pieces(request: Received, stream: Stream) -> None:
        request.read_body()
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n")
        for _ in range(3):
            stream.send(b"x" * 100_000)

    path = upstream.on("/open/vanish", answer_in_pieces)
    for number in range(60):
        wire = gateway.wire()
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.send(f"POST {path} HTTP/1.1\r\n{H}Content-Length: 5\r\n\r\nabcde"[: 60 + number])
        time.sleep(0.0005 * (number % 12))
        wire.close()
    assert gateway.ask("GET", "/open/after").json["target"] == "/open/after"


def test_a_pipelined_body_beyond_the_limit_is_413_too(gateway: GatewayProcess) -> None:
    with gateway.wire() as wire:
        chunked = f"POST /small/x HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n7d0\r\n{'x' * 2000}\r\n0\r\n\r\n"
        wire.send(f"GET /open/x HTTP/1.1\r\n{H}\r\n{chunked}")
        assert wire.read().status == 200
        assert wire.read().code == "payload_too_large"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_beyond_the_limit_is_413_before_it_is_read(
    gateway: GatewayProcess, upstream: Upstream, framing: str
) -> None:
    path = "/small/upload"
    with gateway.wire() as wire:
        if framing == "length":
            before = len(upstream.seen(path))
            answer = wire.ask(f"POST {path} HTTP/1.1\r\n{H}Content-Length: 1001\r\n\r\n", "POST")
            assert len(upstream.seen(path)) == before
        else:
            chunk = f"258\r\n{'x' * 600}\r\n"
            answer = wire.ask(f"POST {path} HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}", "POST")
        assert (answer.status, answer.code) == (413, "payload_too_large")
        if framing == "chunked":
            assert answer.headers["Connection"] == "close" and wire.is_closed()
    assert gateway.ask("POST", path, body=b"x" * 1000).json["body_bytes"] == 1000


def test_an_early_answer_is_passed_on_and_the_rest_of_the_body_thrown_away(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def refuse(_request: Received, stream: Stream) -> None:
        stream.answer(b"no", status="403 Forbidden")

    path = upstream.on("/big/refused", refuse)
    with gateway.wire() as wire:
        wire.send(f"POST {path} HTTP/1.1\r\n{H}Content-Length: 100000\r\n\r\n{'x' * 1000}")
        answer = wire.read()
        assert (answer.status, answer.body, answer.headers["Connection"]) == (403, b"no", "close")
        assert wire.is_closed()
