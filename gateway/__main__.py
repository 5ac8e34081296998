"""`python -m gateway serve | check [routes.yaml] | schema | render envoy`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from gateway import configuration, envoy, routes
from gateway.config import ROUTES_FILE, GatewaySettings
from gateway.entries import RoutesFile
from shared.settings import load

WORKER, APP = "gateway.worker.ProxyWorker", "gateway.app:create_app()"


def main() -> int:
    """Run one verb; the exit status is 0, or 1 if a checked table has mistakes."""
    parser = argparse.ArgumentParser(prog="python -m gateway")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="run the gateway with gunicorn; its settings come from the environment")
    check = verbs.add_parser("check", help="print the effective route table, or every mistake in it")
    check.add_argument("file", nargs="?", type=Path, default=ROUTES_FILE)
    verbs.add_parser("schema", help="print the JSON Schema of route tables, for editors")
    render = verbs.add_parser("render", help="print the same table as another proxy's configuration")
    render.add_argument("proxy", choices=["envoy"])
    render.add_argument("--admin", metavar="HOST:PORT", help="where the proxy's own pages and metrics listen")
    arguments = parser.parse_args()
    if arguments.verb == "check":
        return check_routes(arguments.file)
    if arguments.verb == "render":
        return render_envoy(arguments.admin)
    if arguments.verb == "schema":
        print(schema())
        return 0
    binds = [part for address in load(GatewaySettings).binds.values() for part in ("-b", address)]
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "shared/gunicorn_conf.py", *binds, "-k", WORKER, APP]
    os.execv(sys.executable, gunicorn)  # noqa: S606 - becomes gunicorn, with our own arguments
    return 0


def schema() -> str:
    """The JSON Schema of `routes.yaml`, as it is committed beside it."""
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Gatehouse routes"}
    return json.dumps({**RoutesFile.model_json_schema(), **title}, indent=2)


def check_routes(path: Path) -> int:
    """Print the table a gateway would use."""
    try:
        routes_file = routes.read(path)
    except routes.Mistakes as mistakes:
        print(f"{path}: {len(mistakes.lines)} mistake(s)\n  " + "\n  ".join(mistakes.lines), file=sys.stderr)
        return 1
    rows = [
        (
            "METHODS",
            "ROUTE",
            "UPSTREAM",
            "ACCESS",
            "CONNECT/FIRST/IDLE S",
            "TRIES",
            "MAX BODY",
            "COMPRESSED FROM",
            "CACHE",
            "LIMITS",
        )
    ]
    for route in routes_file.table().routes:
        scopes = [" all:" + ",".join(sorted(route.scopes_all))] if route.scopes_all else []
        scopes += [" any:" + ",".join(sorted(route.scopes_any))] if route.scopes_any else []
        scopes += [" aal2"] if route.needs_aal2 else []
        target = f"{route.upstream}" + (f" {route.upstream_path.decode()}" if route.upstream_path else "")
        times = f"{route.connect_s:g}/{route.first_byte_s:g}/{route.idle_s:g}"
        methods = ",".join(sorted(method.decode() for method in route.methods))
        limits = ",".join(limit.name for limit in (*route.limits, *route.user_limits)) or "-"
        size, packed = str(route.max_body_bytes), "-" if route.compression is None else str(route.compression.min_bytes)
        tries = str(route.retries.attempts)
        access, kept = route.access + "".join(scopes), "-" if route.cache is None else route.cache.said
        rows.append((methods, route.template, target, access, times, tries, size, packed, kept, limits))
    print_table(rows)
    print()
    print_table(upstream_rows(routes_file))
    return 0


def upstream_rows(routes_file: RoutesFile) -> list[tuple[str, ...]]:
    """Each upstream with all that holds for it, whether the table says it or not."""
    rows: list[tuple[str, ...]] = [("UPSTREAM", "TARGETS", "HEALTH", "BREAKER", "EJECTION", "RETRY BUDGET")]
    for name in routes_file.upstreams:
        entry = routes_file.upstream(name)
        targets = " ".join(f"{place.url}*{place.weight}" for place in entry.places)
        health, breaker, out, budget = entry.checks, entry.breaker, entry.ejection, entry.retry_budget
        rows.append((
            name,
            targets,
            f"{health.path} every {health.interval_s:g}s -{health.unhealthy}/+{health.healthy}" if health else "-",
            f"{breaker.failures_percent}% of {breaker.requests} in {breaker.window_s:g}s" if breaker else "-",
            f"{out.failures} in a row, {out.base_s:g}s, at most {out.max_percent}%",
            f"{budget.percent}% + {budget.min_per_s:g}/s",
        ))  # fmt: skip
    return rows


def print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def render_envoy(admin: str | None) -> int:
    """Print Envoy's bootstrap for the settings and the table that `serve` would use."""
    settings = load(GatewaySettings)
    try:
        routes_file = configuration.TableFile(settings).read()
    except routes.Mistakes as mistakes:
        print(f"{settings.routes_file}: {len(mistakes.lines)} mistake(s)\n{mistakes}", file=sys.stderr)
        return 2
    yaml.safe_dump(envoy.bootstrap(settings, routes_file, admin), sys.stdout, sort_keys=False, width=120)
    return 0


if __name__ == "__main__":
    sys.exit(main())
