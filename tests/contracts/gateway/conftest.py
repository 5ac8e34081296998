"""Both doors in front of one scripted upstream; every test of the folder runs at each."""

from collections.abc import Iterator

import pytest

from tests.contracts.gateway import doors
from tests.contracts.gateway.doors import Door
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    peer = Upstream()
    yield peer
    peer.close()


@pytest.fixture(scope="session")
def second() -> Iterator[Upstream]:
    """The other target of services that have two."""
    peer = Upstream()
    yield peer
    peer.close()


@pytest.fixture(scope="session", params=["gateway", "envoy"])
def door(
    request: pytest.FixtureRequest,
    issuer: Issuer,
    upstream: Upstream,
    second: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Door]:
    made = doors.make(
        request.param, issuer, upstream, tmp_path_factory.mktemp("door"), HEADER_TIMEOUT_S="2", TWO_URL=second.url
    )
    made.start()
    yield made
    assert made.stop() == 0
