"""What is the operator's on a port of its own: there, and nowhere else."""

from collections.abc import Iterator

import pytest
import requests

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def gateway(issuer: Issuer, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("gateway")
    process = GatewayProcess(issuer, upstream.url, folder, WEB_WORKERS="2", CLIENT_CONNECTIONS="20")
    yield process.with_operators_port().start()
    assert process.stop() == 0


def at_operators(gateway: GatewayProcess, path: str, method: str = "GET") -> requests.Response:
    return requests.request(method, gateway.ops_url + path, timeout=5)


@pytest.mark.parametrize("path", ["/metrics", "/status", "/readyz"])
def test_operators_pages_are_404_for_everybody_else(gateway: GatewayProcess, path: str) -> None:
    answer = gateway.ask("GET", path)
    assert (answer.status, answer.code) == (404, "not_found")


def test_they_are_at_the_operators_port(gateway: GatewayProcess) -> None:
    assert at_operators(gateway, "/status").json()["services"]
    assert at_operators(gateway, "/readyz").json()["code"] == "not_ready"  # without a broker
    assert "gateway_client_connections" in at_operators(gateway, "/metrics").text
    for path in ("/livez", "/healthz"):
        assert at_operators(gateway, path).text == gateway.ask("GET", path).body.decode() == "ok\n"


@pytest.mark.parametrize("path", ["/open/x", "/auth/v1/user", "/docs", "/openapi.json", "/.well-known/jwks.json"])
def test_nothing_else_is_there(gateway: GatewayProcess, upstream: Upstream, path: str) -> None:
    before = len(upstream.requests)
    assert at_operators(gateway, path).json()["code"] == "not_found"
    assert len(upstream.requests) == before
    assert at_operators(gateway, "/metrics", "POST").json()["code"] == "method_not_allowed"


def test_whichever_worker_answers_the_numbers_are_of_all(gateway: GatewayProcess) -> None:
    for number in range(40):
        assert gateway.ask("GET", f"/open/{number}").status == 200
    eventually(lambda: gateway.metric("http_requests_total", route="/open/*", status="200") == 40)
    found = {gateway.metric("http_requests_total", route="/open/*", status="200") for _ in range(20)}
    assert found == {40}


def test_it_answers_when_there_is_no_room_for_clients(gateway: GatewayProcess) -> None:
    """Two workers take 20 each; none of these is idle, as each has begun a request."""
    wires = [gateway.wire() for _ in range(60)]
    for wire in wires:
        wire.send("GET /open/x HTTP/1.1\r\n")
    eventually(lambda: gateway.metric("gateway_room_made_total", outcome="accept_paused") > 0)
    assert at_operators(gateway, "/livez").text == "ok\n"
    for wire in wires:
        wire.close()
    eventually(lambda: gateway.metric("gateway_client_connections") <= 2, what="they have left")
