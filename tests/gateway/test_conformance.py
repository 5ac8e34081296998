"""HTTP/1.1 on the wire (RFC 9112), as raw bytes: what clients and services may do, one after the other."""

import socket
import threading

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream

H = "Host: gateway.example\r\n"
NEXT = f"GET /open/next HTTP/1.1\r\n{H}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"

# What a service may answer to a GET, and what the client then has: status, body, and whether both connections stay.
ANSWERS = {
    "100 before the answer": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok",
    ),
    "102 and 103 before it": (
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok",
    ),
    "twenty times 103": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 20 + b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        404, b"",
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
        200, b"ok",
    ),
    "chunk extensions": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b;c=\"d\"\r\nok\r\n0;x\r\n\r\n", 200, b"ok",
    ),
    "chunk sizes with zeros and capitals": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000A\r\n0123456789\r\n00\r\n\r\n", 200, b"0123456789",
    ),
    "another reason phrase": (b"HTTP/1.1 200 All is well\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "no reason phrase": (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "a status of its own": (b"HTTP/1.1 299 Mine\r\nContent-Length: 2\r\n\r\nok", 299, b"ok"),
    "a 205": (b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", 205, b""),
    "spaces around values": (b"HTTP/1.1 200 OK\r\nContent-Length:  2 \t\r\n\r\nok", 200, b"ok"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_what_a_service_may_answer_is_passed_on_and_both_connections_stay(
    gateway: GatewayProcess, upstream: Upstream, case: str
) -> None:
    raw, status, body = ANSWERS[case]
    path = upstream.on("/open/conform", lambda _request, stream: stream.send(raw))
    with gateway.wire() as wire:
        wire.ask(NEXT)
        before = upstream.connections
        for _ in range(3):
            answer = wire.ask(f"GET {path} HTTP/1.1\r\n{H}\r\n")
            assert (answer.status, answer.body, answer.headers["Connection"]) == (status, body, None)
            assert answer.headers["Link"] is None and answer.headers["X-Sum"] is None
            assert answer.headers["Trailer"] is None
            assert wire.ask(NEXT).json["target"] == "/open/next"
    assert upstream.connections == before


def test_an_answer_in_single_bytes_is_the_same_answer(gateway: GatewayProcess, upstream: Upstream) -> None:
    raw = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    def serve(_request: Received, stream: Stream) -> None:
        for byte in raw:
            stream.send(bytes([byte]))

    with gateway.wire() as wire:
        for _ in range(2):
            assert wire.ask(f"GET {upstream.on('/open/single-bytes', serve)} HTTP/1.1\r\n{H}\r\n").body == b"abc"


def test_a_service_that_closes_after_its_answer_costs_the_client_nothing(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def once(_request: Received, stream: Stream) -> None:
        stream.answer(b"once", fields="Connection: close\r\n")
        stream.close()

    path = upstream.on("/open/once", once)
    with gateway.wire() as wire:
        for _ in range(5):
            answer = wire.ask(f"POST {path} HTTP/1.1\r\n{H}Content-Length: 2\r\n\r\nab", "POST")
            assert (answer.status, answer.body, answer.headers["Connection"]) == (200, b"once", None)
            assert wire.ask(NEXT).status == 200


def test_a_client_that_closes_after_its_request_costs_the_service_nothing(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    gateway.ask("GET", "/open/x")
    before = upstream.connections
    for _ in range(5):
        answer = gateway.ask("GET", "/open/x", headers={"Connection": "close"})
        assert answer.headers["Connection"] == "close"
        assert "close" not in [value for name, value in answer.json["fields"] if name.lower() == "connection"]
    assert upstream.connections == before


def test_a_service_of_http_1_0_is_understood_with_and_without_keep_alive(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def old(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold")

    def older(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nolder")
        stream.close()

    with gateway.wire() as wire:
        for path, script, body in (("/open/old", old, b"old"), ("/open/older", older, b"older")) * 2:
            answer = wire.ask(f"GET {upstream.on(path, script)} HTTP/1.1\r\n{H}\r\n")
            assert (answer.body, answer.headers["Connection"]) == (body, None)


def test_a_client_of_http_1_0_may_stay_and_send_bodies(gateway: GatewayProcess) -> None:
    keep = "Connection: Keep-Alive\r\n"
    with gateway.wire() as wire:
        for number in range(3):
            answer = wire.ask(f"POST /open/{number} HTTP/1.0\r\n{keep}Content-Length: 3\r\n\r\nabc", "POST")
            assert (answer.json["body_bytes"], answer.headers["Connection"]) == (3, "keep-alive")
        answer = wire.ask(
            f"POST /open/x HTTP/1.0\r\n{keep}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "POST"
        )
        assert answer.json["body_bytes"] == 3, "an expectation of HTTP/1.0 is not answered (RFC 9110, section 10.1.1)"
        assert wire.ask("GET /open/last HTTP/1.0\r\n\r\n").headers["Connection"] == "close"
        assert wire.is_closed()


# Pipelined: (request, status, body bytes that the service saw or None where it saw none).
PIPELINE = [
    (f"POST /open/a HTTP/1.1\r\n{H}Content-Length: 5\r\n\r\nabcde", 200, 5),
    (f"POST /data/v1/x HTTP/1.1\r\n{H}Content-Length: 20\r\n\r\nGET /open/not HTTP/1", 401, None),
    (f"POST /open/b HTTP/1.1\r\n{H}{CHUNKED}\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nX-Trailer: 1\r\n\r\n", 200, 4),
    (f"HEAD /open/c HTTP/1.1\r\n{H}\r\n", 200, None),
    (f"DELETE /open/d HTTP/1.1\r\n{H}Content-Length: 2\r\n\r\nab", 200, 2),
    (f"GET /open/e HTTP/1.1\r\n{H}Content-Length: 2\r\n\r\nab", 200, 2),
    (f"POST /open/f HTTP/1.1\r\n{H}Content-Length: 0\r\n\r\n", 200, 0),
    (f"POST /open/g HTTP/1.1\r\n{H}{CHUNKED}\r\n0\r\n\r\n", 200, 0),
    (f"POST /livez HTTP/1.1\r\n{H}Content-Length: 4\r\n\r\nabcd", 405, None),
    (f"\r\n\r\nGET /open/h HTTP/1.1\r\n{H}\r\n", 200, 0),
]


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_pipelined_requests_with_bodies_keep_their_order_however_they_are_cut(
    gateway: GatewayProcess, size: int
) -> None:
    data = "".join(request for request, _, _ in PIPELINE)
    with gateway.wire() as wire:
        for first in range(0, len(data), size):
            wire.send(data[first : first + size])
        for request, status, body_bytes in PIPELINE:
            method = request.split()[0]
            answer = wire.read(method)
            assert answer.status == status, request
            if body_bytes is not None:
                assert answer.json["body_bytes"] == body_bytes
                assert answer.json["method"] == method
        assert wire.ask(NEXT).status == 200


# With `Expect: 100-continue` and a body that is not sent: what is refused at once, without a 100.
EARLY = {
    "no route": ("POST /nothing HTTP/1.1\r\nContent-Length: 5\r\n", 404),
    "no token": ("POST /data/v1/x HTTP/1.1\r\nContent-Length: 5\r\n", 401),
    "a method that is not allowed": ("POST /livez HTTP/1.1\r\nContent-Length: 5\r\n", 405),
    "too large": ("POST /small/x HTTP/1.1\r\nContent-Length: 5000\r\n", 413),
    "chunked without a token": (f"POST /data/v1/x HTTP/1.1\r\n{CHUNKED}", 401),
    "nobody there": ("POST /nobody/x HTTP/1.1\r\nContent-Length: 5\r\n", None),
}


@pytest.mark.parametrize("case", EARLY)
def test_a_request_that_expects_100_is_refused_before_its_body_is_sent(gateway: GatewayProcess, case: str) -> None:
    head, status = EARLY[case]
    with gateway.wire() as wire:
        wire.send(f"{head}{H}Expect: 100-Continue\r\n\r\n")
        if status is None:  # it may send; the service is asked for when it does
            assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n" and wire.file.readline() == b"\r\n"
            status = 502
        answer = wire.read("POST")
        assert (answer.status, answer.headers["Connection"]) == (status, "close"), "what follows may be the body"
        assert wire.is_closed()


def test_who_expects_100_and_does_not_wait_for_it_is_served(gateway: GatewayProcess) -> None:
    with gateway.wire() as wire:
        for body in ("Content-Length: 5\r\n\r\nabcde", f"{CHUNKED}\r\n5\r\nabcde\r\n0\r\n\r\n"):
            answer = wire.ask(f"POST /open/x HTTP/1.1\r\n{H}Expect: 100-continue\r\n{body}")  # passes over a 100
            assert (answer.status, answer.json["body_bytes"]) == (200, 5)


def test_a_service_that_answers_before_the_body_has_come_ends_the_connection_after_its_answer(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def refuse(_request: Received, stream: Stream) -> None:
        stream.answer(b"no", status="403 Forbidden")

    path = upstream.on("/open/early-answer", refuse)
    with gateway.wire() as wire:
        answer = wire.ask(f"POST {path} HTTP/1.1\r\n{H}Content-Length: 1000\r\n\r\nbegun", "POST")
        assert (answer.status, answer.body, answer.headers["Connection"]) == (403, b"no", "close")
        assert wire.is_closed()
    assert gateway.ask("GET", "/open/x").status == 200


@pytest.mark.parametrize("path", ["/livez", "/open/x", "/nothing", "/data/v1/x", "/.well-known/assetlinks.json"])
def test_head_is_get_without_the_body(gateway: GatewayProcess, path: str) -> None:
    with gateway.wire() as wire:
        whole = wire.ask(f"GET {path} HTTP/1.1\r\n{H}X-Request-Id: same-as-before\r\n\r\n")
        head = wire.ask(f"HEAD {path} HTTP/1.1\r\n{H}X-Request-Id: same-as-before\r\n\r\n", "HEAD")
        assert (head.status, head.body) == (whole.status, b"")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]
        if path != "/open/x":  # which tells the method it was asked with
            assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(whole.body))
        assert wire.ask(NEXT).status == 200


def test_options_for_the_whole_server_is_no_route_and_refused(gateway: GatewayProcess) -> None:
    with gateway.wire() as wire:
        assert wire.ask(f"OPTIONS * HTTP/1.1\r\n{H}\r\n").code == "malformed_request"
        assert wire.is_closed()
    assert gateway.ask("OPTIONS", "/open/x").code == "method_not_allowed"  # for a route that does not list it


def test_very_many_small_chunks_pass_both_ways_and_others_are_served_meanwhile(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    count = 100_000

    def chunk_by_chunk(request: Received, stream: Stream) -> None:
        total = sum(len(piece) for piece in request.pieces())
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(total // 1_000):
            stream.send(b"1\r\ny\r\n" * 1_000)
        stream.send(b"0\r\n\r\n")

    before = gateway.resident_bytes()
    with gateway.wire(30) as wire:
        wire.send(f"POST {upstream.on('/open/crumbs', chunk_by_chunk)} HTTP/1.1\r\n{H}{CHUNKED}\r\n")
        sender = threading.Thread(target=wire.send, args=(b"1\r\nx\r\n" * count + b"0\r\n\r\n",))
        sender.start()
        assert [gateway.ask("GET", "/open/x").status for _ in range(20)] == [200] * 20
        assert wire.read("POST").body == b"y" * count
        sender.join()
        assert wire.ask(NEXT).status == 200
    assert gateway.resident_bytes() - before < 40_000_000


def test_a_client_that_half_closes_has_left(gateway: GatewayProcess, upstream: Upstream) -> None:
    """Nobody can tell it from one that is gone, and a phone that is gone must not keep a service busy."""
    gone = threading.Event()

    def wait(_request: Received, stream: Stream) -> None:
        if stream.is_gone():
            gone.set()

    with gateway.wire() as wire:
        wire.send(f"GET {upstream.on('/open/half-closed', wait)} HTTP/1.1\r\n{H}\r\n")
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.is_closed() and gone.wait(5)
