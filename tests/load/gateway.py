"""The gateway beside its peers, in one run: `python -m tests.load.gateway [--rounds 5] [--cost] [--varied]`.

All stand before the same nginx that answers 1 KB of JSON; the proxy under test has core 0, nginx and wrk core 1. What
the peers are told is in `peers/`. The gateway verifies 1,000 distinct tokens and has its access log, metrics, limits,
request ids, trace context and revocation check on; plain HAProxy does nothing but pass on. Rounds are interleaved, and
the figures are medians: requests for each CPU-second of the proxy say most on a machine that others use too.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import requests
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.local.ports import free_ports
from shared.ids import new_id
from tests.support.issuer import Issuer

HOST = "127.0.0.1"
TOKENS, CONNECTIONS = 1_000, 64
PATH = "/data/v1/documents"
PROXY_CORE, LOAD_CORE = "0", "1"
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

PEERS = Path(__file__).with_name("peers")
WRK_SCRIPT = """
local tokens = {}
for line in io.lines("tokens") do tokens[#tokens + 1] = line end
local requests, next, varied, pause = {}, 0, %(varied)s, %(pause_ms)d
local function make(path, token, id) return wrk.format("GET", path, {["Authorization"] = "Bearer " .. token,
  ["User-Agent"] = "phone/1.0", ["Accept"] = "application/json", ["Accept-Encoding"] = "gzip",
  ["Host"] = "gateway.example", ["If-None-Match"] = id}) end
init = function() for i, token in ipairs(tokens) do requests[i] = make("%(path)s", token) end end
request = function()
  next = next + 1
  local i = next %% #tokens + 1
  if varied then return make("%(path)s/" .. next, tokens[i], '"' .. next .. '"') end
  return requests[i]
end
if pause > 0 then delay = function() return pause end end
done = function(summary, latency) io.write(string.format("RESULT %%d %%d %%d %%f %%f\\n", summary.requests,
  summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
  latency:percentile(50) / 1000, latency:percentile(99) / 1000)) end
"""
ROUTES = """
upstreams: {data: {url: "${DATA_URL}"}}
%s
routes: [{prefix: /data/v1, upstream: data, access: %s}]
"""
LIMITS = "limits: {user: {by: user, requests: 1200, per_s: 60}}\ndefaults: {limits: [user]}"
# What each feature costs: the gateway without it. Named as in the table it prints.
WITHOUT = {
    "gateway -log": {"LOG_LEVEL": "WARNING"},
    "gateway -limits": {"ROUTES_FILE": ROUTES % ("", "user")},
    "gateway -token": {"ROUTES_FILE": ROUTES % (LIMITS, "public")},
    "gateway -all": {"ROUTES_FILE": ROUTES % ("", "public"), "LOG_LEVEL": "WARNING"},
}


@dataclass
class Round:
    """One run of wrk against one proxy."""

    requests_per_s: float
    requests_per_cpu_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    rss_mb: float


class Bench:
    """Starts nginx and the proxies in a folder of its own, and stops them."""

    def __init__(self, folder: Path, stack: ExitStack, options: argparse.Namespace) -> None:
        self.folder, self.stack, self.options = folder, stack, options
        self.issuer = Issuer()
        stack.callback(self.issuer.close)
        known = ["haproxy", "haproxy+jwt", "gateway", "flask+requests"]
        names = options.only or known + (["direct"] if options.pause_ms else []) + (
            list(WITHOUT) if options.cost else []
        )
        self.upstream, *ports = free_ports(len(names) + 1)
        self.ports = dict(zip(names, ports, strict=True))
        if "direct" in self.ports:
            self.ports["direct"] = self.upstream
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        options = self.options
        (self.folder / "tokens").write_text("\n".join(self.issuer.token(new_id()) for _ in range(TOKENS)))
        varied = "true" if options.varied else "false"
        script = WRK_SCRIPT % {"path": PATH, "varied": varied, "pause_ms": options.pause_ms}
        (self.folder / "load.lua").write_text(script)
        nginx = self._configured("nginx.conf", 0)
        self._run("direct", LOAD_CORE, [program("nginx"), "-p", str(self.folder), "-c", str(nginx)])
        for name, port in self.ports.items():
            self._start_peer(name, port)
        for name, port in self.ports.items():
            self._wait(name, port)

    def _start_peer(self, name: str, port: int) -> None:
        if name.startswith("haproxy"):
            file = self._configured("haproxy-jwt.cfg" if name == "haproxy+jwt" else "haproxy.cfg", port)
            self._run(name, PROXY_CORE, [program("haproxy"), "-db", "-f", str(file)])
        elif name.startswith("gateway"):
            environment = {**self._gateway_environment(port), **WITHOUT.get(name, {})}
            if "ROUTES_FILE" in environment:
                file = self.folder / f"{name}.yaml"
                file.write_text(environment["ROUTES_FILE"])
                environment["ROUTES_FILE"] = str(file)
            self._run(name, PROXY_CORE, [sys.executable, "-m", "gateway", "serve"], environment)
        elif name == "flask+requests":
            naive = ["-m", "gunicorn", "-k", "gthread", "--threads", "8", "-b", f"{HOST}:{port}"]
            environment = {"UPSTREAM": f"http://{HOST}:{self.upstream}", "JWKS_URL": self.issuer.jwks_url}
            command = [sys.executable, *naive, "--no-control-socket", "tests.load.naive:create_app()"]
            self._run(name, PROXY_CORE, command, environment)

    def _configured(self, template: str, port: int) -> Path:
        """A file of `peers/` with its places filled in."""
        key = self.folder / "public.pem"
        public = self.issuer.key.public_key()
        key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        text = (PEERS / template).read_text()
        for place, value in {
            "HOST": HOST,
            "PORT": port,
            "UPSTREAM": self.upstream,
            "ISSUER": self.issuer.issuer,
            "PUBLIC_KEY": key,
            "BODY": json.dumps({"items": ["x" * 80] * 12}),
            "VARIED": "add_header X-Request-Id $request_id;" if self.options.varied else "",
        }.items():
            text = text.replace(f"@{place}@", str(value))
        file = self.folder / f"{port}-{template}"
        file.write_text(text)
        return file

    def _gateway_environment(self, port: int) -> dict[str, str]:
        service = f"http://{HOST}:{self.upstream}"
        return {
            "BIND": f"{HOST}:{port}",
            "AMQP_URL": f"amqp://nobody:nothing@{HOST}:{free_ports(1)[0]}/",
            "ISSUER": self.issuer.issuer,
            "JWKS_URL": self.issuer.jwks_url,
            "REVOCATIONS_WAIT_S": "0",
            "LIMITS_FACTOR": "100000",  # they count, and refuse nobody
            **dict.fromkeys(("AUTH_URL", "PROFILE_URL", "DATA_URL", "NOTIFY_URL"), service),
        }

    def _run(self, name: str, core: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        output = (self.folder / f"{name}.log").open("wb")
        pinned = [program("taskset"), "-c", core, *command]
        everything = {**os.environ, **(environment or {})}
        process = subprocess.Popen(pinned, env=everything, stdout=output, stderr=subprocess.STDOUT)
        self.processes[name] = process
        self.stack.callback(stop, process)

    def _wait(self, name: str, port: int) -> None:
        deadline = time.monotonic() + 20
        token = (self.folder / "tokens").read_text().split("\n", 1)[0]
        while time.monotonic() < deadline:
            try:
                url = f"http://{HOST}:{port}{PATH}"
                if requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=2).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)
        raise SystemExit(f"{name} did not start: {(self.folder / f'{name}.log').read_text()[-2000:]}")

    def measure(self, name: str) -> Round:
        """One round against one proxy."""
        before = cpu_seconds(self.processes[name].pid)
        url = f"http://{HOST}:{self.ports[name]}"
        load = [program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{self.options.seconds}s", "-s", "load.lua", url]
        pinned = [program("taskset"), "-c", LOAD_CORE, *load]
        output = subprocess.run(pinned, cwd=self.folder, check=True, capture_output=True, text=True).stdout
        used = cpu_seconds(self.processes[name].pid) - before
        found = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", output)
        if found is None:
            raise SystemExit(f"wrk said: {output}")
        count = int(found[1])
        return Round(
            requests_per_s=count / self.options.seconds,
            requests_per_cpu_s=count / max(used, 0.01),
            p50_ms=float(found[4]),
            p99_ms=float(found[5]),
            errors=int(found[2]) + int(found[3]),
            rss_mb=resident_mb(self.processes[name].pid),
        )


def program(name: str) -> str:
    """Where a program is; the benchmark cannot do without it."""
    path = shutil.which(name, path=SEARCHED)
    if path is None:
        raise SystemExit(f"{name} is not installed")
    return path


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in family(pid))


def resident_mb(pid: int) -> float:
    return max(process.memory_info().rss for process in family(pid)) / 1e6


def medians(rounds: list[Round]) -> Round:
    values = {name: statistics.median(asdict(one)[name] for one in rounds) for name in asdict(rounds[0])}
    return Round(**values)


def show(results: dict[str, Round], ratios: dict[str, float]) -> None:
    print("proxy                req/s   req/CPU-s  x HAProxy   p50 ms   p99 ms   RSS MB  errors")
    for name, row in results.items():
        print(
            f"{name:16}{row.requests_per_s:10.0f}{row.requests_per_cpu_s:12.0f}{ratios[name]:11.2f}"
            f"{row.p50_ms:9.2f}{row.p99_ms:9.2f}{row.rss_mb:9.0f}{row.errors:8.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="length of one round")
    parser.add_argument("--only", nargs="*", help="haproxy, haproxy+jwt, gateway, flask+requests, direct")
    parser.add_argument("--cost", action="store_true", help="the gateway without each of its features too")
    parser.add_argument("--varied", action="store_true", help="no head twice: another path and field each time")
    parser.add_argument("--pause-ms", type=int, default=0, help="of each connection: 64 is about 1,000 requests/s")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder, ExitStack() as stack:
        bench = Bench(Path(folder), stack, arguments)
        bench.start()
        names = list(bench.ports)
        rounds: dict[str, list[Round]] = {name: [] for name in names}
        for _ in range(arguments.rounds):
            for name in names:
                rounds[name].append(bench.measure(name))
    results = {name: medians(rows) for name, rows in rounds.items()}
    base = rounds.get("haproxy") or rounds[names[0]]
    ratios = {
        name: statistics.median(
            one.requests_per_cpu_s / other.requests_per_cpu_s for one, other in zip(rows, base, strict=True)
        )
        for name, rows in rounds.items()
    }
    show(results, ratios)
    if arguments.json:
        figures = {name: {**asdict(row), "times_haproxy": ratios[name]} for name, row in results.items()}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
