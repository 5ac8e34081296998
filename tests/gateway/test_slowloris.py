"""Hundreds of slow clients at once: they are cut off, memory stays, and nobody else notices.

`--slow-clients 2000` is the size the gateway is meant for; `python -m tests.load.crowds` measures what others notice.
"""

from collections.abc import Iterator

import pytest

from tests.gateway.crowd import Crowd, begun
from tests.gateway.process import GatewayProcess
from tests.gateway.test_process import Load
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer
from tests.support.waiting import eventually

MOST_GROWTH_EACH = 32_768
MOST_IN_A_MOMENT = 500  # connections that are made before the first has used up a short time


@pytest.fixture(scope="module")
def slow(request: pytest.FixtureRequest) -> int:
    found: int = request.config.getoption("--slow-clients")
    return found


@pytest.fixture(scope="module")
def gateway(
    issuer: Issuer, upstream: Upstream, slow: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """The service has 20 places; there is time for all of them to come before the first is cut off."""
    folder = tmp_path_factory.mktemp("gateway")
    header_timeout_s = "20" if slow > MOST_IN_A_MOMENT else "4"
    process = GatewayProcess(issuer, upstream.url, folder, HEADER_TIMEOUT_S=header_timeout_s, UPSTREAM_CONNECTIONS="20")
    yield process.with_operators_port().start()
    assert process.stop() == 0
    assert [line for line in process.lines() if line["level"] == "ERROR"] == []


def test_slow_heads_and_slow_bodies_are_cut_off_and_hurt_nobody(gateway: GatewayProcess, slow: int) -> None:
    """`/short` lets a body stand still for 0.4 s, `/open` for 20; these never do, nor get on."""
    path = "/open/slow" if slow > MOST_IN_A_MOMENT else "/short/slow"
    before = gateway.resident_bytes()
    with Load(gateway, 4) as load, Crowd(gateway.port, slow, body=begun(path)) as crowd:
        eventually(lambda: gateway.metric("gateway_client_connections") >= slow, what="all are there", timeout_s=30)
        most = gateway.resident_bytes()
        eventually(lambda: crowd.left == 0, what="all are cut off", timeout_s=60)
    assert load.lost == [] and load.answered > 100
    assert set(crowd.ends) == {"408"} and crowd.ends["408"] == slow
    assert most - before < 20_000_000 + slow * MOST_GROWTH_EACH
    eventually(lambda: gateway.metric("gateway_client_connections") <= 2, what="their connections are gone")
