"""One real simulator process for the folder; every test starts with nothing arrived and no faults."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.ports import free_ports
from deploy.local.simulators import Credentials, Ports, Simulators
from tests.simulators.apns_client import ApnsClient


@pytest.fixture(scope="session")
def running_simulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulators]:
    folder: Path = tmp_path_factory.mktemp("simulators")
    with Simulators(folder, Ports(*free_ports(3))) as simulators:
        yield simulators


@pytest.fixture
def simulators(running_simulators: Simulators) -> Simulators:
    running_simulators.forget()
    return running_simulators


@pytest.fixture
def credentials(simulators: Simulators) -> Credentials:
    return simulators.credentials


@pytest.fixture
def apns(credentials: Credentials) -> Iterator[ApnsClient]:
    with ApnsClient(credentials) as client:
        yield client
