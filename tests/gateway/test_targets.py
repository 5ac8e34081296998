"""Services with several targets: who gets which share, who is left out, and what becomes of requests meanwhile."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gateway.process import REPOSITORY, GatewayProcess
from tests.gateway.upstream import Peers, Received, Script, Stream, Upstream
from tests.support.issuer import Issuer
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"


def say(peer: str, status: str = "200 OK") -> Script:
    return lambda _request, stream: stream.answer(peer.encode(), status=status)


def named(peers: Peers, path: str) -> str:
    """Both peers answer with their names."""
    peers.one.on(path, say("one"))
    return peers.two.on(path, say("two"))


def test_each_target_gets_its_share(several: GatewayProcess, peers: Peers) -> None:
    path = named(peers, "/weighted/x")
    found = [several.ask("GET", path).body for _ in range(40)]
    assert (found.count(b"one"), found.count(b"two")) == (30, 10)


def test_a_target_is_asked_by_its_own_name(several: GatewayProcess, peers: Peers) -> None:
    for _ in range(4):
        several.ask("GET", "/pair/host")
    for peer in (peers.one, peers.two):
        assert {request.value("host") for request in peer.seen("/pair/host")} == {f"127.0.0.1:{peer.port}"}


def test_a_target_that_fails_again_and_again_is_left_out_and_comes_back(several: GatewayProcess, peers: Peers) -> None:
    path = named(peers, "/strict/x")
    peers.one.on(path, say("one", "500 Mistake"))
    statuses = [several.ask("GET", path).status for _ in range(30)]
    assert statuses.count(500) == 3 and set(statuses[8:]) == {200}
    assert several.metric("gateway_upstream_ejections_total", upstream="strict") == 1
    eventually(lambda: several.metric("gateway_upstream_targets", upstream="strict", state="ejected") == 1, what="told")
    peers.one.on(path, say("one"))
    eventually(lambda: several.ask("GET", path).body == b"one", what="it is asked again")


def test_never_are_so_many_left_out_that_none_is_left(several: GatewayProcess, peers: Peers) -> None:
    path = peers.on("/strict/all", say("both", "503 Busy"))
    for _ in range(20):
        answer = several.ask("GET", path)
        assert (answer.status, answer.body) == (503, b"both")


def test_a_target_that_says_it_is_not_well_gets_no_requests(several: GatewayProcess, peers: Peers) -> None:
    path = named(peers, "/checked/x")

    def who() -> set[bytes]:
        return {several.ask("GET", path).body for _ in range(4)}

    eventually(lambda: who() == {b"one", b"two"}, what="both")
    peers.one.on("/health", say("", "503 Not ready"))
    eventually(lambda: who() == {b"two"}, what="one is left out")
    assert several.metric("gateway_upstream_targets", upstream="checked", state="unhealthy") >= 0
    peers.two.on("/health", lambda _request, stream: stream.is_gone())  # it takes the question and never answers
    answer = eventually(
        lambda: (a := several.ask("GET", path)).status == 503 and a, what="nobody is well: refused at once"
    )
    assert answer.code == "upstream_unavailable" and int(answer.headers["Retry-After"]) >= 1
    asked = len(peers.seen(path))
    assert several.ask("POST", path, body=b"x").code == "upstream_unavailable"
    assert len(peers.seen(path)) == asked
    eventually(
        lambda: several.metric("gateway_upstream_targets", upstream="checked", state="unhealthy") == 2, what="told"
    )
    peers.on("/health", say(""))
    eventually(lambda: who() == {b"one", b"two"}, what="both again")


def test_a_service_that_does_not_accept_is_another_504_than_one_that_does_not_answer(several: GatewayProcess) -> None:
    for method in ("GET", "POST"):
        answer = several.ask(method, "/full/x")
        assert (answer.status, answer.code) == (504, "upstream_connect_timeout")
        assert "full" in answer.json["detail"]


class Load:
    """Asks on and on from several threads; `failed` holds whatever was not a 200."""

    def __init__(self, gateway: GatewayProcess, threads: int, requests: tuple[bytes, ...]) -> None:
        self.gateway, self.requests = gateway, requests
        self.failed: list[str] = []
        self.answered = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, args=(n,)) for n in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self, number: int) -> None:
        with self.gateway.wire() as wire:
            while not self._stop.is_set():
                request = self.requests[number % len(self.requests)]
                answer = wire.ask(request)
                self.answered += 1
                if answer.status != 200:
                    self.failed.append(f"{request[:20]!r} {answer.status} {answer.body[:300]!r}")


def start_service() -> tuple["subprocess.Popen[str]", int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.service"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def test_when_one_of_two_targets_is_killed_under_load_no_idempotent_request_fails(
    issuer: Issuer, upstream: Upstream, folder: Path
) -> None:
    with ExitStack() as stack:
        (first, one), (second, two) = start_service(), start_service()
        stack.callback(end, first)
        stack.callback(end, second)
        table = folder / "routes.yaml"
        table.write_text(f"""
