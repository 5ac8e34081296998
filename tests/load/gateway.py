"""The gateway beside its peers, in one run: `python -m tests.load.gateway [--cost | --workers | --steady] [--varied]`.

All stand before the same nginx that answers 1 KB of JSON; the proxy under test has core 0, nginx and wrk core 1. What
the peers are told is in `peers/`. The gateway verifies 1,000 distinct tokens and has its access log, metrics, limits,
request ids, trace context and revocation check on; plain HAProxy does nothing but pass on. Rounds are interleaved, and
the figures are medians: requests for each CPU-second of the proxy say most on a machine that others use too.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.load import steady
from tests.load.proxies import DIRECT, HOST, KNOWN, LOAD_CORE, PATH, WITHOUT, Proxies, program, versions

CONNECTIONS = 64
WARM_UP_S = 3  # what compiles as it runs has compiled, and who keeps tokens has them
RATE = 1_000  # requests a second, where the rate is constant
FIELDS = {"User-Agent": "phone/1.0", "Accept": "application/json", "Accept-Encoding": "gzip", "Host": "gateway.example"}
WRK_SCRIPT = """
local tokens = {}
for line in io.lines("tokens") do tokens[#tokens + 1] = line end
local requests, next, varied = {}, 0, %(varied)s
local function make(path, token, id) return wrk.format("GET", path, {["Authorization"] = "Bearer " .. token,
  %(fields)s, ["If-None-Match"] = id}) end
init = function() for i, token in ipairs(tokens) do requests[i] = make("%(path)s", token) end end
request = function()
  next = next + 1
  local i = next %% #tokens + 1
  if varied then return make("%(path)s/" .. next, tokens[i], '"' .. next .. '"') end
  return requests[i]
end
done = function(summary, latency) io.write(string.format("RESULT %%d %%d %%d %%f %%f\\n", summary.requests,
  summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
  latency:percentile(50) / 1000, latency:percentile(99) / 1000)) end
"""


@dataclass
class Round:
    """One run of wrk against one proxy."""

    requests_per_s: float
    requests_per_cpu_s: float
    p50_ms: float
    p99_ms: float
    errors: float
    rss_mb: float


def write_wrk_script(proxies: Proxies) -> None:
    (proxies.folder / "tokens").write_text("\n".join(proxies.tokens))
    fields = ", ".join(f'["{name}"] = "{value}"' for name, value in FIELDS.items())
    script = WRK_SCRIPT % {"path": PATH, "varied": "true" if proxies.varied else "false", "fields": fields}
    (proxies.folder / "load.lua").write_text(script)


def throughput(proxies: Proxies, name: str, seconds: int) -> Round:
    """As many requests as one proxy can take, for so long."""
    before = proxies.cpu_seconds(name)
    url = f"http://{HOST}:{proxies.ports[name]}"
    load = [program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", "load.lua", url]
    pinned = [program("taskset"), "-c", LOAD_CORE, *load]
    output = subprocess.run(pinned, cwd=proxies.folder, check=True, capture_output=True, text=True).stdout
    used = proxies.cpu_seconds(name) - before
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", output)
    if found is None:
        raise SystemExit(f"wrk said: {output}")
    count = int(found[1])
    return Round(
        requests_per_s=count / seconds,
        requests_per_cpu_s=count / max(used, 0.01),
        p50_ms=float(found[4]),
        p99_ms=float(found[5]),
        errors=int(found[2]) + int(found[3]),
        rss_mb=proxies.resident_mb(name),
    )


def throughput_table(proxies: Proxies, rounds: int, seconds: int) -> dict[str, dict[str, float]]:
    """Medians of interleaved rounds; `times_first` is the median of each round's ratio to the first proxy."""
    write_wrk_script(proxies)
    names = list(proxies.ports)
    found: dict[str, list[Round]] = {name: [] for name in names}
    for name in names:
        throughput(proxies, name, WARM_UP_S)
    for _ in range(rounds):
        for name in names:
            found[name].append(throughput(proxies, name, seconds))
    table = {}
    for name, rows in found.items():
        pairs = zip(rows, found[names[0]], strict=True)
        ratio = statistics.median(one.requests_per_cpu_s / first.requests_per_cpu_s for one, first in pairs)
        columns = {column: statistics.median(asdict(row)[column] for row in rows) for column in asdict(rows[0])}
        table[name] = {**columns, "times_first": ratio}
    print(f"proxy                req/s   req/CPU-s  x {names[0]:<10} p50 ms   p99 ms   RSS MB  errors")
    for name, row in table.items():
        print(
            f"{name:16}{row['requests_per_s']:10.0f}{row['requests_per_cpu_s']:12.0f}{row['times_first']:11.3f}"
            f"{row['p50_ms']:10.2f}{row['p99_ms']:9.2f}{row['rss_mb']:9.0f}{row['errors']:8.0f}"
        )
    return table


def steady_table(proxies: Proxies, rounds: int, seconds: int) -> dict[str, dict[str, float]]:
    """Latency at a constant rate; `added` is what is beyond asking nginx directly, the median of each round's."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    lines = "".join(f"{name}: {value}\r\n" for name, value in FIELDS.items())
    requests = [f"GET {PATH} HTTP/1.1\r\n{lines}Authorization: Bearer {token}\r\n\r\n" for token in proxies.tokens]
    encoded = [request.encode() for request in requests]
    found: dict[str, list[steady.Latency]] = {name: [] for name in proxies.ports}
    for _ in range(rounds):
        for name, port in proxies.ports.items():
            found[name].append(steady.measure(HOST, port, encoded, rate=RATE, seconds=seconds))
    table = {}
    for name, rows in found.items():
        pairs = list(zip(rows, found[DIRECT], strict=True))
        table[name] = {
            "p50_ms": statistics.median(row.p50_ms for row in rows),
            "p99_ms": statistics.median(row.p99_ms for row in rows),
            "added_p50_ms": statistics.median(row.p50_ms - direct.p50_ms for row, direct in pairs),
            "added_p99_ms": statistics.median(row.p99_ms - direct.p99_ms for row, direct in pairs),
        }
    print(f"at {RATE} requests/s    p50 ms   p99 ms  added p50  added p99")
    for name, row in table.items():
        print(
            f"{name:20}{row['p50_ms']:9.2f}{row['p99_ms']:9.2f}{row['added_p50_ms']:11.2f}{row['added_p99_ms']:11.2f}"
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="length of one round")
    parser.add_argument("--only", nargs="*", help=", ".join(KNOWN))
    parser.add_argument("--varied", action="store_true", help="no head twice: another path and field each time")
    parser.add_argument("--python", default=sys.executable, help="another interpreter of the same version")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--cost", action="store_true", help="the gateway without each of its features")
    kinds.add_argument("--workers", action="store_true", help="one worker and two, the load on one of their cores")
    kinds.add_argument("--steady", action="store_true", help=f"latency at {RATE} requests a second")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    names = list(KNOWN)
    if options.cost:
        names = ["gateway", *WITHOUT]
    elif options.workers:
        names = ["gateway", "gateway x2"]
    elif options.steady:
        names = [DIRECT, *KNOWN[:-1]]
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder, ExitStack() as stack:
        proxies = Proxies(Path(folder), stack, options.only or names, varied=options.varied, python=options.python)
        proxies.start()
        table = (steady_table if options.steady else throughput_table)(proxies, options.rounds, options.seconds)
    if options.json:
        figures = {"versions": versions(options.python), "figures": table}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
