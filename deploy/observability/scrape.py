"""What Prometheus scrapes: `python -m deploy.observability.scrape` prints it for the platform of `make up`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.local import settings as local_settings

HERE = Path(__file__).parent
RULES = HERE / "alerts.yaml"
SERVICES = ["auth", "profile", "data", "notify"]

# Per queue: the aggregated metrics cannot tell a dead-letter queue from a busy one.
QUEUE_FAMILIES = ["queue_coarse_metrics", "queue_consumer_count"]

# (component, process) -> host:port
Targets = Mapping[tuple[str, str], str]


def local_targets(settings: local_settings.Settings) -> dict[tuple[str, str], str]:
    """Every process of the local platform that serves /metrics, by the layout of its ports."""
    found = {("gateway", "web"): settings.address_of("gateway-ops")}
    for service in SERVICES:
        found[service, "web"] = settings.address_of(service)
        found[service, "worker"] = settings.address_of(f"{service}-worker")
    return found


def configuration(
    targets: Targets, rabbitmq: str | None, *, interval_s: float = 15, rules: bool = True
) -> dict[str, Any]:
    """Prometheus' configuration. `rabbitmq` is host:port of its rabbitmq_prometheus plugin."""
    jobs: list[dict[str, Any]] = [
        {
            "job_name": "gatehouse",
            "static_configs": [
                {"targets": [address], "labels": {"component": component, "process": process}}
                for (component, process), address in targets.items()
            ],
        }
    ]
    if rabbitmq:
        broker = [{"targets": [rabbitmq], "labels": {"component": "rabbitmq"}}]
        jobs += [
            {"job_name": "rabbitmq", "static_configs": broker},
            {
                "job_name": "rabbitmq-queues",
                "metrics_path": "/metrics/detailed",
                "params": {"family": QUEUE_FAMILIES},
                "static_configs": broker,
            },
        ]
    every = f"{round(interval_s * 1000)}ms"
    found: dict[str, Any] = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    }
    if rules:
        found["rule_files"] = [str(RULES)]
    return {**found, "scrape_configs": jobs}


def main() -> None:
    settings = local_settings.load()
    rabbitmq = settings.address_of("rabbitmq-prometheus")
    yaml.safe_dump(configuration(local_targets(settings), rabbitmq), sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()
