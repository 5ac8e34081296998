"""Alerts and dashboard ask only for metrics that exist, and promtool accepts them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from deploy.local.rabbitmq import RabbitMQ
from deploy.local.settings import OFFSETS
from deploy.local.settings import load as local_settings
from deploy.observability import scrape
from deploy.observability.check_dashboard import queries
from tests.deploy.manifests import ROOT
from tests.deploy.metrics import TARGET_LABELS, exposed, labels_in, names_in
from tests.support.broker import Broker

FOLDER = ROOT / "deploy" / "observability"
ALERTS = FOLDER / "alerts.yaml"


def promtool(*arguments: str | Path) -> None:
    try:
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.fail("The program `promtool` is missing: apt-get install prometheus.")
    assert done.returncode == 0, done.stdout + done.stderr


def alerts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    ]
    return found


def expressions() -> dict[str, str]:
    """Where an expression stands -> the expression."""
    found = {rule["alert"]: rule["expr"] for rule in alerts()}
    for number, query in enumerate(queries()):
        found[f"{number} {query.panel}"] = re.sub(r"\$__\w+", "5m", query.expression)
    return found


def test_promtool_accepts_the_alerts_and_their_cases() -> None:
    promtool("check", "rules", ALERTS)
    promtool("test", "rules", FOLDER / "alerts_test.yaml")


def test_every_alert_has_a_case_that_fires_it_and_is_calm_on_a_calm_platform() -> None:
    cases = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
    firing = {case["alertname"] for test in cases for case in test["alert_rule_test"] if case.get("exp_alerts")}
    (calm,) = [test for test in cases if test["name"].startswith("a calm platform")]
    silent = {case["alertname"] for case in calm["alert_rule_test"] if not case.get("exp_alerts")}
    assert firing == silent == {rule["alert"] for rule in alerts()}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    named = {ROOT / rule["annotations"]["runbook"] for rule in alerts()}
    assert named == set((FOLDER / "runbooks").glob("*.md"))
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")
        text = (ROOT / rule["annotations"]["runbook"]).read_text()
        assert rule["alert"] in text.splitlines()[0]


def test_promtool_accepts_the_configuration_for_the_local_platform(tmp_path: Path) -> None:
    settings = local_settings({})
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump(scrape.configuration(scrape.local_targets(settings), "127.0.0.1:1")))
    promtool("check", "config", config)


def test_every_local_process_with_metrics_is_scraped() -> None:
    processes = {
        {"gateway": "gateway-ops"}.get(name, name) if process == "web" else f"{name}-worker"
        for name, process in scrape.local_targets(local_settings({}))
    }
    assert processes == {
        name for name in OFFSETS if name.removesuffix("-worker") in ("gateway-ops", "auth", "profile", "data", "notify")
    }


def test_promtool_accepts_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"query_{number}", "expr": expression} for number, expression in enumerate(expressions().values())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)


def test_expressions_name_only_metrics_and_labels_that_our_code_exposes() -> None:
    known = exposed()
    for where, expression in expressions().items():
        names = {name for name in names_in(expression) if not name.startswith("rabbitmq_")}
        assert names <= set(known), where
        if names:
            labels = set.union(*(known[name] for name in names)) | TARGET_LABELS
            assert labels_in(expression) <= labels, where


def test_expressions_name_only_metrics_that_rabbitmq_exposes(rabbitmq: RabbitMQ, broker: Broker) -> None:
    """Against the real server: its plugin renames and moves metrics between versions."""
    base = rabbitmq.prometheus_url.removesuffix("/metrics")
    families = "&".join(f"family={family}" for family in scrape.QUEUE_FAMILIES)
    text = ""
    for path in ("/metrics", f"/metrics/detailed?{families}"):
        answer = requests.get(base + path, timeout=10)
        answer.raise_for_status()
        text += answer.text
    known = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    for where, expression in expressions().items():
        assert {name for name in names_in(expression) if name.startswith("rabbitmq_")} <= known, where


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        assert place["x"] + place["w"] <= 24
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
