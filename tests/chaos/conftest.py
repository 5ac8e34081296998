"""How much chaos: the suite runs a short version, `make chaos` the long one."""

import pytest


@pytest.fixture
def signups(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--signups"))
