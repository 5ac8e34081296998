"""The same servers from the official images through testcontainers: GATEHOUSE_TEST_SERVERS=containers.

Each class keeps its private server's interface and runs a container instead of a process. The containers share the
host's network, so that ports mean the same on both sides; Linux only, as the images are.
"""

import os
from abc import abstractmethod
from pathlib import Path
from typing import Self

from testcontainers.core.container import DockerContainer

from deploy.local.mongo import REPLICA_SET, Mongo
from deploy.local.postgres import ADMIN, Postgres
from deploy.local.rabbitmq import RabbitMQ
from deploy.local.server import HOST, Server
from tests.support.servers import Servers

IMAGES = {
    "postgres": os.environ.get("GATEHOUSE_POSTGRES_IMAGE", "postgres:18"),
    "rabbitmq": os.environ.get("GATEHOUSE_RABBITMQ_IMAGE", "rabbitmq:4.1-management"),
    "mongo": os.environ.get("GATEHOUSE_MONGO_IMAGE", "mongo:8.0"),
}


class InContainer(Server):
    """A server whose process lives in a container; comes before the private server's class among the bases."""

    _container: DockerContainer | None = None

    @abstractmethod
    def image(self) -> DockerContainer:
        """The container to start, complete with command and environment."""

    def start(self) -> Self:
        if self._container is None:
            os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
            self._container = self.image().with_kwargs(network_mode="host")
            self._container.start()
        else:
            self._container.get_wrapped_container().start()
        return self

    def is_running(self) -> bool:
        if self._container is None:
            return False
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return bool(wrapped.status == "running")

    def stop(self, timeout_s: float = 20) -> None:
        if self._container is not None:
            self._container.get_wrapped_container().stop(timeout=int(timeout_s))

    def kill(self) -> None:
        if self._container is not None and self.is_running():
            self._container.get_wrapped_container().kill()

    def remove(self) -> None:
        if self._container is not None:
            self._container.stop()
            self._container = None

    def end_of_log(self) -> str:
        return b"\n".join(self._container.get_logs()).decode(errors="replace")[-4000:] if self._container else ""


class ContainerPostgres(InContainer, Postgres):
    def prepare(self) -> None:
        """The image makes its own data folder."""

    def image(self) -> DockerContainer:
        container = DockerContainer(IMAGES["postgres"])
        container.with_env("POSTGRES_USER", ADMIN).with_env("POSTGRES_PASSWORD", self.admin_password)
        return container.with_command(f"postgres -c listen_addresses={HOST} -p {self.port} -c max_connections=120")


class ContainerRabbitMQ(InContainer, RabbitMQ):
    def prepare(self) -> None:
        super().prepare()
        for path in self.folder.iterdir():
            if path.is_file():
                path.chmod(0o644)  # the image's own user reads it

    def check_package(self) -> None:
        """Debian's package is not needed: the image has the programs."""

    def image(self) -> DockerContainer:
        container = DockerContainer(IMAGES["rabbitmq"])
        for name in ("rabbitmq.conf", "definitions.json", "enabled_plugins"):
            container.with_volume_mapping(str(self.folder / name), f"/etc/rabbitmq/{name}", "ro")
        container.with_env("RABBITMQ_DIST_PORT", str(self.dist_port))
        container.with_env("RABBITMQ_NODENAME", f"test{self.port}@localhost")
        return container.with_env("ERL_EPMD_PORT", str(self.epmd_port))


class ContainerMongo(InContainer, Mongo):
    def __init__(self, folder: Path, port: int, log: Path | None = None) -> None:
        super().__init__(folder, port, log)
        self.mongod = "mongod"

    def image(self) -> DockerContainer:
        arguments = f"--replSet {REPLICA_SET} --bind_ip {HOST} --port {self.port}"
        return DockerContainer(IMAGES["mongo"]).with_command(f"mongod {arguments}")


class ContainerServers(Servers):
    """`Servers`, from images."""

    postgres_class = ContainerPostgres
    rabbitmq_class = ContainerRabbitMQ
    mongo_class = ContainerMongo

    def stop(self) -> None:
        for server in self._started:
            if isinstance(server, InContainer):
                server.remove()
        super().stop()
