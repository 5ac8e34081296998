"""Fixtures for all. Servers start when a test first asks, so `make test SERVICE=auth` starts only PostgreSQL."""

import os
from collections.abc import Callable, Iterator

import pytest

from deploy.local import ports
from deploy.local.mongo import Mongo
from deploy.local.postgres import Postgres
from deploy.local.rabbitmq import RabbitMQ
from tests.support import servers as test_servers
from tests.support.broker import Broker
from tests.support.databases import Databases
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.platform import Platform
from tests.support.servers import Servers


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--signups", type=int, default=150, help="sign-ups in the chaos test")
    parser.addoption("--body-bytes", type=int, default=1 << 28, help="size of the gateway's big bodies; 1 GiB is asked")
    parser.addoption("--slow-clients", type=int, default=300, help="slow clients at the gateway; 2,000 are asked")
    parser.addoption("--people", type=int, default=20_000, help="people in the tables of auth; a million are asked")


def pytest_configure() -> None:
    """Each process of the suite has ports of its own: another one cannot take a port between the look and the bind."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = len(ports.CANDIDATES) // 8
    first = ports.CANDIDATES.start + number % 8 * share
    ports.CANDIDATES = range(first, first + share)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes share the suite: a module stays in one, and so does all that needs the one whole platform."""
    for item in items:
        needs_platform = item.nodeid.startswith(("tests/e2e/", "tests/chaos/"))
        group = "platform" if needs_platform else item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_report_header() -> str:
    return f"servers: {test_servers.kind()}"


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    started = test_servers.from_environment()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def postgres(servers: Servers) -> Postgres:
    return servers.postgres


@pytest.fixture(scope="session")
def rabbitmq(servers: Servers) -> RabbitMQ:
    return servers.rabbitmq


@pytest.fixture(scope="session")
def mongo(servers: Servers) -> Mongo:
    return servers.mongo


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Databases:
    return Databases(postgres)


@pytest.fixture
def fresh_database(databases: Databases) -> Iterator[Callable[[str], str]]:
    """`fresh_database("auth")` is the URL of an empty database with auth's schema, owned by auth's role."""
    urls: list[str] = []

    def make(service: str) -> str:
        urls.append(databases.fresh(service))
        return urls[-1]

    yield make
    for url in urls:
        databases.drop(url)


@pytest.fixture
def broker(rabbitmq: RabbitMQ) -> Iterator[Broker]:
    """A virtual host for this test alone."""
    made = Broker(rabbitmq)
    yield made
    made.remove()


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


@pytest.fixture
def alice(issuer: Issuer) -> Person:
    return Person("alice", issuer)


@pytest.fixture
def mallory(issuer: Issuer) -> Person:
    return Person("mallory", issuer)


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """The whole platform, running; for what can only be seen through all of it."""
    made = Platform()
    try:
        yield made.up()
    finally:
        made.remove()
