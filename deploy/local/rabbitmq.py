"""A private RabbitMQ from Debian's package: own epmd, cookie and folders; users and permissions are loaded at boot."""

import json
import logging
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import pika
import pika.exceptions

from deploy.local import broker_permissions
from deploy.local.server import HOST, NotReady, Server, ServerError, base_env, require_free, sane_file_limit

PROGRAMS = Path("/usr/lib/rabbitmq/bin")
NODE = "gatehouse@localhost"  # each instance has its own epmd, so the name need not differ
PLUGINS = ["rabbitmq_management", "rabbitmq_prometheus"]

EPMD_NAMES_REQUEST = b"\x00\x01n"

# Spinning schedulers would take a core from everybody else on a small machine.
ERLANG_ARGUMENTS = (
    "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none +Q 65536"
)


class RabbitMQ(Server):
    name = "rabbitmq"

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        dist_port: int,
        epmd_port: int,
        management_port: int,
        prometheus_port: int,
        passwords: Mapping[str, str],
        cookie: str,
        log: Path | None = None,
    ) -> None:
        """`passwords` has one for each of `broker_permissions.USERS`."""
        super().__init__(folder, port, log)
        self.dist_port = dist_port
        self.epmd_port = epmd_port
        self.management_port = management_port
        self.prometheus_port = prometheus_port
        self.passwords = passwords
        self.cookie = cookie
        self._epmd: subprocess.Popen[bytes] | None = None

    @property
    def admin_url(self) -> str:
        return self.url(broker_permissions.ADMIN)

    @property
    def management_url(self) -> str:
        return f"http://{HOST}:{self.management_port}"

    @property
    def prometheus_url(self) -> str:
        return f"http://{HOST}:{self.prometheus_port}/metrics"

    def url(self, user: str, vhost: str = broker_permissions.VHOST) -> str:
        return f"amqp://{user}:{self.passwords[user]}@{HOST}:{self.port}/{quote(vhost, safe='')}"

    def ports(self) -> list[int]:
        return [self.port, self.dist_port, self.management_port, self.prometheus_port]

    def check_package(self) -> None:
        """Raise ServerError without Debian's package."""
        if not (PROGRAMS / "rabbitmq-server").exists():
            raise ServerError(
                "RabbitMQ's package is missing: run `deploy/local/bootstrap` with root or sudo rights, "
                "or have somebody run `apt-get install rabbitmq-server`."
            )

    def prepare(self) -> None:
        self.check_package()
        for folder in (self.folder, self.folder / "mnesia", self.folder / "log", self.folder / "config"):
            folder.mkdir(parents=True, exist_ok=True)
        self._write(".erlang.cookie", self.cookie, mode=0o400)
        self._write("enabled_plugins", f"[{','.join(PLUGINS)}].\n")
        definitions = broker_permissions.definitions(self.passwords)
        self._write("definitions.json", json.dumps(definitions, indent=2), mode=0o600)
        self._write("rabbitmq.conf", self._configuration())

    def _write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.folder / name
        if path.exists() and path.read_text() == text:
            return
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        path.chmod(mode)

    def _configuration(self) -> str:
        return f"""\
listeners.tcp.default = {HOST}:{self.port}
management.tcp.ip = {HOST}
management.tcp.port = {self.management_port}
prometheus.tcp.ip = {HOST}
prometheus.tcp.port = {self.prometheus_port}
load_definitions = {self.folder}/definitions.json
default_vhost = {broker_permissions.VHOST}
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 64MB
raft.wal_max_size_bytes = 16777216
log.console = true
log.console.level = warning
log.file = false
"""

    def wrapper(self) -> list[str]:
        return sane_file_limit()

    def program(self) -> list[str]:
        return [str(PROGRAMS / "rabbitmq-server")]

    def epmd_program(self) -> list[str]:
        """Erlang's port mapper, which must run before the node; 1 MB of its own."""
        return ["epmd", "-address", HOST, "-port", str(self.epmd_port), "-relaxed_command_check"]

    def env(self) -> dict[str, str]:
        folder = str(self.folder)
        return base_env(self.folder) | {
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
            "detached": "true",  # the start script then becomes the node instead of staying as its parent
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
            "RABBITMQ_PID_FILE": f"{folder}/rabbitmq.pid",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG_ARGUMENTS,
        }

    def start(self) -> Self:
        if self.is_running():
            return self
        if self._epmd is None or self._epmd.poll() is not None:
            require_free(self.epmd_port, "rabbitmq's epmd")
            self._epmd = self.spawn(self.epmd_program())
            self._wait_for_epmd()
        return super().start()

    def kill(self) -> None:
        super().kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None

    def probe(self) -> None:
        """The listener opens last, after users and permissions are loaded; the log-in makes sure."""
        quiet = logging.getLogger("pika")
        level = quiet.level
        quiet.setLevel(logging.CRITICAL)  # a refused log-in is an answer here, not an error to report
        try:
            pika.BlockingConnection(pika.URLParameters(self.admin_url)).close()
        except (pika.exceptions.AMQPError, OSError) as error:
            raise NotReady(f"log-in as {broker_permissions.ADMIN}: {error!r}") from None
        finally:
            quiet.setLevel(level)

    def probe_epmd(self) -> None:
        try:
            with socket.create_connection((HOST, self.epmd_port), timeout=1) as client:
                client.sendall(EPMD_NAMES_REQUEST)
                client.recv(4)
        except OSError as error:
            raise NotReady(f"epmd on port {self.epmd_port}: {error}") from None

    def _wait_for_epmd(self, timeout_s: float = 10) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self.probe_epmd()
            except NotReady as error:
                if time.monotonic() > deadline:
                    raise ServerError(f"{error}. {self.end_of_log()}") from None
                time.sleep(0.05)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl against this node and return what it prints; about a second."""
        result = subprocess.run(
            [*sane_file_limit(), str(PROGRAMS / "rabbitmqctl"), "--node", NODE, *arguments],
            env=self.env(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if result.returncode != 0:
            raise ServerError(f"rabbitmqctl {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")
        return result.stdout
