"""The gateway as a process of its own, with settings for one test run."""

import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import requests

from deploy.local.ports import free_ports
from tests.gateway.wire import Answer, Wire
from tests.support.certificates import Authority, MountedPair
from tests.support.issuer import Issuer

HOST = "127.0.0.1"
REPOSITORY = Path(__file__).parents[2]
ROUTES = Path(__file__).with_name("routes.yaml")


class GatewayProcess:
    """`start` returns when it answers; what it logged is in `log`."""

    def __init__(self, issuer: Issuer, upstream_url: str, folder: Path, **environment: str) -> None:
        self.port, nobody = free_ports(2)
        self.url = f"http://{HOST}:{self.port}"
        self.log = folder / f"gateway-{self.port}.log"
        self.environment = {
            "BIND": f"{HOST}:{self.port}",
            "AMQP_URL": f"amqp://nobody:nothing@{HOST}:{nobody}/",
            "ISSUER": issuer.issuer,
            "JWKS_URL": issuer.jwks_url,
            "ROUTES_FILE": str(ROUTES),
            "REVOCATIONS_WAIT_S": "0",
            "NOBODY_URL": f"http://{HOST}:{nobody}",
            **dict.fromkeys(("AUTH_URL", "PROFILE_URL", "DATA_URL", "NOTIFY_URL"), upstream_url),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.tls: ssl.SSLContext | None = None  # of clients that come over TLS, once `secure` was called
        self.tls_port = self.ops_port = 0

    def secure(self, authority: Authority, pair: MountedPair) -> "GatewayProcess":
        """Also over TLS, with this pair; `wire`, `ask` and what uses them then come over TLS."""
        (self.tls_port,) = free_ports(1)
        self.tls = authority.client_context()
        self.environment |= {
            "TLS_BIND": f"{HOST}:{self.tls_port}",
            "TLS_CERT_FILE": str(pair.certificate),
            "TLS_KEY_FILE": str(pair.key),
        }
        return self

    def with_operators_port(self) -> "GatewayProcess":
        """With what is the operator's on a port of its own."""
        (self.ops_port,) = free_ports(1)
        self.environment["OPS_BIND"] = f"{HOST}:{self.ops_port}"
        return self

    @property
    def ops_url(self) -> str:
        """Where metrics and readiness are."""
        return f"http://{HOST}:{self.ops_port or self.port}"

    def start(self, path: str = "/livez", descriptors: int | None = None) -> "GatewayProcess":
        """`descriptors` is the most file descriptors that it may have, whatever it asks for."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        if int(self.environment.get("WEB_WORKERS", "1")) > 1:
            kept["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(dir=self.log.parent)
        command = [sys.executable, "-m", "gateway", "serve"]
        if descriptors is not None:
            command = ["prlimit", f"--nofile={descriptors}:{descriptors}", *command]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, env={**kept, **self.environment}, stdout=output, stderr=subprocess.STDOUT
            )
        self.wait_for(path, 200)
        return self

    def run_until_it_ends(self, **changed: str) -> "subprocess.CompletedProcess[str]":
        """For settings with which it does not start; an empty one is left out."""
        environment = {name: value for name, value in {**self.environment, **changed}.items() if value}
        command = [sys.executable, "-m", "gateway", "serve"]
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=20, check=False
        )

    def wait_for(self, path: str, status: int, timeout_s: float = 15) -> None:
        deadline = time.monotonic() + timeout_s
        last: object = None
        while time.monotonic() < deadline:
            assert self.process is not None and self.process.poll() is None, self.log.read_text()
            try:
                last = requests.get(self.url + path, timeout=2).status_code
                if last == status:
                    return
            except requests.RequestException as error:
                last = error
            time.sleep(0.03)
        raise AssertionError(f"{path} answered {last}, not {status}: {self.log.read_text()}")

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 15) -> int:
        """Send the signal and wait; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def workers(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children()

    def begun(self) -> list[int]:
        """The workers that have read their files: the thread of their access log runs."""
        return [worker.pid for worker in self.workers() if worker.num_threads() > 1]

    def resident_bytes(self) -> int:
        return max(worker.memory_info().rss for worker in self.workers())

    def wire(self, timeout_s: float = 10) -> Wire:
        return Wire(self.tls_port or self.port, timeout_s, self.tls)

    def ask(self, method: str, target: str, *, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own."""
        fields = {"Host": "gateway.example", **(headers or {})}
        if body:
            fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        with self.wire() as wire:
            return wire.ask(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body, method)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged as JSON so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for line in requests.get(f"{self.ops_url}/metrics", timeout=5).text.splitlines():
            sample, _, value = line.rpartition(" ")
            found, _, rest = sample.partition("{")
            if found == name and all(f'{key}="{wanted}"' in rest for key, wanted in labels.items()):
                total += float(value)
        return total
