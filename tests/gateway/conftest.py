"""One gateway and one scripted upstream for the folder; tests that stop or change a gateway start their own."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Peers, Upstream
from tests.support.issuer import Issuer


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    peer = Upstream()
    yield peer
    peer.close()


@pytest.fixture(scope="session")
def gateway(issuer: Issuer, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(
        issuer,
        upstream.url,
        tmp_path_factory.mktemp("gateway"),
        HEADER_TIMEOUT_S="1",
        KEEPALIVE_S="2",
        MAX_HEADER_BYTES="16384",
        MAX_TARGET_BYTES="2000",
        CORS_ORIGINS="https://app.example, https://admin.example",
    ).start()
    yield process
    assert process.stop() == 0
    assert [line for line in process.lines() if line["level"] == "ERROR"] == []


@pytest.fixture(scope="session")
def peers() -> Iterator[Peers]:
    two = Peers()
    yield two
    two.close()


@pytest.fixture(scope="session")
def full() -> Iterator[str]:
    """The address of a server that is too busy to accept: whoever connects waits."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="session")
def several(
    issuer: Issuer, peers: Peers, full: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway before services of which each has its own way to fail (`several.yaml`)."""
    process = GatewayProcess(
        issuer,
        peers.one.url,
        tmp_path_factory.mktemp("several"),
        ROUTES_FILE=str(Path(__file__).with_name("several.yaml")),
        ONE_URL=peers.one.url,
        TWO_URL=peers.two.url,
        FULL_URL=full,
    ).start()
    yield process
    assert process.stop() == 0
    assert [line for line in process.lines() if line["level"] == "ERROR"] == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
