"""What is open when a session ends: its web sockets, streams and uploads are closed, on every worker; no others."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.publisher import Publisher
from shared.tokens import LEEWAY_S
from tests.contracts.gateway.test_websockets import echo, open_socket
from tests.gateway.process import GatewayProcess
from tests.gateway.test_revocations import publisher, revocation
from tests.gateway.upstream import Received, Stream, Upstream
from tests.gateway.wire import Wire
from tests.support.broker import Broker
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually

__all__ = ["publisher"]

ROUTES = Path(__file__).with_name("sockets.yaml")


@pytest.fixture
def gateway(issuer: Issuer, upstream: Upstream, folder: Path, broker: Broker) -> Iterator[GatewayProcess]:
    """Two workers on a real broker."""
    environment = {"WEB_WORKERS": "2", "REVOCATIONS_WAIT_S": "5", "ROUTES_FILE": str(ROUTES)}
    process = GatewayProcess(issuer, upstream.url, folder, AMQP_URL=broker.url("gateway"), **environment)
    process.start("/readyz")
    eventually(lambda: process.metric("gateway_revocations_caught_up") == 1, what="every worker follows")
    yield process
    assert process.stop() == 0


@pytest.fixture
def wires(gateway: GatewayProcess) -> Iterator[Callable[[], Wire]]:
    with ExitStack() as open_wires:
        yield lambda: open_wires.enter_context(gateway.wire())


def opened(wire: Wire, path: str, token: str) -> Wire:
    """A web socket on which the service has said hello."""
    open_socket(wire, path, f"Authorization: Bearer {token}\r\n")
    assert wire.file.read(5) == b"hello"
    return wire


def asked(wire: Wire, path: str, token: str, more: str = "") -> Wire:
    method = "POST" if more else "GET"
    wire.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
    return wire


def says(wire: Wire, words: bytes) -> bool:
    wire.send(words)
    return wire.file.read(len(words)) == words


def tick_for_ever(_request: Received, stream: Stream) -> None:
    """Server-sent events."""
    stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
    while not stream.is_gone(0.05):
        stream.send(b"data: more\n\n")


def test_the_web_sockets_of_an_ended_session_are_closed_on_every_worker_and_no_others(
    gateway: GatewayProcess,
    wires: Callable[[], Wire],
    upstream: Upstream,
    publisher: Publisher,
    alice: Person,
    mallory: Person,
) -> None:
    path = upstream.on("/data/v1/chat", echo)
    other = opened(wires(), path, mallory.token())
    again = opened(wires(), path, alice.issuer.token(alice.user_id))  # another session of hers
    sockets: list[Wire] = []

    def at_every_worker() -> bool:
        sockets.append(opened(wires(), path, alice.token()))
        busy = [
            sum(one.laddr.port == gateway.port and bool(one.raddr) for one in worker.net_connections())
            for worker in gateway.workers()
        ]
        return all(count >= 2 for count in busy)

    eventually(at_every_worker, what="a socket of alice at each worker")
    count = len(sockets)

    def open_now() -> float:
        return gateway.metric("gateway_open_tunnels", route="/data/v1/*")

    eventually(lambda: open_now() == count + 2)
    publisher.publish([revocation(alice.session_id)])
    deadline = time.monotonic() + 1
    assert [wire.is_closed(max(0.01, deadline - time.monotonic())) for wire in sockets] == [True] * count
    assert says(other, b"still here") and says(again, b"me too")
    eventually(lambda: open_now() == 2)
    for wire in (other, again):
        wire.close()
    eventually(lambda: open_now() == 0)


def test_streams_and_uploads_of_an_ended_session_end_and_a_whole_answer_still_comes(
    wires: Callable[[], Wire], upstream: Upstream, publisher: Publisher, alice: Person, mallory: Person
) -> None:
    events = upstream.on("/data/v1/events", tick_for_ever)
    theirs = asked(wires(), events, mallory.token())
    stream = asked(wires(), events, alice.token())
    for wire in (stream, theirs):
        assert wire.begin().status == 200

    upload = asked(wires(), "/data/v1/upload", alice.token(), "Content-Length: 100000\r\n")
    upload.send(b"x" * 1000)
    is_revoked: list[bool] = []

    def answer_late(_request: Received, late: Stream) -> None:
        eventually(lambda: is_revoked)
        late.answer(b"whole")

    def stream_late(request: Received, late: Stream) -> None:
        eventually(lambda: is_revoked)
        tick_for_ever(request, late)

    log_out = asked(wires(), upstream.on("/data/v1/log-out", answer_late), alice.token())
    slow = asked(wires(), upstream.on("/data/v1/slow-events", stream_late), alice.token())
    eventually(lambda: upstream.seen("/data/v1/log-out") and upstream.seen("/data/v1/slow-events"))
    eventually(lambda: upstream.seen("/data/v1/upload"))
    publisher.publish([revocation(alice.session_id)])
    answer = upload.read("POST")
    assert (answer.status, answer.code) == (401, "session_revoked")
    with pytest.raises((ConnectionError, ValueError)):
        read_to_the_end(stream)
    is_revoked.append(True)
    assert log_out.read().body == b"whole"
    with pytest.raises((ConnectionError, ValueError)):
        read_to_the_end(slow)
    buffered = len(theirs.file.peek())
    assert theirs.file.read(buffered + 1000), "hers goes on"


def read_to_the_end(wire: Wire) -> None:
    """Raise ConnectionError or ValueError if the answer breaks off: its last chunk is missing."""
    last = b""
    while piece := wire.file.read1(65_536):
        last = piece
    if not last.endswith(b"0\r\n\r\n"):
        raise ValueError("the answer broke off")


def test_a_route_may_end_what_is_open_with_the_token_and_no_session_means_the_same(
    wires: Callable[[], Wire], upstream: Upstream, issuer: Issuer, alice: Person
) -> None:
    soon = int(time.time()) - LEEWAY_S + 3
    paths = [upstream.on(f"/{start}/socket-of-a-token", echo) for start in ("data/v1", "strict", "optional")]
    stays, *ending = [opened(wires(), path, alice.token(exp=soon)) for path in paths]
    nobody = wires()
    open_socket(nobody, paths[2])
    service = issuer.token(alice.user_id, sid=None, role="service", exp=soon)
    ending.append(opened(wires(), paths[0], service))
    lasting = opened(wires(), paths[1], alice.token())
    events = asked(wires(), upstream.on("/strict/events", tick_for_ever), alice.token(exp=soon))
    assert events.begin().status == 200
    assert all(wire.is_closed(8) for wire in ending)
    with pytest.raises(ValueError, match="broke off"):
        read_to_the_end(events)
    assert says(stays, b"on") and says(lasting, b"on")
    assert nobody.file.read(5) == b"hello" and says(nobody, b"on")
