"""The client's side of the wire: keep-alive, pipelining, HTTP/1.0, answers without a body, slow clients."""

import contextlib
import threading
import time

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.gateway.wire import Wire

H = "Host: gateway.example\r\n"


def test_many_requests_on_one_connection_share_one_upstream_connection(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    with gateway.wire() as wire:
        wire.ask(f"GET /open/0 HTTP/1.1\r\n{H}\r\n")
        before = upstream.connections
        for number in range(50):
            assert wire.ask(f"GET /open/{number} HTTP/1.1\r\n{H}\r\n").json["target"] == f"/open/{number}"
    assert upstream.connections == before


def test_pipelined_requests_are_answered_in_order(gateway: GatewayProcess, upstream: Upstream) -> None:
    def slow(_request: Received, stream: Stream) -> None:
        time.sleep(0.2)
        stream.answer(b'{"target": "slow"}')

    upstream.on("/open/slow", slow)
    body = "x" * 30_000
    requests = [
        f"GET /open/slow HTTP/1.1\r\n{H}\r\n",
        f"GET /nothing HTTP/1.1\r\n{H}\r\n",
        f"POST /open/post HTTP/1.1\r\n{H}Content-Length: {len(body)}\r\n\r\n{body}",
        f"POST /open/chunked HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n",
        f"GET /livez HTTP/1.1\r\n{H}\r\n",
        *(f"GET /open/{number} HTTP/1.1\r\n{H}\r\n" for number in range(300)),
    ]
    with gateway.wire() as wire:
        sender = threading.Thread(target=wire.send, args=("".join(requests),))
        sender.start()
        assert wire.read().json["target"] == "slow"
        assert wire.read().status == 404
        assert wire.read().json["body_bytes"] == 30_000
        assert wire.read().json["body_bytes"] == 30_000
        assert wire.read().body == b"ok\n"
        for number in range(300):
            assert wire.read().json["target"] == f"/open/{number}"
        sender.join()


def test_a_request_in_single_bytes_is_the_same_request(gateway: GatewayProcess) -> None:
    request = f"\r\nPOST /open/bytes?q=1 HTTP/1.1\r\n{H}X-A:  spaces  \r\nContent-Length: 5\r\n\r\nabcde"
    with gateway.wire() as wire:
        for byte in request.encode():
            wire.send(bytes([byte]))
        answer = wire.read().json
    assert answer["target"] == "/open/bytes?q=1" and answer["body_bytes"] == 5
    assert ["X-A", "spaces"] in answer["fields"]


def test_http_1_0_closes_unless_asked_to_stay_and_gets_no_chunks(gateway: GatewayProcess, upstream: Upstream) -> None:
    def chunked(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n")

    upstream.on("/open/chunked-answer", chunked)
    with gateway.wire() as wire:
        assert wire.ask("GET /open/x HTTP/1.0\r\n\r\n").headers["Connection"] == "close"
        assert wire.is_closed()
    with gateway.wire() as wire:
        assert wire.ask("GET /open/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").headers["Connection"] == "keep-alive"
        answer = wire.ask("GET /open/chunked-answer HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (answer.body, answer.headers["Transfer-Encoding"]) == (b"abcdefg", None)
        assert wire.is_closed()


def test_connection_close_is_honoured(gateway: GatewayProcess) -> None:
    with gateway.wire() as wire:
        assert wire.ask(f"GET /open/x HTTP/1.1\r\n{H}Connection: close\r\n\r\n").headers["Connection"] == "close"
        assert wire.is_closed()


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 5000\r\n\r\n'),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
def test_an_answer_without_a_body_does_not_confuse_the_next(
    gateway: GatewayProcess, upstream: Upstream, method: str, raw: bytes
) -> None:
    upstream.on("/open/bodyless", lambda _request, stream: stream.send(raw))
    with gateway.wire() as wire:
        for number in range(3):
            answer = wire.ask(f"{method} /open/bodyless HTTP/1.1\r\n{H}\r\n", method)
            assert answer.body == b"" and answer.headers["Connection"] is None
            assert wire.ask(f"GET /open/{number} HTTP/1.1\r\n{H}\r\n").json["target"] == f"/open/{number}"
    if b"5000" in raw:
        assert answer.headers["Content-Length"] == "5000"


def test_a_body_that_ends_with_the_connection_is_passed_on_in_chunks(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def until_close(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")
        stream.close()

    with gateway.wire() as wire:
        answer = wire.ask(f"GET {upstream.on('/open/until-close', until_close)} HTTP/1.1\r\n{H}\r\n")
        assert (answer.body, answer.headers["Transfer-Encoding"]) == (b"all of it", "chunked")
        assert wire.ask(f"GET /open/next HTTP/1.1\r\n{H}\r\n").status == 200


def test_a_slow_head_gets_408_and_an_idle_connection_is_closed_in_silence(gateway: GatewayProcess) -> None:
    with gateway.wire() as slow, gateway.wire() as silent, gateway.wire() as idle:
        slow.send(f"GET /open/x HTTP/1.1\r\n{H}X-A: ")
        assert idle.ask(f"GET /open/x HTTP/1.1\r\n{H}\r\n").status == 200
        for _ in range(8):
            time.sleep(0.1)
            slow.send("x")
        answer = slow.read()
        assert (answer.status, answer.code, answer.headers["Connection"]) == (408, "request_timeout", "close")
        assert slow.is_closed() and silent.is_closed() and idle.is_closed()


def test_a_slow_body_gets_408_and_its_service_is_let_go(gateway: GatewayProcess, upstream: Upstream) -> None:
    gone = threading.Event()

    def wait_for_body(request: Received, stream: Stream) -> None:
        try:
            request.read_body()
        except ConnectionError:
            gone.set()
            raise

    upstream.on("/short/slow-body", wait_for_body)
    with gateway.wire() as wire:
        answer = wire.ask(f"POST /short/slow-body HTTP/1.1\r\n{H}Content-Length: 10\r\n\r\nabc", "POST")
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert wire.is_closed()
    assert gone.wait(5)


def drip(wire: Wire, piece: bytes, every_s: float, done: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not done.wait(every_s):
            wire.send(piece)


def test_a_body_that_is_never_idle_but_never_comes_is_cut_off_and_one_that_is_slow_is_not(
    gateway: GatewayProcess,
) -> None:
    """`/short` lets nothing stand still for 0.4 s. One sends a byte each 0.1 s, the other a hundred."""
    done = threading.Event()
    with gateway.wire(20) as dripping, gateway.wire(20) as slow:
        senders = []
        for wire, piece in ((dripping, b"1\r\nx\r\n"), (slow, b"64\r\n%b\r\n" % (b"x" * 100))):
            wire.send(f"POST /short/drip HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n")
            senders.append(threading.Thread(target=drip, args=(wire, piece, 0.1, done)))
            senders[-1].start()
        answer = dripping.read("POST")
        assert (answer.status, answer.code, answer.headers["Connection"]) == (408, "request_timeout", "close")
        done.set()
        for sender in senders:
            sender.join()
        slow.send(b"0\r\n\r\n")
        assert slow.read("POST").json["body_bytes"] > 1_000


def test_a_refused_request_with_a_small_body_keeps_the_connection(gateway: GatewayProcess) -> None:
    with gateway.wire() as wire:
        for _ in range(3):
            head = f"POST /data/v1/x HTTP/1.1\r\n{H}Content-Length: 2000\r\n\r\n"
            wire.send(head)
            time.sleep(0.02)
            wire.send("x" * 2000)
            assert wire.read().code == "token_missing"
        assert wire.ask(f"GET /open/x HTTP/1.1\r\n{H}\r\n").status == 200


def test_a_client_that_expects_100_gets_it_only_if_it_may_send(gateway: GatewayProcess) -> None:
    with gateway.wire() as wire:
        wire.send(f"POST /open/x HTTP/1.1\r\n{H}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n" and wire.file.readline() == b"\r\n"
        assert wire.ask("abcde").json["body_bytes"] == 5
        wire.send(f"POST /data/v1/x HTTP/1.1\r\n{H}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        answer = wire.read()
        assert (answer.status, answer.headers["Connection"]) == (401, "close")
        assert wire.is_closed()
    answer = gateway.ask("POST", "/open/x", headers={"Expect": "a miracle", "Content-Length": "0"})
    assert (answer.status, answer.code) == (417, "expectation_failed")
