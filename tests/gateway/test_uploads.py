"""Bodies that are still coming never have all of a service's connections: here one of two."""

import threading
from collections.abc import Iterator

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.issuer import Issuer
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"
BIG = 1_000_000


@pytest.fixture(scope="module")
def gateway(issuer: Issuer, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("gateway")
    process = GatewayProcess(issuer, upstream.url, folder, UPSTREAM_CONNECTIONS="2").start()
    yield process
    assert process.stop() == 0
    assert [line for line in process.lines() if line["level"] == "ERROR"] == []


def upload(path: str, size: int, fields: str = "") -> str:
    return f"POST {path} HTTP/1.1\r\n{H}Content-Length: {size}\r\n{fields}\r\n"


def test_others_pass_while_slow_bodies_wait_for_a_place(gateway: GatewayProcess, upstream: Upstream) -> None:
    with gateway.wire() as first, gateway.wire() as second, gateway.wire() as other:
        for slow in (first, second):
            slow.send(upload("/open/slow-upload", 10) + "x")
        eventually(lambda: len(upstream.seen("/open/slow-upload")) == 1, what="one of them is passed on")
        for _ in range(5):
            assert other.ask(f"GET /open/x HTTP/1.1\r\n{H}\r\n").status == 200
            assert other.ask(upload("/open/up-whole", 3) + "abc").json["body_bytes"] == 3
            other.send(upload("/open/up-two-pieces", 6) + "abc")
            assert other.ask("def").json["body_bytes"] == 6
        assert len(upstream.seen("/open/slow-upload")) == 1
        second.send("x" * 9)  # whole now: it needs no place
        assert second.read().json["body_bytes"] == 10
        first.send("x" * 9)
        assert first.read().json["body_bytes"] == 10


def test_a_big_upload_waits_with_little_of_it_and_goes_on_when_there_is_a_place(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    with gateway.wire() as slow, gateway.wire() as big:
        slow.send(upload("/big/slow-upload", 2) + "x")
        eventually(lambda: upstream.seen("/big/slow-upload"), what="it is passed on")
        sender = threading.Thread(target=big.send, args=(upload("/big/waits", BIG) + "x" * BIG,))
        sender.start()
        assert gateway.ask("GET", "/open/x").status == 200
        assert not upstream.seen("/big/waits")
        slow.send("x")
        assert slow.read().status == 200
        assert big.read().json["body_bytes"] == BIG
        sender.join()


def test_who_waits_for_a_place_may_send_what_it_was_asked_to_wait_with(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    with gateway.wire() as slow, gateway.wire() as asking:
        slow.send(upload("/big/slow-too", 2) + "x")
        eventually(lambda: upstream.seen("/big/slow-too"), what="it is passed on")
        asking.send(upload("/open/asks-first", 5, "Expect: 100-continue\r\n"))
        assert asking.file.readline() == b"HTTP/1.1 100 Continue\r\n" and asking.file.readline() == b"\r\n"
        assert asking.ask("abcde").json["body_bytes"] == 5


def test_a_place_is_free_again_when_its_client_leaves_or_its_answer_comes_early(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def refuse(_request: Received, stream: Stream) -> None:
        stream.answer(b"no", status="403 Forbidden")

    upstream.on("/open/refused-early", refuse)
    for number in range(3):
        with gateway.wire() as leaving:
            leaving.send(upload("/open/leaves", 10) + "x")
            eventually(lambda n=number: len(upstream.seen("/open/leaves")) == n + 1, what="it had a place")
        with gateway.wire() as wire:
            answer = wire.ask(upload("/open/refused-early", 1_000) + "x")
            assert (answer.status, answer.headers["Connection"]) == (403, "close")


def test_a_body_that_waits_and_does_not_come_gets_408(gateway: GatewayProcess, upstream: Upstream) -> None:
    with gateway.wire() as slow, gateway.wire() as held:
        slow.send(upload("/big/slow-again", 2) + "x")
        eventually(lambda: upstream.seen("/big/slow-again"), what="it is passed on")
        answer = held.ask(upload("/short/up-never", 10) + "x")
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert not upstream.seen("/short/up-never")


def test_bodies_that_waited_are_forgotten_when_their_clients_leave(gateway: GatewayProcess, upstream: Upstream) -> None:
    """The place stays taken meanwhile: what came of each would be 16 MB."""
    with gateway.wire() as slow:
        slow.send(upload("/big/slow-for-long", 2) + "x")
        eventually(lambda: upstream.seen("/big/slow-for-long"), what="it is passed on")
        before = gateway.resident_bytes()
        for _ in range(1_000):
            with gateway.wire() as leaving:
                leaving.send(upload("/open/leaves-soon", 20_000) + "x" * 16_000)
        eventually(lambda: gateway.metric("gateway_client_connections") <= 2, what="they have left")
        assert gateway.resident_bytes() - before < 8_000_000
        slow.send("x")
        assert slow.read().status == 200
