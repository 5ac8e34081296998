"""Answers that are too large, too many or broken."""

import threading

import pytest

from gateway.keeper import MOST_FETCHES
from tests.gateway.cache.origin import FRESH, H, get, status_of
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.waiting import eventually


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_what_is_too_large_is_passed_on_as_it_comes_and_not_kept(
    gateway: GatewayProcess, upstream: Upstream, framing: str
) -> None:
    piece, go_on, calls = b"x" * 150_000, threading.Event(), []

    def flow(_request: Received, stream: Stream) -> None:
        calls.append(1)
        if framing == "length":
            stream.send(f"HTTP/1.1 200 OK\r\nContent-Length: {2 * len(piece)}\r\n{FRESH}\r\n".encode() + piece)
        else:
            stream.send(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{FRESH}\r\n".encode())
            stream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        go_on.wait(10)
        stream.send(piece if framing == "length" else b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))

    path = upstream.on(f"/cached/large-{framing}", flow)
    with gateway.wire() as wire:
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
        response = wire.begin()
        assert len(response.read(150_000)) == 150_000  # before the service has sent the rest
        go_on.set()
        assert len(response.read()) == 150_000
    assert len(get(gateway, path).body) == 300_000 and len(calls) == 2


def test_an_answer_that_breaks_off_is_not_kept_and_not_taken_for_a_whole_one(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    calls: list[int] = []

    def stop(_request: Received, stream: Stream) -> None:
        calls.append(1)
        if len(calls) < 3:
            stream.send(f"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n{FRESH}\r\nhalf".encode())
            stream.close()
        else:
            stream.answer(b"whole", fields=FRESH)

    path = upstream.on("/cached/half", stop)
    assert get(gateway, path).code == "upstream_protocol_error"
    assert get(gateway, path).status == 502
    assert get(gateway, path).body == b"whole"


def test_no_crowd_of_addresses_takes_more_memory_than_the_table_allows(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    path = upstream.on("/cached/many", lambda _request, stream: stream.answer(b"x" * 20_000, fields=FRESH))
    with gateway.wire() as wire:
        for number in range(60):
            assert wire.ask(f"GET {path}?{number} HTTP/1.1\r\n{H}\r\n").status == 200
        assert "hit" in status_of(wire.ask(f"GET {path}?59 HTTP/1.1\r\n{H}\r\n"))
        assert "hit" not in status_of(wire.ask(f"GET {path}?0 HTTP/1.1\r\n{H}\r\n"))
    eventually(lambda: 300_000 < gateway.metric("gateway_cache_bytes") <= 400_000)
    assert gateway.metric("gateway_cache_evicted_total") > 0 and 1 < gateway.metric("gateway_cache_entries") < 60


def test_more_answers_on_their_way_than_memory_is_set_aside_for_are_passed_on(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    go_on = threading.Event()

    def answer(_request: Received, stream: Stream) -> None:
        go_on.wait(20)
        stream.answer(b"x", fields=FRESH)

    path = upstream.on("/cached/slow-many", answer)
    wires = [gateway.wire(30) for _ in range(MOST_FETCHES + 5)]
    try:
        for number, wire in enumerate(wires):
            wire.send(f"GET {path}?{number} HTTP/1.1\r\n{H}\r\n")
        eventually(lambda: len(upstream.seen(path)) == len(wires))
        go_on.set()
        said = [status_of(wire.read()) for wire in wires]
    finally:
        go_on.set()
        for wire in wires:
            wire.close()
    assert said.count("fwd=uri-miss; stored") == MOST_FETCHES and said.count("fwd=bypass; detail=busy") == 5
