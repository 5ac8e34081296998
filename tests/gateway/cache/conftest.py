"""A service whose answers the gateway may keep."""

import pytest

from tests.gateway.cache.origin import Origin
from tests.gateway.upstream import Upstream


@pytest.fixture
def origin(upstream: Upstream, request: pytest.FixtureRequest) -> Origin:
    """A service at a path of this test's own."""
    return Origin(upstream, f"/cached/{abs(hash(request.node.nodeid))}")
