"""More clients than a worker takes: the idlest make room, who is served stays, descriptors do not run out."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.gateway.wire import Wire
from tests.support.issuer import Issuer
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"
GET = f"GET /open/x HTTP/1.1\r\n{H}\r\n"
MOST = 50


@pytest.fixture
def gateway(issuer: Issuer, upstream: Upstream, folder: Path) -> Iterator[GatewayProcess]:
    process = GatewayProcess(issuer, upstream.url, folder, CLIENT_CONNECTIONS=str(MOST), HEADER_TIMEOUT_S="3")
    yield process.with_operators_port().start()
    assert process.stop() == 0


def room_made(gateway: GatewayProcess, outcome: str) -> float:
    return gateway.metric("gateway_room_made_total", outcome=outcome)


def test_the_connections_idle_longest_make_room_and_the_others_stay(gateway: GatewayProcess) -> None:
    def asked() -> Wire:
        wire = gateway.wire()
        assert wire.ask(GET).status == 200
        return wire

    old = [asked() for _ in range(10)]
    time.sleep(0.5)  # the gateway's clock moves five times a second
    young = [asked() for _ in range(MOST - len(old))]
    for _ in range(20):
        assert gateway.ask("GET", "/open/x").status == 200
    assert [wire.ask(GET).status for wire in young] == [200] * len(young)
    assert 0 < room_made(gateway, "idle_closed") == sum(wire.is_closed(0.1) for wire in old)
    assert room_made(gateway, "accept_paused") == 0
    for wire in (*old, *young):
        wire.close()


def test_who_is_served_is_not_cut_off_and_who_must_wait_is_let_in_as_soon_as_there_is_room(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def slow(_request: Received, stream: Stream) -> None:
        time.sleep(1)
        stream.answer(b"{}")

    path = upstream.on("/open/slow-room", slow)
    wires = [gateway.wire() for _ in range(MOST)]
    for wire in wires:
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
    eventually(lambda: gateway.metric("gateway_client_connections") == MOST)
    with gateway.wire() as late:
        late.send(GET)
        eventually(lambda: room_made(gateway, "accept_paused") > 0)
        assert late.read().status == 200
    assert [wire.read().status for wire in wires] == [200] * MOST
    for wire in wires:
        wire.close()


def test_slow_heads_fill_the_room_only_until_their_time_is_over(gateway: GatewayProcess) -> None:
    wires = [gateway.wire() for _ in range(MOST)]
    for wire in wires:
        wire.send("GET /open/x HTTP/1.1\r\n")
    with gateway.wire(15) as patient:
        assert patient.ask(GET).status == 200
    assert [wire.read().status for wire in wires] == [408] * MOST
    for wire in wires:
        wire.close()


def test_with_few_descriptors_fewer_clients_are_taken_and_each_is_served(
    issuer: Issuer, upstream: Upstream, folder: Path
) -> None:
    """A hard limit of 400: there would not be a descriptor for each of 16,384 clients and what belongs to them."""
    gateway = GatewayProcess(issuer, upstream.url, folder, UPSTREAM_CONNECTIONS="20")
    gateway.start(descriptors=400)
    wires = [gateway.wire() for _ in range(350)]
    for wire in wires[-30:]:
        assert wire.ask(GET).status == 200
    assert gateway.workers()[0].num_fds() < 400
    assert gateway.metric("gateway_room_made_total", outcome="idle_closed") > 100
    (told,) = [line["message"] for line in gateway.lines() if "file descriptors" in line["message"]]
    assert told.startswith("400 file descriptors are enough for 100 client connections")
    assert not [line for line in gateway.lines() if line["level"] == "ERROR"]
    for wire in wires:
        wire.close()
    assert gateway.stop() == 0