defaults: {{retries: {{attempts: 3}}}}
upstreams: {{killed: {{targets: [{{url: "http://127.0.0.1:{one}"}}, {{url: "http://127.0.0.1:{two}"}}]}}}}
routes: [{{prefix: /killed, upstream: killed, access: public}}]
""")
        gateway = GatewayProcess(issuer, upstream.url, folder, ROUTES_FILE=str(table)).start()
        stack.callback(gateway.stop)
        get = f"GET /killed/slow HTTP/1.1\r\n{H}\r\n".encode()
        put = f"PUT /killed/slow HTTP/1.1\r\n{H}Content-Length: 3\r\n\r\nabc".encode()
        keyed = f"POST /killed/slow HTTP/1.1\r\n{H}Idempotency-Key: k\r\nContent-Length: 3\r\n\r\nabc".encode()
        with Load(gateway, 9, (get, put, keyed)) as load:
            eventually(lambda: load.answered > 200, what="a load")
            first.send_signal(signal.SIGKILL)
            first.wait()
            killed_at = load.answered
            eventually(lambda: load.answered > killed_at + 600, what="it goes on")
        assert load.failed == []
        assert gateway.metric("gateway_retries_total", upstream="killed", outcome="succeeded") > 0


@pytest.fixture
def reloaded(issuer: Issuer, peers: Peers, folder: Path) -> Iterator[tuple[GatewayProcess, Path]]:
    table = folder / "routes.yaml"
    table.write_text(TABLE % (peers.one.url, 1, peers.two.url))
    gateway = GatewayProcess(issuer, peers.one.url, folder, ROUTES_FILE=str(table)).start()
    yield gateway, table
    assert gateway.stop() == 0


TABLE = """
upstreams: {moved: {targets: [{url: "%s", weight: %d}, {url: "%s"}]}}
routes: [{prefix: /moved, upstream: moved, access: public}]
"""


def test_a_new_table_keeps_the_connections_of_targets_that_stay(
    reloaded: tuple[GatewayProcess, Path], peers: Peers
) -> None:
    gateway, table = reloaded
    path = named(peers, "/moved/x")
    connections: set[int] = set()

    def remember(_request: Received, stream: Stream) -> None:
        connections.add(stream.socket.getpeername()[1])
        stream.answer(b"one")

    peers.one.on(path, remember)
    for _ in range(6):
        gateway.ask("GET", path)
    table.write_text(TABLE % (peers.one.url, 5, peers.two.url))
    eventually(lambda: gateway.metric("gateway_table_reloads_total", outcome="taken") == 1, what="the new table")
    found = [gateway.ask("GET", path).body for _ in range(12)]
    assert (found.count(b"one"), found.count(b"two")) == (10, 2)
    assert len(connections) == 1


def test_a_name_with_several_addresses_is_several_targets_and_may_change(
    issuer: Issuer, upstream: Upstream, folder: Path
) -> None:
    """As a headless service of Kubernetes has them: one for each pod."""
    asked: list[str] = []

    def serve(listener: socket.socket, address: str) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection, address), daemon=True).start()

    def answer(connection: socket.socket, address: str) -> None:
        stream = Stream(connection)
        with connection:
            while stream.next_request() is not None:
                asked.append(address)
                stream.answer(address.encode())

    addresses = ["127.0.1.1", "127.0.1.2", "127.0.1.3"]
    names, table = folder / "names", folder / "routes.yaml"
    with ExitStack() as stack:
        port = 0
        for address in addresses:
            listener = stack.enter_context(socket.create_server((address, port)))
            port = listener.getsockname()[1]
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=serve, args=(listener, address), daemon=True).start()
        names.write_text("pods.example=127.0.1.1,127.0.1.2\n")
        table.write_text(f"""
upstreams: {{pods: {{url: "http://pods.example:{port}"}}}}
routes: [{{prefix: /pods, upstream: pods, access: public}}]
""")
        gateway = GatewayProcess(
            issuer,
            upstream.url,
            folder,
            ROUTES_FILE=str(table),
            NAMES_FILE=str(names),
            PYTHONPATH=os.pathsep.join([str(Path(__file__).with_name("names"))]),
        ).start()
        stack.callback(gateway.stop)

        def who() -> set[str]:
            return {gateway.ask("GET", "/pods/x").body.decode() for _ in range(6)}

        eventually(lambda: who() == set(addresses[:2]), what="both are asked")
        names.write_text("pods.example=127.0.1.2,127.0.1.3\n")
        eventually(lambda: who() == set(addresses[1:]), what="the new one is asked, the old one no more")
        names.write_text("pods.example=\n")  # the name is gone: what was known goes on
        eventually(lambda: "is not found" in gateway.log.read_text(), what="it has noticed")
        assert who() == set(addresses[1:])
