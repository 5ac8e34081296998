"""The servers of a test run: private ones on free ports, or official images (GATEHOUSE_TEST_SERVERS=containers)."""

import os
import secrets
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import docker
import docker.errors

from deploy.local import broker_permissions
from deploy.local.mongo import Mongo
from deploy.local.ports import free_ports
from deploy.local.postgres import Postgres
from deploy.local.rabbitmq import RabbitMQ
from deploy.local.server import Server

S = TypeVar("S", bound=Server)


class Servers:
    """Each server starts when a test first asks for it; `stop` ends what was started and removes its folder."""

    postgres_class = Postgres
    rabbitmq_class = RabbitMQ
    mongo_class = Mongo

    def __init__(self) -> None:
        # A short path: PostgreSQL's socket must stay below 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="ght-", dir="/tmp"))
        self.folder.chmod(0o755)
        self._started: list[Server] = []

    @cached_property
    def postgres(self) -> Postgres:
        (port,) = free_ports(1)
        return self._start(self.postgres_class(self.folder / "pg", port, secrets.token_hex(12)))

    @cached_property
    def rabbitmq(self) -> RabbitMQ:
        port, dist, epmd, management, prometheus = free_ports(5)
        passwords = {user: secrets.token_hex(12) for user in broker_permissions.USERS}
        server = self.rabbitmq_class(
            self.folder / "mq",
            port,
            dist_port=dist,
            epmd_port=epmd,
            management_port=management,
            prometheus_port=prometheus,
            passwords=passwords,
            cookie=secrets.token_hex(12),
        )
        return self._start(server)

    @cached_property
    def mongo(self) -> Mongo:
        (port,) = free_ports(1)
        return self._start(self.mongo_class(self.folder / "mongo", port))

    def _start(self, server: S) -> S:
        server.folder.mkdir(parents=True, exist_ok=True)
        server.prepare()
        server.start()
        self._started.append(server)
        server.wait_until_ready()
        return server

    def stop(self) -> None:
        for server in reversed(self._started):
            server.kill()  # nothing of theirs is kept
        shutil.rmtree(self.folder, ignore_errors=True)


def kind() -> str:
    """`containers` where GATEHOUSE_TEST_SERVERS asks for them and a Docker daemon answers, else `private`."""
    if os.environ.get("GATEHOUSE_TEST_SERVERS") != "containers":
        return "private"
    try:
        docker.from_env().ping()
    except docker.errors.DockerException:
        return "private (no Docker daemon answers)"
    return "containers"


def from_environment() -> Servers:
    """Servers of the kind that `kind` names."""
    if kind() == "containers":
        from tests.support.containers import ContainerServers

        return ContainerServers()
    return Servers()
